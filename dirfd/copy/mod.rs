//! Copies a file or a whole tree: content, holes, hard links, special files, owners, modes, extended
//! attributes and times. What cannot be copied is an error that names the path.

pub mod attributes;
pub mod data;
pub mod private_directory;
pub mod temporary_copy;

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, IFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::boundary::Boundary;
use crate::copy::attributes::{Limits, NotGiven};
use crate::directory_walker::{self, Descent, Reached, open_dir};
use crate::fault::change;
use crate::inode_flags::{self, InodeFlags};
use crate::open_file::{self, Handle};
use crate::path_set::{PathId, Told, Way};
use crate::stat::{Place, Stat, is_gone, of_open};
use crate::{Error, FileType, Result, TreePath};

/// What there is to tell of a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files that have further names outside of what was copied; the copy is a file of its own.
    pub linked_outside: Told<TreePath>,
    /// Nested subvolumes that hold something: the copy has an empty directory in the place of each, as
    /// it has for those that are empty.
    pub left_out: Told<TreePath>,
    /// Files with more extended attributes than the kernel lists; the copy has their access control
    /// lists alone.
    pub unlisted: Told<TreePath>,
    /// Files with flags that the copy's file system does not take, and the letters of those.
    pub refused_flags: Told<(TreePath, String)>,
    /// Files with set-user-ID or set-group-ID bits or capabilities that the copy has not, since they were
    /// on a mount with `nosuid`.
    pub privileges: Told<TreePath>,
    /// Flags of the topmost file that forbid changes, its name among them: the copy has none of these.
    pub locks: Option<IFlags>,
}

impl Copied {
    fn note(&mut self, path: impl FnOnce() -> TreePath, refused: String) {
        if !refused.is_empty() {
            self.refused_flags.push(|| (path(), refused));
        }
    }

    fn note_not_given(&mut self, path: impl Fn() -> TreePath, not_given: NotGiven) {
        if not_given.privileges {
            self.privileges.push(&path);
        }
        if not_given.unlisted {
            self.unlisted.push(&path);
        }
    }
}

/// Told of names and of bytes as they are copied.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64);

/// Copies what has the one name to the other, which nothing must have. `shown` is the path of what
/// is copied, for messages; `limits` are those of its mount.
///
/// What vanishes from a tree meanwhile counts as not there. On failure, what was copied so far
/// stays; nothing is synced in any case.
pub fn copy_tree_or_file(
    from: Place<'_>,
    to: Place<'_>,
    shown: &TreePath,
    limits: &Limits,
    progress: Progress<'_>,
) -> Result<Copied> {
    let failed_at = |why| failed(shown, why);
    let stat = from.stat().map_err(failed_at)?;
    if !limits.are_of(&stat) {
        return Err(failed_at(io::Error::other("something was mounted over it meanwhile")));
    }
    if stat.facts.file_type == FileType::Dir {
        let root = open_file::open_expected(from, &stat).map_err(failed_at)?;
        return copy_below(root.as_fd(), to.dir, to.name, shown, limits, progress);
    }
    let flags = match copy_single_file(from, &stat, to, limits, &mut true, progress) {
        Ok(flags) => flags,
        Err(Failure::Gone) => return Err(Error::new(format!("copy {shown}"), "it vanished")),
        Err(Failure::Of(why)) => return Err(failed_at(why)),
    };
    let mut copied = Copied { locks: flags.locks, ..Copied::default() };
    if stat.links > 1 {
        copied.linked_outside.push(|| shown.clone());
    }
    copied.note(|| shown.clone(), flags.refused);
    copied.note_not_given(|| shown.clone(), flags.not_given);
    Ok(copied)
}

/// Copies the tree whose root directory is open as `from` to a new directory `name` in `to`, with
/// the same promises.
pub fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let limits = Limits::default();
    let copied = copy_below(from, to, name, &TreePath::root(), &limits, &mut |_, _| {})?;
    match copied.left_out.first().first() {
        Some(path) => Err(failed(path, io::Error::other("it is a subvolume of its own"))),
        None => Ok(()),
    }
}

fn copy_below(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    shown: &TreePath,
    limits: &Limits,
    progress: Progress<'_>,
) -> Result<Copied> {
    let failed = |why| failed(shown, why);
    let boundary = Boundary::of(from).map_err(failed)?;
    let target = make_and_open_dir(to, name).map_err(failed)?;
    let names = directory_walker::list_names(from).map_err(failed)?;
    let mut copier = Copier {
        boundary,
        source: Descent::new(from),
        target_root: target.as_fd(),
        target: Descent::new(target.as_fd()),
        frames: vec![Frame { names: names.into_iter(), stat: *boundary.root() }],
        way: Way::default(),
        first_names: HashMap::new(),
        can_clone: true,
        locked: Vec::new(),
        told: Copied::default(),
        limits,
        shown,
        progress,
    };
    copier.run()?;
    copier.lock()?;
    copier.tell_of_links();
    Ok(copier.told)
}

/// Makes an empty directory that nobody else can look into yet.
pub fn make_dir(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    change("copy: make directory", || Ok(fs::mkdirat(dir, name, Mode::RWXU)?))
}

/// The same, open, and known to be the one that was made.
fn make_and_open_dir(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    make_dir(dir, name)?;
    let made = open_dir(dir, name)?;
    open_file::check_made(made.as_fd(), FileType::Dir)?;
    Ok(made)
}

/// One source directory on the way down.
struct Frame {
    names: std::vec::IntoIter<CString>,
    stat: Stat,
}

/// A file with more than one name.
struct Linked {
    /// Where it was copied to first.
    first: PathId,
    /// Names that were not met in the tree so far.
    missing: u32,
}

struct Copier<'a> {
    boundary: Boundary,
    source: Descent<'a>,
    target_root: BorrowedFd<'a>,
    target: Descent<'a>,
    frames: Vec<Frame>,
    /// From the root down to the current directory.
    way: Way,
    /// The files with more than one name.
    first_names: HashMap<(u64, (u32, u32)), Linked>,
    /// Whether sharing extents has not failed yet.
    can_clone: bool,
    /// Files and directories below the topmost one that get flags that forbid changes, when all is there.
    locked: Vec<(PathId, IFlags)>,
    told: Copied,
    limits: &'a Limits,
    shown: &'a TreePath,
    progress: Progress<'a>,
}

impl Copier<'_> {
    fn run(&mut self) -> Result<()> {
        while let Some(frame) = self.frames.last_mut() {
            let Some(name) = frame.names.next() else {
                let stat = frame.stat;
                self.leave(&stat).map_err(|why| failed(&self.path_of(c""), why))?;
                continue;
            };
            match self.copy(&name) {
                Ok(()) => {}
                Err(Failure::Gone) => {}
                Err(Failure::Of(why)) => return Err(failed(&self.path_of(&name), why)),
            }
        }
        Ok(())
    }

    /// Copies one name of the current directory; goes into it if it is a directory.
    fn copy(&mut self, name: &CStr) -> Result<(), Failure> {
        let from = Place { dir: self.source.current().map_err(Failure::reading)?, name };
        let stat = self.boundary.stat(from).map_err(Failure::reading)?;
        if self.boundary.is_beyond_mount(&stat) {
            return Err(Failure::Of(io::Error::other("something is mounted over it")));
        }
        let is_dir = stat.facts.file_type == FileType::Dir;
        let is_file = !is_dir && stat.facts.file_type != FileType::Subvolume;
        if is_file && stat.links > 1 && self.link(name, &stat)? {
            return Ok(());
        }
        if is_dir {
            return self.enter(name, stat);
        }
        let from = Place { dir: self.source.current().map_err(Failure::reading)?, name };
        let to = Place { dir: self.target.current()?, name };
        let flags =
            copy_single_file(from, &stat, to, self.limits, &mut self.can_clone, self.progress)?;
        if stat.facts.file_type == FileType::Subvolume {
            if stat.has_names {
                self.told.left_out.push(|| self.shown.join_path(&self.way.path_of(name)));
            }
            return Ok(());
        }
        if let Some(locks) = flags.locks {
            self.locked.push((self.way.record(name.to_bytes()), locks));
        }
        let path = || self.shown.join_path(&self.way.path_of(name));
        self.told.note(path, flags.refused);
        self.told.note_not_given(path, flags.not_given);
        if stat.links > 1 {
            let first = self.way.record(name.to_bytes());
            let linked = Linked { first, missing: stat.links - 1 };
            self.first_names.insert((stat.inode, stat.device), linked);
        }
        Ok(())
    }

    /// Forbids changes, now that nothing is made or linked any more.
    fn lock(&mut self) -> Result<()> {
        for (of, locks) in std::mem::take(&mut self.locked) {
            let path = || self.shown.join_path(&self.way.paths().path(of));
            let lock = || {
                let way = self.way.paths().components(of);
                let copied = Reached::open(self.target_root, way)?;
                let file = open_file::open_expected(copied.place(), &copied.place().stat()?)?;
                inode_flags::lock_changes(file.as_fd(), locks)
            };
            let refused = lock().map_err(|why| failed(&path(), why))?;
            self.told.note(path, refused);
        }
        Ok(())
    }

    fn tell_of_links(&mut self) {
        let linked = self.first_names.values();
        let outside = linked.filter(|linked| linked.missing > 0).map(|linked| linked.first);
        self.told.linked_outside = Told::of(outside.collect(), self.way.paths(), self.shown);
    }

    /// Gives a file that was copied already its further name.
    fn link(&mut self, name: &CStr, stat: &Stat) -> Result<bool, Failure> {
        let Some(linked) = self.first_names.get_mut(&(stat.inode, stat.device)) else {
            return Ok(false);
        };
        let way = self.way.paths().components(linked.first);
        let copied = Reached::open(self.target_root, way)?;
        let first = copied.place();
        let to = Place { dir: self.target.current()?, name };
        change("copy: link", || {
            Ok(fs::linkat(first.dir, first.name, to.dir, to.name, AtFlags::empty())?)
        })?;
        linked.missing = linked.missing.saturating_sub(1);
        (self.progress)(1, 0);
        Ok(true)
    }

    fn enter(&mut self, name: &CStr, stat: Stat) -> Result<(), Failure> {
        self.source.enter(name).map_err(Failure::reading)?;
        let (stat, names) = match self.entered(&stat) {
            Ok(found) => found,
            Err(why) => {
                self.source.leave();
                return Err(Failure::reading(why));
            }
        };
        make_dir(self.target.current()?, name)?;
        self.target.enter(name)?;
        open_file::check_made(self.target.current()?, FileType::Dir)?;
        self.way.descend(name.to_bytes());
        self.frames.push(Frame { names: names.into_iter(), stat });
        (self.progress)(1, 0);
        Ok(())
    }

    /// The directory that was entered, if it is the one that was `expected`, and its names.
    fn entered(&mut self, expected: &Stat) -> io::Result<(Stat, Vec<CString>)> {
        let dir = self.source.current()?;
        let stat = of_open(dir)?;
        if !stat.is_same_file(expected) {
            return Err(Errno::STALE.into());
        }
        Ok((stat, directory_walker::list_names(dir)?))
    }

    /// Finishes a directory: whatever was made in it has changed its times, and its mode may not
    /// have allowed to make anything.
    fn leave(&mut self, stat: &Stat) -> io::Result<()> {
        let to = self.target.current()?;
        match self.source.current() {
            Ok(dir) => {
                let flags = Flags::give(dir, to)?;
                let (dir, to) = (Handle::of_data(dir), Handle::of_data(to));
                let not_given = attributes::copy_attributes(dir, stat, to, self.limits)?;
                let way = || self.shown.join_path(&self.way.here());
                self.told.note(way, flags.refused);
                self.told.note_not_given(way, not_given);
                match (self.way.is_at_root(), flags.locks) {
                    (true, locks) => self.told.locks = locks,
                    (false, Some(locks)) => self.locked.push((self.way.record_here(), locks)),
                    (false, None) => {}
                }
            }
            // It vanished after it was listed: then it does not matter what it was.
            Err(why) if is_gone(&why) => {}
            Err(why) => return Err(why),
        }
        self.frames.pop();
        if self.way.ascend() {
            self.source.leave();
            self.target.leave();
        }
        Ok(())
    }

    fn path_of(&self, name: &CStr) -> TreePath {
        self.shown.join_path(&self.way.path_of(name))
    }
}

/// Why one file was not copied.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It vanished from the source, which is no failure.
    Gone,
    /// Anything else.
    Of(io::Error),
}

impl Failure {
    /// What a failed look at the source means.
    fn reading(why: io::Error) -> Self {
        if is_gone(&why) { Self::Gone } else { Self::Of(why) }
    }
}

impl From<io::Error> for Failure {
    fn from(why: io::Error) -> Self {
        Self::Of(why)
    }
}

fn failed(path: &TreePath, why: io::Error) -> Error {
    Error::io(format!("copy {path}"), why)
}

// Copies one file that is no directory, whatever its type; of a nested subvolume, the empty place.

/// Flags that a copy does not have, or not yet.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// The letters of those that its file system does not take.
    pub refused: String,
    /// Those that forbid changes.
    pub locks: Option<IFlags>,
    /// What the copy has not of the attributes.
    pub not_given: NotGiven,
}

impl Flags {
    /// Gives a copy the flags of its original, but for those that forbid changes.
    pub fn give(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<Self> {
        let Some(flags) = InodeFlags::of(from)? else { return Ok(Self::default()) };
        let locks = Some(flags.locks()).filter(|locks| !locks.is_empty());
        Ok(Self { refused: flags.give(to)?, locks, not_given: NotGiven::default() })
    }
}

/// Copies one file that is no directory: the one that `stat` tells of, which is opened once, so that
/// its content cannot get the owner of another that had its name a moment before.
pub(crate) fn copy_single_file(
    from: Place<'_>,
    stat: &Stat,
    to: Place<'_>,
    limits: &Limits,
    can_clone: &mut bool,
    progress: Progress<'_>,
) -> Result<Flags, Failure> {
    let file_type = stat.facts.file_type;
    limits.check(file_type)?;
    let opened = open_file::open_and_look(from, stat).map_err(Failure::reading)?;
    let (source, stat) = match file_type {
        FileType::Subvolume => (opened.0, *stat),
        _ => opened,
    };
    let from = Handle::new(source.as_fd(), file_type);
    let mut flags = Flags::default();
    let made: OwnedFd = match file_type {
        FileType::File => {
            let (source, target) = (source.try_clone()?.into(), make_file(to)?);
            flags = Flags::give(from.fd(), target.as_fd())?;
            data::copy_data(&source, stat.facts.size, &target, can_clone, &mut |bytes| {
                progress(0, bytes)
            })?;
            target.into()
        }
        FileType::Symlink => {
            let target = fs::readlinkat(&source, c"", Vec::new());
            let target = target.map_err(|why| Failure::reading(why.into()))?;
            change("copy: make link", || Ok(fs::symlinkat(&*target, to.dir, to.name)?))?;
            open_file::open_made(to, file_type)?
        }
        // What is in it is no part of the tree around it, and what has its place is no subvolume.
        FileType::Subvolume => make_and_open_dir(to.dir, to.name)?,
        _ => {
            make_node(&stat, to)?;
            open_file::open_made(to, file_type)?
        }
    };
    let made = Handle::new(made.as_fd(), file_type);
    flags.not_given = attributes::copy_attributes(from, &stat, made, limits)?;
    progress(1, 0);
    Ok(flags)
}

fn make_node(stat: &Stat, to: Place<'_>) -> io::Result<()> {
    let file_type = match stat.facts.file_type {
        FileType::Fifo => fs::FileType::Fifo,
        FileType::Socket => fs::FileType::Socket,
        FileType::Block => fs::FileType::BlockDevice,
        _ => fs::FileType::CharacterDevice,
    };
    let device = fs::makedev(stat.stands_for.0, stat.stands_for.1);
    let mode = Mode::RUSR | Mode::WUSR;
    change("copy: make node", || Ok(fs::mknodat(to.dir, to.name, file_type, mode, device)?))
}

/// Makes an empty file that nobody else can look into yet.
fn make_file(to: Place<'_>) -> io::Result<std::fs::File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    change("copy: make file", || {
        Ok(fs::openat(to.dir, to.name, flags, Mode::RUSR | Mode::WUSR)?.into())
    })
}
