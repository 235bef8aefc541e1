//! Looks up one path of a machine without following any link.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use dirfd::boundary::Boundary;
use dirfd::manifest::Census;
use dirfd::path::shell_path;
use dirfd::stat::{Place, Stat, of_open};
use dirfd::{Error, FileType, Result, TreePath, atomic_file, inode_flags};
use rustix::fs::{self, IFlags, OFlags};

use crate::host::{Machine, is_not_found};
use crate::persist::create;
use crate::persist::real_path::LinkOnTheWay;

/// Something that has a path.
#[derive(Debug)]
pub(crate) struct Dentry {
    /// The directory that holds it.
    pub(crate) parent: OwnedFd,
    /// Its name there.
    pub(crate) name: CString,
    /// What the kernel tells of it; a subvolume has the type of its own.
    pub(crate) stat: Stat,
    /// Something is mounted there.
    pub(crate) is_mount: bool,
}

impl Dentry {
    /// It, in its directory.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { dir: self.parent.as_fd(), name: &self.name }
    }

    /// What it is made of. `path` is for messages.
    pub(crate) fn census(&self, path: &TreePath) -> Result<Census> {
        Census::take(self.place(), path)
    }

    /// Its path as the kernel names it for this thread.
    pub(crate) fn kernel_path(&self) -> io::Result<Vec<u8>> {
        let link = format!("/proc/thread-self/fd/{}", self.parent.as_raw_fd());
        let parent = fs::readlink(link, Vec::new())?.into_bytes();
        let parent = parent.strip_suffix(b"/").unwrap_or(&parent);
        Ok([parent, b"/", self.name.to_bytes()].concat())
    }
}

/// Looks at `path`; `None` if nothing has it.
pub(crate) fn look_up(machine: &Machine, path: &TreePath) -> Result<Option<Dentry>> {
    let failed = |why: io::Error| {
        let action = format!("look at {path}");
        find_link_on_the_way(machine, path).map_or_else(
            || Error::io(action.clone(), why),
            |link| Error::new(action.clone(), link.reason()).hint(link.hint()),
        )
    };
    match machine.parent_of(path) {
        Ok(parent) => look_up_in(parent, path).map_err(failed),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(failed(why)),
    }
}

/// The same in the tree that is open as `root` and is called `shown`, where a file on the way is nothing,
/// too.
pub(crate) fn look_up_in_tree(
    root: BorrowedFd<'_>,
    path: &TreePath,
    shown: &str,
) -> Result<Option<Dentry>> {
    let failed = |why: io::Error| {
        let action = format!("look at {path} of {shown}");
        let open = |place: &TreePath, flags| create::open_beneath(root, place.as_path(), flags);
        LinkOnTheWay::find(path, |place| link_target(|flags| open(place, flags))).map_or_else(
            || Error::io(action.clone(), why),
            |link| Error::new(action.clone(), link.reason()).hint(link.hint()),
        )
    };
    let parent = path.parent().unwrap_or_default();
    match create::open_beneath(root, parent.as_path(), OFlags::PATH | OFlags::DIRECTORY) {
        Ok(parent) => look_up_in(parent, path).map_err(failed),
        Err(why) if is_not_found(&why) => Ok(None),
        Err(why) => Err(failed(why)),
    }
}

/// What has the last name of `path` in the open directory `parent`.
fn look_up_in(parent: OwnedFd, path: &TreePath) -> io::Result<Option<Dentry>> {
    let name = path.name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    let name = CString::new(name)?;
    let boundary = Boundary::of(parent.as_fd())?;
    let stat = match boundary.stat(Place { dir: parent.as_fd(), name: &name }) {
        Ok(stat) => stat,
        Err(why) if is_not_found(&why) => return Ok(None),
        Err(why) => return Err(why),
    };
    let is_mount = boundary.is_beyond_mount(&stat);
    Ok(Some(Dentry { parent, name, stat, is_mount }))
}

/// The same of what storage has at `source`, or has by another name since an exchange was cut short.
pub(crate) fn look_up_data(machine: &Machine, source: &TreePath) -> Result<Option<Dentry>> {
    if let Some(found) = look_up(machine, source)? {
        return Ok(Some(found));
    }
    let unnamed = find_unnamed(machine, source)
        .map_err(|why| Error::io(format!("look for what is to be {source}"), why))?;
    unnamed.map_or(Ok(None), |unnamed| look_up(machine, &unnamed))
}

/// The path of what was to be named `source`, which nothing has, when an exchange was cut short.
pub(crate) fn find_unnamed(machine: &Machine, source: &TreePath) -> io::Result<Option<TreePath>> {
    let (parent, name) = (source.parent().unwrap_or_default(), source.name().unwrap_or_default());
    let found =
        machine.parent_of(source).and_then(|dir| atomic_file::find_unnamed(dir.as_fd(), name));
    match found {
        Ok(found) => Ok(found.map(|name| parent.join(name.as_encoded_bytes()))),
        Err(why) if is_not_found(&why) => Ok(None),
        Err(why) => Err(why),
    }
}

/// Refuses to do `action` while `path`, which is open and called `shown`, has a flag that forbids to rename it, or to
/// make and rename in it, to everybody.
pub(crate) fn refuse_locked(
    open: impl AsFd,
    action: &str,
    (shown, path): (&str, &TreePath),
) -> Result<()> {
    let found = inode_flags::read_flags(open).map_err(|why| Error::io(action, why))?;
    let found = found.unwrap_or(IFlags::empty());
    let (letter, word) = match () {
        () if found.contains(IFlags::IMMUTABLE) => ("i", "immutable"),
        () if found.contains(IFlags::APPEND) => ("a", "append-only"),
        () => return Ok(()),
    };
    let why = format!("{shown}{path} is {word} (`chattr +{letter}`)");
    Err(Error::new(action, why).hint(format!("`chattr -{letter} {}`", shell_path(path))))
}

/// The first link on the way to `path`.
pub(crate) fn find_link_on_the_way(machine: &Machine, path: &TreePath) -> Option<LinkOnTheWay> {
    LinkOnTheWay::find(path, |place| link_target(|flags| machine.open_at(place, flags)))
}

/// What a link says that `open` opens; `None` of anything else.
fn link_target(open: impl Fn(OFlags) -> io::Result<OwnedFd>) -> Option<Vec<u8>> {
    let opened = open(OFlags::PATH | OFlags::NOFOLLOW).ok()?;
    let is_link = of_open(opened.as_fd()).ok()?.facts.file_type == FileType::Symlink;
    let target = fs::readlinkat(&opened, c"", Vec::new()).ok().filter(|_| is_link)?;
    Some(target.into_bytes())
}
