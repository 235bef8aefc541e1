//! A copy that is whole, durable and compared before it gets its name, in one call: whenever the
//! power goes, the name has all of it or nothing.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, IFlags};

use crate::atomic_file::{exchange, rename_noreplace};
use crate::boundary::Boundary;
use crate::compare::{self, Side};
use crate::compare_trees::{compare_by_walk, first_difference};
use crate::copy::attributes::{self, Limits};
use crate::copy::private_directory::PrivateDir;
use crate::copy::{Copied, Progress, copy_tree_or_file};
use crate::directory_walker::{self, Reached, open_dir};
use crate::fault::change;
use crate::inode_flags::InodeFlags;
use crate::path_set::Told;
use crate::remove::remove_if_same;
use crate::stat::{Place, Stat, is_gone};
use crate::{ChangeKind, Error, FileType, Result, TreePath, inode_flags, open_file, xattrs};

/// A finished copy in a private directory, and where it belongs.
#[derive(Debug)]
pub struct Aside {
    private: PrivateDir,
    dir: OwnedFd,
    name: CString,
    shown: TreePath,
    stat: Stat,
    /// The copy, where flags forbid changes from the moment on in which it has its name.
    locked: Option<(OwnedFd, IFlags)>,
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
        let limits = Limits::of(from, shown.0)?;
        Self::make_within(limits, true, from, to, base, shown, progress)
    }

    /// The same from a view of an old root, which is mounted by ourselves, with limits that say nothing
    /// of what is in it.
    pub fn make_from_view(
        from: Place<'_>,
        to: Place<'_>,
        base: BorrowedFd<'_>,
        shown: (&TreePath, &TreePath),
        progress: Progress<'_>,
    ) -> Result<Self> {
        Self::make_within(Limits::default(), true, from, to, base, shown, progress)
    }

    /// The same without comparing the two, which takes as long as the copy: for what stays where it is, so
    /// that a copy that is made again differs in nothing, and what is lost with it is the copy alone.
    pub fn make_of_what_stays(
        from: Place<'_>,
        to: Place<'_>,
        base: BorrowedFd<'_>,
        shown: (&TreePath, &TreePath),
        progress: Progress<'_>,
    ) -> Result<Self> {
        Self::make_within(Limits::default(), false, from, to, base, shown, progress)
    }

    fn make_within(
        limits: Limits,
        compares: bool,
        from: Place<'_>,
        to: Place<'_>,
        base: BorrowedFd<'_>,
        shown: (&TreePath, &TreePath),
        progress: Progress<'_>,
    ) -> Result<Self> {
        let failed = |why: io::Error| Error::io(format!("copy {} to {}", shown.0, shown.1), why);
        attributes::refuse_users_own(to.dir, shown.1)?;
        let dir = to.dir.try_clone_to_owned().map_err(failed)?;
        let private = PrivateDir::make(to.dir, base).map_err(failed)?;
        let there = Place { dir: private.as_fd(), name: to.name };
        let made =
            copy_tree_or_file(from, there, shown.0, &limits, progress).and_then(|mut copied| {
                change("copy: sync", || Ok(fs::syncfs(&dir)?)).map_err(failed)?;
                let stat = there.stat().map_err(failed)?;
                let locked =
                    copied.locks.map(|locks| Ok((open_file::open_expected(there, &stat)?, locks)));
                let locked = locked.transpose().map_err(failed)?;
                // What is compared is what it will be; but nothing renames it as that.
                if let Some((file, locks)) = &locked {
                    let refused =
                        inode_flags::lock_changes(file.as_fd(), *locks).map_err(failed)?;
                    copied.note(|| shown.0.clone(), refused);
                }
                if compares {
                    expect_same(from, there, shown, &limits, &mut copied)?;
                }
                if let Some((file, _)) = &locked {
                    inode_flags::unlock_changes(file.as_fd()).map_err(failed)?;
                }
                Ok((copied, stat, locked))
            });
        match made {
            Ok((copied, stat, locked)) => {
                let (name, shown) = (to.name.to_owned(), shown.1.clone());
                Ok(Self { private, dir, name, shown, stat, locked, copied })
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
        let Some(path) = self.copied.left_out.first().first() else { return Ok(self) };
        let why = format!("{path}, which lies in it, is a subvolume of its own");
        let refused = Error::new(format!("make the copy {}", self.shown), why)
            .hint("move what is in the subvolume elsewhere, and try again");
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
        let synced = self.sync_name();
        let finished = self.finish();
        synced.and(finished)
    }

    /// Puts the copy in the place of the earlier one that `old` tells of, which is removed; durable when
    /// it returns. Of the two, the copy alone has to outlive a power cut in between.
    pub fn replace(self, old: &Stat) -> Result<Copied> {
        if let Err(why) = self.unlock(old).and_then(|()| self.exchange()) {
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
        remove_if_same(self.place(), old)?;
        self.finish()
    }

    /// Ends with the copy where its directory's owner may do with it what he wants.
    pub fn finish(self) -> Result<Copied> {
        let Self { private, shown, copied, locked, .. } = self;
        if let Some((file, locks)) = locked {
            let locked =
                inode_flags::lock_changes(file.as_fd(), locks).and_then(|_| Ok(fs::fsync(&file)?));
            locked.map_err(|why| Error::io(format!("set the flags of {shown}"), why))?;
        }
        let removed = private.remove();
        removed.map_err(|why| Error::io(format!("tidy up after the copy to {shown}"), why))?;
        Ok(copied)
    }

    /// Removes the copy, which nobody needs after all.
    pub fn discard(self) -> Result<()> {
        let removed = remove_if_same(self.place(), &self.stat);
        let finished = Self { locked: None, ..self }.finish();
        removed.and(finished.map(drop))
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

    /// An earlier copy is ours to replace, whatever its flags forbid.
    fn unlock(&self, old: &Stat) -> io::Result<()> {
        match unlock(Place { dir: self.dir.as_fd(), name: &self.name }, old) {
            // Another one has the name, which is seen once the two are exchanged.
            Err(why) if is_gone(&why) => Ok(()),
            unlocked => unlocked.map(drop),
        }
    }

    fn exchange(&self) -> io::Result<()> {
        let named = Place { dir: self.dir.as_fd(), name: &self.name };
        exchange("copy: exchange", self.place(), named)
    }

    fn sync_name(&self) -> Result<()> {
        change("copy: sync name", || Ok(fs::fsync(&self.dir)?)).map_err(|why| self.failed(why))
    }

    fn failed(&self, why: io::Error) -> Error {
        Error::io(format!("give the copy its name {}", self.shown), why)
    }
}

/// Allows changes to what has this name, if it is the one that `expected` tells of. Returns the flags that
/// forbade them.
pub fn unlock(place: Place<'_>, expected: &Stat) -> io::Result<IFlags> {
    match expected.facts.file_type {
        FileType::File | FileType::Dir => {
            inode_flags::unlock_changes(open_file::open_expected(place, expected)?.as_fd())
        }
        _ => Ok(IFlags::empty()),
    }
}

/// Forbids changes to it again.
pub fn lock(place: Place<'_>, expected: &Stat, locks: IFlags) -> io::Result<()> {
    if locks.is_empty() {
        return Ok(());
    }
    inode_flags::lock_changes(open_file::open_expected(place, expected)?.as_fd(), locks).map(drop)
}

/// A path at which a copy differs from what it was made of: in type, content, owner, mode or
/// extended attributes.
pub fn difference(one: Place<'_>, other: Place<'_>, shown: &TreePath) -> Result<Option<TreePath>> {
    Ok(match difference_of(one, other, shown, first_difference)? {
        Differing::Below(path) => path.map(|path| shown.join_path(&path)),
        Differing::Itself(kind) => kind.map(|_| shown.clone()),
    })
}

/// The flags that forbid changes to a file or directory and that its copy, which is the same in all else, has
/// not; `None` where that is not so. A copy gets them last, after its name.
pub fn missing_locks(of: Place<'_>, copy: Place<'_>, shown: &TreePath) -> Result<Option<IFlags>> {
    let failed = |why| Error::io(format!("compare {shown} with its copy"), why);
    let (a, b) = (of.stat().map_err(failed)?, copy.stat().map_err(failed)?);
    let owner_and_mode = |stat: &Stat| (stat.facts.uid, stat.facts.gid, stat.facts.mode);
    let file_type = a.facts.file_type;
    if file_type != b.facts.file_type
        || owner_and_mode(&a) != owner_and_mode(&b)
        || !matches!(file_type, FileType::File | FileType::Dir)
    {
        return Ok(None);
    }
    let one = open_file::open_expected(of, &a).map_err(failed)?;
    let other = open_file::open_expected(copy, &b).map_err(failed)?;
    let flags = |file: &OwnedFd| InodeFlags::of(file.as_fd()).map_err(failed);
    let (Some(wanted), Some(found)) = (flags(&one)?, flags(&other)?) else { return Ok(None) };
    let lacks_locks = !wanted.locks().is_empty() && found.locks().is_empty();
    if !lacks_locks || wanted.without_locks() != found.without_locks() {
        return Ok(None);
    }
    let attributes = |file: &OwnedFd| xattrs::of_open(file.as_fd()).map_err(failed);
    let is_same = attributes(&one)? == attributes(&other)?
        && match file_type {
            FileType::File => !compare::content_differs(of, copy).map_err(|why| why.at(shown))?,
            _ => compare_by_walk(one.as_fd(), other.as_fd(), &|_| {})?
                .iter()
                .all(|row| row.path.as_bytes().is_empty()),
        };
    Ok(is_same.then_some(wanted.locks()))
}

/// How two files differ, or what two directories have below that does.
enum Differing<T> {
    Below(T),
    Itself(Option<ChangeKind>),
}

/// Compares two files, or two directories by `walk`.
fn difference_of<T>(
    one: Place<'_>,
    other: Place<'_>,
    shown: &TreePath,
    walk: impl FnOnce(BorrowedFd<'_>, BorrowedFd<'_>) -> Result<T>,
) -> Result<Differing<T>> {
    let failed = |why| Error::io(format!("compare {shown} with its copy"), why);
    let (a, b) = (one.stat().map_err(failed)?, other.stat().map_err(failed)?);
    let is_dir = |stat: &Stat| stat.facts.file_type == FileType::Dir;
    if is_dir(&a) && is_dir(&b) {
        let open = |place: Place<'_>| open_dir(place.dir, place.name).map_err(failed);
        return walk(open(one)?.as_fd(), open(other)?.as_fd()).map(Differing::Below);
    }
    let kind = match compare::difference_at_sight(&a, &b) {
        None => compare::find_difference((one, &a), (other, &b)).map_err(|why| why.at(shown))?,
        found => found,
    };
    Ok(Differing::Itself(kind))
}

/// Compares a copy with what it was made of. Writes into `copied` the subvolumes that were left out, and
/// the files whose attributes are too many to be listed, so that the copy has those alone that say who
/// gets in.
fn expect_same(
    from: Place<'_>,
    to: Place<'_>,
    shown: (&TreePath, &TreePath),
    limits: &Limits,
    copied: &mut Copied,
) -> Result<()> {
    // One that was empty when it was copied may hold something by now.
    copied.left_out = Told::default();
    copied.unlisted = Told::default();
    let mut judge = |below: &TreePath, kind| {
        let path = || shown.0.join_path(below);
        let pair = Pair::reach(from, to, below);
        let judged = pair.and_then(|pair| pair.judge(kind, limits));
        match judged.map_err(|why| why.at(&path()))? {
            Judged::Same => Ok(()),
            Judged::LeftOut => {
                copied.left_out.push(path);
                Ok(())
            }
            Judged::Unlisted => {
                copied.unlisted.push(path);
                Ok(())
            }
            Judged::Different => {
                let why = format!("the copy differs from it at {}", path());
                Err(Error::new(format!("copy {} to {}", shown.0, shown.1), why)
                    .hint("end the programs that write there, and try again"))
            }
        }
    };
    let all = |one: BorrowedFd<'_>, other: BorrowedFd<'_>| compare_by_walk(one, other, &|_| {});
    match difference_of(from, to, shown.0, all)? {
        Differing::Below(rows) => rows.iter().try_for_each(|row| judge(&row.path, row.kind))?,
        Differing::Itself(Some(kind)) => judge(&TreePath::root(), kind)?,
        Differing::Itself(None) => {}
    }
    Ok(())
}

/// What to make of a difference between a file and its copy.
enum Judged {
    /// The copy has all that it should have.
    Same,
    /// It is a subvolume that holds something, in whose place the copy has an empty directory.
    LeftOut,
    /// Nothing but extended attributes that cannot be listed may tell the two apart.
    Unlisted,
    /// It is another.
    Different,
}

/// A file below what was copied, and its copy.
struct Pair<'p> {
    from: Reached<'p>,
    to: Reached<'p>,
}

impl<'p> Pair<'p> {
    fn reach(from: Place<'p>, to: Place<'p>, below: &TreePath) -> Result<Self, compare::Failure> {
        let names = below.as_bytes().split(|&b| b == b'/').filter(|name| !name.is_empty());
        let names: Vec<CString> = names.filter_map(|name| CString::new(name).ok()).collect();
        let reach = |top: Place<'p>, side| {
            let way = [top.name.to_owned()].into_iter().chain(names.iter().cloned());
            Reached::open(top.dir, way.collect())
                .map_err(|why| compare::Failure::new("", side, why))
        };
        Ok(Self { from: reach(from, Side::Older)?, to: reach(to, Side::Newer)? })
    }

    fn judge(&self, kind: ChangeKind, limits: &Limits) -> Result<Judged, compare::Failure> {
        let (from, to) = (self.from.place(), self.to.place());
        let has_all = || Ok(limits.no_privileges && !compare::differ_but_for_privileges(from, to)?);
        Ok(match kind {
            ChangeKind::Replaced if self.is_left_out() => Judged::LeftOut,
            ChangeKind::Metadata if has_all()? => Judged::Same,
            ChangeKind::Metadata if self.is_like_but_unlisted() => Judged::Unlisted,
            _ => Judged::Different,
        })
    }

    fn is_left_out(&self) -> bool {
        let (from, to) = (self.from.place(), self.to.place());
        let is_subvolume = Boundary::of(from.dir).and_then(|boundary| boundary.stat(from));
        let is_subvolume = is_subvolume.map(|stat| stat.facts.file_type == FileType::Subvolume);
        let names =
            open_dir(to.dir, to.name).and_then(|dir| directory_walker::list_names(dir.as_fd()));
        is_subvolume.unwrap_or(false) && names.is_ok_and(|names| names.is_empty())
    }

    fn is_like_but_unlisted(&self) -> bool {
        let (from, to) = (self.from.place(), self.to.place());
        let (Ok(a), Ok(b)) = (from.stat(), to.stat()) else { return false };
        let owner_and_mode = |stat: &Stat| (stat.facts.uid, stat.facts.gid, stat.facts.mode);
        owner_and_mode(&a) == owner_and_mode(&b) && xattrs::has_too_many(from)
    }
}

/// Best effort: nobody else can enter the directory that it is in.
fn discard(place: Place<'_>) {
    if let Ok(stat) = place.stat() {
        let _ = remove_if_same(place, &stat);
    }
}

#[cfg(test)]
#[path = "temporary_copy_tests.rs"]
mod tests;
