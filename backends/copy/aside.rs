//! A copy that is whole, durable and compared before it gets its name, in one call: whenever the
//! power goes, the name has all of it or nothing.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, RenameFlags};

use crate::changes::FileType;
use crate::compare;
use crate::descent::open_dir;
use crate::error::{Error, Result};
use crate::fault::change;
use crate::path::TreePath;
use crate::remove::remove;
use crate::stat::{Place, Stat};
use crate::temporary;
use crate::walk::{first_difference, walk};

use super::{Copied, Progress, copy};

/// A finished copy under a temporary name, next to where it belongs.
#[derive(Debug)]
pub struct Aside {
    dir: OwnedFd,
    temporary: CString,
    name: CString,
    shown: TreePath,
    stat: Stat,
    /// What there is to tell of it.
    pub copied: Copied,
}

impl Aside {
    /// Copies, makes durable and compares. `shown` are the paths of both, for messages. On failure
    /// the unfinished copy is removed, as far as that is possible.
    pub fn make(
        from: Place<'_>,
        to: Place<'_>,
        shown: (&TreePath, &TreePath),
        progress: Progress<'_>,
    ) -> Result<Self> {
        let failed = |why: io::Error| Error::io(format!("copy {} to {}", shown.0, shown.1), why);
        let dir = to.dir.try_clone_to_owned().map_err(failed)?;
        let unused = temporary::unused(to.dir, OsStr::from_bytes(to.name.to_bytes()));
        let temporary =
            CString::new(unused.map_err(failed)?.as_bytes()).map_err(|why| failed(why.into()))?;
        let there = Place { dir: dir.as_fd(), name: &temporary };
        let made = copy(from, there, shown.0, progress).and_then(|copied| {
            change("copy: sync", || Ok(fs::syncfs(&dir)?)).map_err(failed)?;
            expect_same(from, there, shown, &copied)?;
            Ok((copied, there.stat().map_err(failed)?))
        });
        match made {
            Ok((copied, stat)) => {
                let (name, shown) = (to.name.to_owned(), shown.1.clone());
                Ok(Self { dir, temporary, name, shown, stat, copied })
            }
            Err(error) => {
                discard(there);
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
        discard(self.place());
        Err(refused)
    }

    /// Gives the copy its name, which nothing must have; durable when it returns.
    pub fn name(self) -> Result<Copied> {
        self.rename("copy: name", RenameFlags::NOREPLACE)?;
        Ok(self.copied)
    }

    /// Exchanges the copy with what has its name, which is returned under the copy's temporary name;
    /// durable when it returns.
    pub fn exchange(self) -> Result<(Copied, CString)> {
        self.rename("copy: exchange", RenameFlags::EXCHANGE)?;
        Ok((self.copied, self.temporary))
    }

    /// Removes the copy, which nobody needs after all.
    pub fn discard(self) -> Result<()> {
        remove(self.place(), &self.stat)
    }

    /// Where the copy is.
    pub fn place(&self) -> Place<'_> {
        Place { dir: self.dir.as_fd(), name: &self.temporary }
    }

    fn rename(&self, point: &'static str, how: RenameFlags) -> Result<()> {
        let failed = |why| Error::io(format!("give the copy its name {}", self.shown), why);
        let (dir, from, to) = (self.dir.as_fd(), &self.temporary, &self.name);
        let renamed =
            change(point, || Ok(fs::renameat_with(dir, from.as_c_str(), dir, to.as_c_str(), how)?));
        if let Err(why) = renamed {
            discard(self.place());
            return Err(failed(why));
        }
        change("copy: sync name", || Ok(fs::fsync(dir)?)).map_err(failed)
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

/// Best effort: the copy has a temporary name, which nobody takes for anything else.
fn discard(place: Place<'_>) {
    if let Ok(stat) = place.stat() {
        let _ = remove(place, &stat);
    }
}

/// The temporary names of what was to be `name`, which interrupted runs left in `dir`.
pub fn left_behind(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<CString>> {
    let of = OsStr::from_bytes(name.to_bytes());
    let names = crate::descent::names(dir)?;
    let left = names.into_iter();
    Ok(left.filter(|name| temporary::is_of(OsStr::from_bytes(name.to_bytes()), of)).collect())
}

#[cfg(test)]
mod tests;
