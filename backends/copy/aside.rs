//! A copy that is whole, durable and compared before it gets its name, in one call: whenever the
//! power goes, the name has all of it or nothing.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, RenameFlags};

use crate::changes::FileType;
use crate::compare;
use crate::descent::open_dir;
use crate::error::{Error, Result};
use crate::fault::change;
use crate::file::rename_noreplace;
use crate::path::TreePath;
use crate::remove::remove;
use crate::stat::{Place, Stat};
use crate::walk::{first_difference, walk};

use super::private_dir::PrivateDir;
use super::{Copied, Progress, copy};

/// A finished copy in a private directory, and where it belongs.
#[derive(Debug)]
pub struct Aside {
    private: PrivateDir,
    dir: OwnedFd,
    name: CString,
    shown: TreePath,
    stat: Stat,
    /// What there is to tell of it.
    pub copied: Copied,
}

impl Aside {
    /// Copies, makes durable and compares. `base` is the topmost directory in which anything may be
    /// made for it; `shown` are the paths of both, for messages. On failure the unfinished copy is
    /// removed, as far as that is possible.
    pub fn make(
        from: Place<'_>,
        to: Place<'_>,
        base: BorrowedFd<'_>,
        shown: (&TreePath, &TreePath),
        progress: Progress<'_>,
    ) -> Result<Self> {
        let failed = |why: io::Error| Error::io(format!("copy {} to {}", shown.0, shown.1), why);
        let dir = to.dir.try_clone_to_owned().map_err(failed)?;
        let private = PrivateDir::make(to.dir, base).map_err(failed)?;
        let there = Place { dir: private.as_fd(), name: to.name };
        let made = copy(from, there, shown.0, progress).and_then(|copied| {
            change("copy: sync", || Ok(fs::syncfs(&dir)?)).map_err(failed)?;
            expect_same(from, there, shown, &copied)?;
            Ok((copied, there.stat().map_err(failed)?))
        });
        match made {
            Ok((copied, stat)) => {
                let (name, shown) = (to.name.to_owned(), shown.1.clone());
                Ok(Self { private, dir, name, shown, stat, copied })
            }
            Err(error) => {
                discard(there);
                let _ = private.remove();
                Err(error)
            }
        }
    }

    /// Fails, and removes the copy, if it lacks what is in a nested subvolume.
    pub fn expect_whole(self) -> Result<Self> {
        let Some(path) = self.copied.left_out.first() else { return Ok(self) };
        let why = format!("{path}, which lies in it, is a subvolume of its own");
        let refused = Error::new(format!("make the copy {}", self.shown), why)
            .mend("move what is in the subvolume elsewhere, and try again");
        let _ = self.discard();
        Err(refused)
    }

    /// Gives the copy its name, which nothing must have; durable when it returns.
    pub fn name(self) -> Result<Copied> {
        let (from, to) = (self.place(), Place { dir: self.dir.as_fd(), name: &self.name });
        if let Err(why) = change("copy: name", || rename_noreplace(from, to)) {
            let error = self.failed(why);
            let _ = self.discard();
            return Err(error);
        }
        self.sync_name()?;
        self.finish()
    }

    /// Puts the copy in the place of the earlier one that `old` tells of, which is removed; durable when
    /// it returns.
    pub fn replace(self, old: &Stat) -> Result<Copied> {
        if let Err(why) = self.exchange() {
            let error = self.failed(why);
            let _ = self.discard();
            return Err(error);
        }
        let found = self.place().stat().map_err(|why| self.failed(why))?;
        if !found.is_same_file(old) {
            self.exchange().map_err(|why| self.failed(why))?;
            let error = self.failed(io::Error::other("another one has that name by now"));
            let _ = self.discard();
            return Err(error);
        }
        self.sync_name()?;
        remove(self.place(), old)?;
        self.finish()
    }

    /// Ends with the copy where its directory's owner may do with it what he wants.
    pub fn finish(self) -> Result<Copied> {
        let Self { private, shown, copied, .. } = self;
        let removed = private.remove();
        removed.map_err(|why| Error::io(format!("tidy up after the copy to {shown}"), why))?;
        Ok(copied)
    }

    /// Removes the copy, which nobody needs after all.
    pub fn discard(self) -> Result<()> {
        remove(self.place(), &self.stat)?;
        self.finish().map(drop)
    }

    /// Where the copy is.
    pub fn place(&self) -> Place<'_> {
        Place { dir: self.private.as_fd(), name: &self.name }
    }

    /// The directory that it is for.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// What the kernel tells of the copy.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    fn exchange(&self) -> io::Result<()> {
        let (private, dir, name) = (self.private.as_fd(), self.dir.as_fd(), self.name.as_c_str());
        let how = RenameFlags::EXCHANGE;
        change("copy: exchange", || Ok(fs::renameat_with(private, name, dir, name, how)?))
    }

    fn sync_name(&self) -> Result<()> {
        change("copy: sync name", || Ok(fs::fsync(&self.dir)?)).map_err(|why| self.failed(why))
    }

    fn failed(&self, why: io::Error) -> Error {
        Error::io(format!("give the copy its name {}", self.shown), why)
    }
}

/// A path at which a copy differs from what it was made of: in type, content, owner, mode or
/// extended attributes.
pub fn difference(one: Place<'_>, other: Place<'_>, shown: &TreePath) -> Result<Option<TreePath>> {
    difference_but(one, other, shown, &[])
}

/// The same but for the places of subvolumes that were left out of the copy.
fn difference_but(
    one: Place<'_>,
    other: Place<'_>,
    shown: &TreePath,
    left_out: &[TreePath],
) -> Result<Option<TreePath>> {
    let failed = |why| Error::io(format!("compare {shown} with its copy"), why);
    let (a, b) = (one.stat().map_err(failed)?, other.stat().map_err(failed)?);
    let is_dir = |stat: &Stat| stat.facts.file_type == FileType::Dir;
    if is_dir(&a) && is_dir(&b) {
        let open = |place: Place<'_>| open_dir(place.dir, place.name).map_err(failed);
        let (one, other) = (open(one)?, open(other)?);
        let below = |path: TreePath| match path.as_bytes() {
            b"" => shown.clone(),
            below => shown.join(below),
        };
        // A walk that knows of none to leave out ends at the first.
        if left_out.is_empty() {
            return Ok(first_difference(one.as_fd(), other.as_fd())?.map(below));
        }
        let differing = walk(one.as_fd(), other.as_fd(), &|_| {})?;
        let mut paths = differing.iter().map(|row| below(row.path));
        return Ok(paths.find(|path| !left_out.contains(path)));
    }
    let kind = match compare::difference_at_sight(&a, &b) {
        None => compare::difference((one, &a), (other, &b)).map_err(|why| why.at(shown))?,
        found => found,
    };
    Ok(kind.map(|_| shown.clone()))
}

fn expect_same(
    from: Place<'_>,
    to: Place<'_>,
    shown: (&TreePath, &TreePath),
    copied: &Copied,
) -> Result<()> {
    match difference_but(from, to, shown.0, &copied.left_out)? {
        None => Ok(()),
        Some(path) => {
            let why = format!("the copy differs from it at {path}");
            Err(Error::new(format!("copy {} to {}", shown.0, shown.1), why)
                .mend("end the programs that write there, and try again"))
        }
    }
}

/// Best effort: nobody else can enter the directory that it is in.
fn discard(place: Place<'_>) {
    if let Ok(stat) = place.stat() {
        let _ = remove(place, &stat);
    }
}

#[cfg(test)]
mod tests;
