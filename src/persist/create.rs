//! Makes things in a directory that somebody else may control: nothing that is made here can lead
//! a later step elsewhere, and nothing has its name before it is whole.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use dirfd::FileType;
use dirfd::atomic_file::{self, rename_noreplace};
use dirfd::copy::private_directory::PrivateDir;
use dirfd::copy::temporary_copy;
use dirfd::fault::change;
use dirfd::inode_flags::InodeFlags;
use dirfd::open_file::check_made;
use dirfd::path::Escaped;
use dirfd::stat::{Place, Stat, of_open};
use dirfd::xattrs::{self, Values};
use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

/// What something is given that was made empty, whatever the umask and its directory say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewAttributes<'g> {
    /// User and group.
    pub(crate) owner: (u32, u32),
    /// Permission bits, as for chmod(2).
    pub(crate) mode: u16,
    /// The rest, if that matters.
    pub(crate) attributes: Option<&'g InodeAttributes>,
}

/// What a directory or file has beside its owner and mode: extended attributes, access control lists
/// among them, and flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InodeAttributes {
    /// Extended attributes.
    pub(crate) xattrs: Values,
    /// Flags; `None` where they cannot be told. Without those that keep everybody from writing (`+i`,
    /// `+a`): they protect the bare place of a mount, not the data that is mounted there.
    pub(crate) flags: Option<InodeFlags>,
}

impl InodeAttributes {
    /// Of something that is open for its path, and for reading if that is allowed: flags are told of
    /// nothing else.
    pub(crate) fn of(path: BorrowedFd<'_>, reading: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let flags = reading.map(InodeFlags::of).transpose()?.flatten();
        Ok(Self { xattrs: xattrs::of_open(path)?, flags: flags.map(InodeFlags::without_locks) })
    }

    /// The same without what says who gets in, where a declared mode does.
    pub(crate) fn without_access_lists(mut self) -> Self {
        self.xattrs.retain(|(name, _)| !is_access_list(name.to_bytes()));
        self
    }

    /// The same without what root alone can give.
    pub(crate) fn for_anybody(mut self) -> Self {
        self.xattrs.retain(|(name, _)| is_access_list(name.to_bytes()));
        self
    }

    /// Gives them to something that was made a moment ago and has no name yet.
    pub(crate) fn give(&self, made: BorrowedFd<'_>) -> io::Result<()> {
        if let Some(flags) = self.flags {
            // Where it is made there may be no such flags: it can do without.
            flags.give(made)?;
        }
        xattrs::set_on_open(made, &self.xattrs)
    }
}

fn is_access_list(name: &[u8]) -> bool {
    name.starts_with(b"system.posix_acl_")
}

/// Opens `path` below `root`, where somebody else may control a parent: no link is followed, and nothing
/// above the root is reached, whatever is renamed meanwhile. A link on the way is `ELOOP`; one at the end too, unless `flags` have
/// `PATH` and `NOFOLLOW`.
pub fn open_beneath(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC;
    for _ in 0..32 {
        match fs::openat2(root, path, flags, Mode::empty(), resolve) {
            // A rename anywhere meanwhile makes the kernel ask for another try (openat2(2)).
            Err(Errno::AGAIN) => {}
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Makes an empty directory. Where somebody else may write in `parent`, which lies in `base`, it is
/// made where nobody else can enter: no call both makes and opens it, and another one could have its
/// name in between.
pub(crate) fn make_dir(
    parent: BorrowedFd<'_>,
    base: BorrowedFd<'_>,
    name: &OsStr,
    given: NewAttributes<'_>,
) -> io::Result<()> {
    if is_private_dir(parent)? {
        return make_dir_in_own(parent, name, given);
    }
    let private = PrivateDir::make(parent, base)?;
    let name = CString::new(name.as_bytes())?;
    let from = Place { dir: private.as_fd(), name: &name };
    let moved = make_dir_in_own(from.dir, OsStr::from_bytes(name.to_bytes()), given)
        .and_then(|()| rename_noreplace(from, Place { dir: parent, name: &name }));
    // Best effort if it failed: nobody looks for that name.
    match discard_on_error(moved, from.dir, OsStr::from_bytes(name.to_bytes())) {
        Ok(()) => private.remove(),
        failed => private.remove().and(failed),
    }
}

/// Whether this process's user alone may write in a directory.
fn is_private_dir(dir: BorrowedFd<'_>) -> io::Result<bool> {
    let facts = of_open(dir)?.facts;
    Ok(facts.uid == rustix::process::geteuid().as_raw() && facts.mode & 0o022 == 0)
}

fn make_dir_in_own(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    given: NewAttributes<'_>,
) -> io::Result<()> {
    let private = Mode::RWXU;
    change("apply: make directory", || Ok(fs::mkdirat(parent, name, private)?))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = fs::openat(parent, name, flags, Mode::empty())?;
    check_made(made.as_fd(), FileType::Dir)?;
    discard_on_error(set_new_attributes(made.as_fd(), given), parent, name)
}

/// Makes an empty file.
pub(crate) fn make_file(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    given: NewAttributes<'_>,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let private = Mode::RUSR | Mode::WUSR;
    let made = change("apply: make file", || Ok(fs::openat(parent, name, flags, private)?))?;
    discard_on_error(set_new_attributes(made.as_fd(), given), parent, name)
}

/// Makes a link. Its owner decides nothing.
pub(crate) fn make_link(parent: BorrowedFd<'_>, name: &OsStr, target: &[u8]) -> io::Result<()> {
    change("apply: make link", || Ok(fs::symlinkat(OsStr::from_bytes(target), parent, name)?))
}

/// Whether a directory that is open for reading has no name in it.
pub(crate) fn is_empty_dir(dir: BorrowedFd<'_>) -> io::Result<bool> {
    for name in fs::Dir::read_from(dir)? {
        if !matches!(name?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn set_new_attributes(made: BorrowedFd<'_>, given: NewAttributes<'_>) -> io::Result<()> {
    let facts = of_open(made)?.facts;
    if (facts.uid, facts.gid) != given.owner {
        set_owner(made, given.owner)?;
    }
    given.attributes.map_or(Ok(()), |attributes| attributes.give(made))?;
    // A new owner may have dropped bits, and an access control list has set some.
    if of_open(made)?.facts.mode == given.mode { Ok(()) } else { set_mode(made, given.mode) }
}

/// Gives an open file or directory another owner.
pub(crate) fn set_owner(open: BorrowedFd<'_>, (uid, gid): (u32, u32)) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    change("apply: set owner", || Ok(fs::fchown(open, Some(uid), Some(gid))?))
}

/// Gives an open file or directory another mode.
pub(crate) fn set_mode(open: BorrowedFd<'_>, mode: u16) -> io::Result<()> {
    change("apply: set mode", || Ok(fs::fchmod(open, Mode::from_raw_mode(mode.into()))?))
}

/// Makes something under a temporary name and then gives it its own, which nothing must have: what
/// an interrupted run had not given its owner and mode would keep the wrong ones for good, since
/// those of what is there are nobody's to change.
pub(crate) fn make_whole(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    make: impl FnOnce(&OsStr) -> io::Result<()>,
) -> io::Result<()> {
    let aside = atomic_file::unused(parent, name)?;
    make(&aside)?;
    let named = change("apply: name", || rename_to_unused(parent, &aside, name));
    discard_on_error(named, parent, &aside)
}

/// Gives what has the one name in a directory the other, which nothing must have.
pub(crate) fn rename_to_unused(dir: BorrowedFd<'_>, from: &OsStr, to: &OsStr) -> io::Result<()> {
    let (from, to) = (CString::new(from.as_bytes())?, CString::new(to.as_bytes())?);
    rename_noreplace(Place { dir, name: &from }, Place { dir, name: &to })
}

/// Removes what was made under a temporary name if it could not be completed. Best effort: nobody
/// looks for that name.
fn discard_on_error(done: io::Result<()>, dir: BorrowedFd<'_>, made: &OsStr) -> io::Result<()> {
    if done.is_err() {
        let _ = change("apply: discard", || match fs::unlinkat(dir, made, AtFlags::REMOVEDIR) {
            Err(Errno::NOTDIR) => Ok(fs::unlinkat(dir, made, AtFlags::empty())?),
            removed => Ok(removed?),
        });
    }
    done
}

/// Makes something under a temporary name and exchanges it with `name`. What had that name is removed
/// if `is_spare` says so, else it gets the name of a leftover, which is returned. Flags of it that forbid
/// another name are dropped: what lies there is copied already, or comes back with blank.
pub(crate) fn replace_with_new(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    make: impl FnOnce(&OsStr) -> io::Result<()>,
    may_remove: impl FnOnce(&Stat) -> bool,
) -> io::Result<Option<OsString>> {
    let made = atomic_file::unused(parent, name)?;
    make(&made)?;
    let copy = CString::new(made.as_bytes())?;
    if let Err(error) = drop_locking_flags(parent, name) {
        return discard_on_error(Err(error), parent, &made).map(|()| None);
    }
    let aside = match exchange_with_backup(Place { dir: parent, name: &copy }, parent, name) {
        Ok(aside) => aside,
        Err(error) => return discard_on_error(Err(error), parent, &made).map(|()| None),
    };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let former = of_open(fs::openat(parent, aside.as_os_str(), flags, Mode::empty())?.as_fd())?;
    if !may_remove(&former) {
        return Ok(Some(aside));
    }
    change("apply: remove what is spare", || match former.facts.file_type {
        FileType::Dir => Ok(fs::unlinkat(parent, aside.as_os_str(), AtFlags::REMOVEDIR)?),
        _ => Ok(fs::unlinkat(parent, aside.as_os_str(), AtFlags::empty())?),
    })?;
    Ok(None)
}

fn drop_locking_flags(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let name = CString::new(name.as_bytes())?;
    let there = Place { dir: parent, name: &name };
    match there.stat() {
        Ok(stat) => temporary_copy::unlock(there, &stat).map(drop),
        // Whoever renames it tells what is wrong.
        Err(_) => Ok(()),
    }
}

/// Puts a finished copy in the place of `name`. What was there gets the first name of a leftover
/// that nothing has, which is returned.
///
/// The copy has that name first, and then the two are exchanged: what was there never has a temporary
/// name, and something has `name` at every moment where the file system can exchange two names at once
/// ([`atomic_file::exchange`]). If that fails, the copy is where it was.
pub(crate) fn exchange_with_backup(
    copy: Place<'_>,
    parent: BorrowedFd<'_>,
    name: &OsStr,
) -> io::Result<OsString> {
    let names = (1..=atomic_file::ATTEMPTS).map(|number| backup_name(name, number));
    exchange_setting_aside(copy, parent, name, names)
}

/// The same; what was there gets the first of `names` that nothing has.
pub(crate) fn exchange_setting_aside(
    copy: Place<'_>,
    parent: BorrowedFd<'_>,
    name: &OsStr,
    names: impl IntoIterator<Item = OsString>,
) -> io::Result<OsString> {
    let made = copy.stat()?;
    let aside = rename_to_unused_of(parent, copy, names)?;
    let beside = CString::new(aside.as_bytes())?;
    let beside = Place { dir: parent, name: &beside };
    let named = CString::new(name.as_bytes())?;
    let there = Place { dir: parent, name: &named };
    if let Err(error) = atomic_file::exchange("apply: exchange", beside, there) {
        // Best effort: a second copy beside the data is harmless, and is listed as a leftover.
        let _ = change("apply: take back", || rename_noreplace(beside, copy));
        return Err(error);
    }
    if !there.stat()?.is_same_file(&made) {
        return Err(io::Error::other("somebody else changed it at the same moment"));
    }
    Ok(aside)
}

fn rename_to_unused_of(
    parent: BorrowedFd<'_>,
    copy: Place<'_>,
    names: impl IntoIterator<Item = OsString>,
) -> io::Result<OsString> {
    for aside in names {
        let beside = CString::new(aside.as_bytes())?;
        let beside = Place { dir: parent, name: &beside };
        match change("apply: name beside", || rename_noreplace(copy, beside)) {
            Ok(()) => return Ok(aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The name of what storage had before: `.NAME.before-1`.
pub(crate) fn backup_name(name: &OsStr, number: u32) -> OsString {
    // The longest number and the dot must fit into 255 bytes.
    let stem = name.as_bytes().get(..230).unwrap_or(name.as_bytes());
    OsString::from_vec([b".", stem, format!(".before-{number}").as_bytes()].concat())
}

/// Makes the names in a directory durable, which may be open for its path alone.
pub(crate) fn sync_dir(dir: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(fs::fsync(fs::openat(dir, ".", flags, Mode::empty())?)?)
}

/// Removes a link that says `target`, and nothing else.
pub(crate) fn remove_link(parent: BorrowedFd<'_>, name: &OsStr, target: &[u8]) -> io::Result<()> {
    check_link(parent, name, target)?;
    change("apply: unlink", || Ok(fs::unlinkat(parent, name, AtFlags::empty())?))
}

/// Puts what `make` makes in the place of a link that says `target`, and then lets `cover` mount over
/// it. If that fails the link is put back, so that what it shows does not go out of sight.
pub(crate) fn replace_link_by_mount(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    target: &[u8],
    make: impl FnOnce(&OsStr) -> io::Result<()>,
    cover: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    check_link(parent, name, target)?;
    let aside = atomic_file::unused(parent, name)?;
    make(&aside)?;
    let (made, named) = (CString::new(aside.as_bytes())?, CString::new(name.as_bytes())?);
    let place = |name| Place { dir: parent, name };
    let exchange = |point| atomic_file::exchange(point, place(&made), place(&named));
    discard_on_error(exchange("apply: exchange"), parent, &aside)?;
    if let Err(why) = cover() {
        let put_back = exchange("apply: put the link back");
        return match put_back {
            Ok(()) => discard_on_error(Err(why), parent, &aside),
            Err(other) => {
                let link = Escaped(aside.as_bytes());
                Err(io::Error::other(format!("{why}; the link is named {link} by now: {other}")))
            }
        };
    }
    remove_link(parent, &aside, target)
}

fn check_link(parent: BorrowedFd<'_>, name: &OsStr, target: &[u8]) -> io::Result<()> {
    match fs::readlinkat(parent, name, Vec::new()) {
        Ok(says) if says.as_bytes() == target => Ok(()),
        Ok(says) => {
            let text = format!("it leads to {} by now", Escaped(says.as_bytes()));
            Err(io::Error::other(text))
        }
        Err(Errno::INVAL) => Err(io::Error::other("it is no link any more")),
        Err(error) => Err(error.into()),
    }
}
