//! The host that a command acts on: one open directory, below which everything of it is found.
//!
//! Nothing else in this crate knows where the host's root is, so a test hands over a directory tree.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path};
use std::sync::{Mutex, PoisonError};

use dirfd::fault::change;
use dirfd::mountinfo::UsersOwn;
use dirfd::path::Escaped;
use dirfd::stat::of_open;
use dirfd::{Error, FileType, Result, TreePath, atomic_file};
use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::persist::create;

/// An open root directory. Paths are relative to it, and no link leads out of it.
#[derive(Debug)]
pub struct HostRoot {
    root: OwnedFd,
}

impl HostRoot {
    /// Opens the root directory of a host.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(path, flags, Mode::empty()).map_err(|e| {
            Error::io(format!("open the root directory {}", Escaped::of_path(path)), e)
        })?;
        Ok(Self { root })
    }

    /// Of a root directory that is open already.
    pub(crate) fn of_open(root: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { root: root.try_clone_to_owned()? })
    }

    /// Reads a whole plain file.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        atomic_file::read_open(self.plain_file(path.as_ref())?, atomic_file::MAX_SYSTEM)
    }

    /// Reads at most `length` bytes of a file or device from `offset` on; fewer at its end.
    pub(crate) fn read_at(
        &self,
        path: impl AsRef<Path>,
        offset: u64,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        let file = self.file(path.as_ref())?;
        let mut content = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match file.read_at(&mut content[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        content.truncate(filled);
        Ok(content)
    }

    /// Whether something has this name; a link that leads nowhere has it too.
    pub(crate) fn has(&self, path: impl AsRef<Path>) -> io::Result<bool> {
        match self.resolve(path.as_ref(), OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The names in a directory, sorted.
    pub(crate) fn names(&self, path: impl AsRef<Path>) -> io::Result<Vec<OsString>> {
        let dir = self.dir(path)?;
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(dir.as_fd())? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_os_string());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens a directory for reading.
    pub(crate) fn dir(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        self.resolve(path.as_ref(), OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens a directory and makes what is missing on the way, with mode 0755 whatever the umask.
    /// No link is followed.
    pub(crate) fn make_dirs(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        let mut dir = self.dir(".")?;
        for part in path.as_ref().components() {
            let Component::Normal(name) = part else {
                return Err(Errno::INVAL.into());
            };
            dir = make_dir(dir.as_fd(), name)?;
        }
        Ok(dir)
    }

    /// Opens what a path leads to, to look at it alone.
    pub(crate) fn open_path(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        self.resolve(path.as_ref(), OFlags::PATH)
    }

    /// Opens a plain file. Of anything else only the path is opened: a link of a user's may lead to a
    /// device, and opening that may have effects.
    pub(crate) fn plain_file(&self, path: &Path) -> io::Result<File> {
        let found = self.open_path(path)?;
        if of_open(found.as_fd())?.facts.file_type != FileType::File {
            return Err(io::Error::other("it is not a plain file"));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // Of this thread: threads may have descriptor tables of their own.
        let path = format!("/proc/thread-self/fd/{}", found.as_raw_fd());
        Ok(File::from(fs::open(path, flags, Mode::empty())?))
    }

    fn file(&self, path: &Path) -> io::Result<File> {
        // Without NONBLOCK, opening a drive may wait for its medium.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(File::from(self.resolve(path, flags)?))
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let mut attempts = 0;
        loop {
            match fs::openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
                // A rename anywhere meanwhile makes the kernel ask for another try (openat2(2)).
                Err(Errno::AGAIN) if attempts < 32 => attempts += 1,
                result => return Ok(result?),
            }
        }
    }
}

impl AsFd for HostRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// Whether nothing has the name that was asked for: the only error that may become a default.
pub(crate) fn is_not_found(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn make_dir(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        opened => return Ok(opened?),
    }
    let mode = Mode::from_raw_mode(0o755);
    change("host: make directory", || Ok(fs::mkdirat(parent, name, mode)?))?;
    let dir = fs::openat(parent, name, flags, Mode::empty())?;
    change("host: set the directory's mode", || Ok(fs::fchmod(&dir, mode)?))?;
    Ok(dir)
}

/// The machine whose keep list is put in force: open directories below which every path of the list lies.
///
/// No path of it leads to what a user runs himself (FUSE), where whoever looks may wait without end.
#[derive(Debug)]
pub struct Machine {
    root: HostRoot,
    /// Another directory below which the storages are, and which paths these are.
    elsewhere: Option<(HostRoot, Vec<TreePath>)>,
    users_own: Mutex<UsersOwn>,
}

impl Machine {
    /// A machine whose storages are mounted below its root.
    pub fn open(root: &Path) -> Result<Self> {
        let users_own = Mutex::new(UsersOwn::read()?);
        Ok(Self { root: HostRoot::open(root)?, elsewhere: None, users_own })
    }

    /// A machine that cannot mount its storages: they are below `base` instead.
    pub(crate) fn with_storages_below(
        root: &Path,
        base: &Path,
        storages: Vec<TreePath>,
    ) -> Result<Self> {
        let elsewhere = Some((HostRoot::open(base)?, storages));
        Ok(Self { elsewhere, ..Self::open(root)? })
    }

    /// The root directory.
    pub(crate) fn root(&self) -> &HostRoot {
        &self.root
    }

    /// Whether the storages are where they are said to be.
    pub(crate) fn has_storages_below_root(&self) -> bool {
        self.elsewhere.is_none()
    }

    /// The directory below which a path is to be looked up.
    pub(crate) fn base_of(&self, path: &TreePath) -> BorrowedFd<'_> {
        match &self.elsewhere {
            Some((base, storages)) if storages.iter().any(|storage| path.is_within(storage)) => {
                base.as_fd()
            }
            _ => self.root.as_fd(),
        }
    }

    /// Why nobody should go to a path: a user runs a file system on the way.
    pub(crate) fn users_own(&self, path: &TreePath) -> io::Result<Option<String>> {
        let base = format!("/proc/thread-self/fd/{}", self.base_of(path).as_raw_fd());
        let base = fs::readlink(base, Vec::new())?.into_bytes();
        let base = base.strip_suffix(b"/").unwrap_or(&base);
        let whole = [base, b"/", path.as_bytes()].concat();
        let mut users_own = self.users_own.lock().unwrap_or_else(PoisonError::into_inner);
        users_own.on_the_way(&whole).map_err(io::Error::other)
    }

    fn refuse_users_own(&self, path: &TreePath) -> io::Result<()> {
        self.users_own(path)?.map_or(Ok(()), |why| Err(io::Error::other(why)))
    }

    /// Opens a path without following any link.
    pub(crate) fn open_at(&self, path: &TreePath, flags: OFlags) -> io::Result<OwnedFd> {
        self.refuse_users_own(path)?;
        create::open_beneath(self.base_of(path), path.as_path(), flags)
    }

    /// Opens the directory that holds a path, without following any link.
    pub(crate) fn parent_of(&self, path: &TreePath) -> io::Result<OwnedFd> {
        let parent = path.parent().unwrap_or_default();
        self.refuse_users_own(&parent)?;
        create::open_beneath(self.base_of(path), parent.as_path(), OFlags::PATH | OFlags::DIRECTORY)
    }
}

/// Programs, and the command that makes every initrd of the root anew.
const INITRD_TOOLS: [(&str, &str); 3] = [
    ("usr/sbin/update-initramfs", "update-initramfs -u"),
    ("usr/bin/mkinitcpio", "mkinitcpio -P"),
    ("usr/bin/dracut", "dracut --force --regenerate-all"),
];

/// The command for the root at `root`; `None` where it has none of those that are known.
pub(crate) fn initrd_tool(root: &Path) -> Option<&'static str> {
    let there = |(program, _): &&(&str, &str)| root.join(program).is_file();
    INITRD_TOOLS.iter().find(there).map(|(_, command)| *command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn host() -> (tempfile::TempDir, HostRoot) {
        let dir = tempfile::tempdir().unwrap();
        let host = HostRoot::open(dir.path()).unwrap();
        (dir, host)
    }

    #[test]
    fn links_stay_inside_the_host() {
        let (dir, host) = host();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "inside").unwrap();
        symlink("/etc/passwd", dir.path().join("absolute")).unwrap();
        symlink("../../../../etc/passwd", dir.path().join("upwards")).unwrap();
        for path in ["absolute", "upwards", "etc/passwd", "/etc/passwd"] {
            assert_eq!(host.read(path).unwrap(), b"inside", "{path}");
        }
    }

    #[test]
    fn what_is_no_plain_file_is_not_opened() {
        let (dir, host) = host();
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink("fifo", dir.path().join("link")).unwrap();
        // A writer that does not wait is refused for as long as nobody has the fifo open to read.
        let stop = std::sync::atomic::AtomicBool::new(false);
        let opened = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let flags = OFlags::WRONLY | OFlags::NONBLOCK;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    if fs::open(dir.path().join("fifo"), flags, Mode::empty()).is_ok() {
                        return true;
                    }
                }
                false
            });
            for _ in 0..2000 {
                let error = host.read("link").unwrap_err().to_string();
                assert_eq!(error, "it is not a plain file");
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            writer.join().unwrap()
        });
        assert!(!opened);
    }

    #[test]
    fn reading_at_an_offset_stops_at_the_end() {
        let (dir, host) = host();
        std::fs::write(dir.path().join("disk"), "0123456789").unwrap();
        assert_eq!(host.read_at("disk", 2, 3).unwrap(), b"234");
        assert_eq!(host.read_at("disk", 8, 9).unwrap(), b"89");
        assert_eq!(host.read_at("disk", 99, 9).unwrap(), b"");
    }

    #[test]
    fn names_with_odd_bytes_are_listed_and_dangling_links_are_there() {
        let (dir, host) = host();
        let odd = OsStr::from_bytes(b"a b\n\xff");
        symlink("nowhere", dir.path().join(odd)).unwrap();
        assert_eq!(host.names(".").unwrap(), [odd]);
        assert!(host.has(odd).unwrap() && !host.has("x").unwrap() && !host.has("x/y").unwrap());
    }

    #[test]
    fn directories_are_made_readable_for_all_and_links_are_refused() {
        let (dir, host) = host();
        host.make_dirs("run/blankroot").unwrap();
        host.make_dirs("run/blankroot").unwrap();
        let mode = dir.path().join("run/blankroot").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        symlink("run", dir.path().join("link")).unwrap();
        assert!(host.make_dirs("link/x").is_err());
        assert!(!dir.path().join("run/x").exists());
    }
}
