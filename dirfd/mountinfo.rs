//! The kernel's mount table (`/proc/PID/mountinfo`, see proc(5)) as data; pure in its input.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, AtFlags, Mode, OFlags, StatxFlags};

use crate::path::Escaped;
use crate::{Error, Result, atomic_file, stat};

/// One line of a mount table. Every byte string is unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The mount's own number, unique among all mounts of the machine.
    pub id: u64,
    /// The mount that this one is mounted on.
    pub parent: u64,
    /// Major and minor number of the file system's device. On Btrfs an anonymous one: the same for
    /// every mount of one file system, whatever subvolume it shows.
    pub dev: (u32, u32),
    /// The directory of the file system that this mount shows.
    pub root: Vec<u8>,
    /// Where it is mounted, relative to the root of the process whose table this is.
    pub mount_point: Vec<u8>,
    /// The file system's type, `btrfs`.
    pub fs_type: Vec<u8>,
    /// What was mounted, as the one who mounted it spelled it; may be empty.
    pub source: Vec<u8>,
    /// What belongs to this mount alone: `nosuid`, `relatime`.
    options: Vec<u8>,
    /// The file system's own options, still escaped, since an escaped comma is no separator.
    super_options: Vec<u8>,
}

impl Mount {
    /// Whether its files are in memory alone, gone when the machine is switched off.
    pub fn is_in_memory(&self) -> bool {
        is_in_memory(&self.fs_type)
    }

    /// Whether this mount has an option of its own, as `nosuid`.
    pub fn has(&self, option: &[u8]) -> bool {
        self.options.split(|&b| b == b',').any(|own| own == option)
    }

    /// Why nobody should wait for its file system, or believe it: a process of a user's runs it (FUSE),
    /// which tells whatever it wants of its files, and something else each time, or never answers. `None`
    /// where the kernel, root or we ourselves run it.
    pub fn users_own(&self) -> Option<String> {
        let ourselves = rustix::process::geteuid().as_raw().to_string();
        let is_fuse = matches!(self.fs_type.as_slice(), b"fuse" | b"fuseblk")
            || self.fs_type.starts_with(b"fuse.");
        let user = match self.option(b"user_id") {
            _ if !is_fuse => return None,
            Some(user) if [b"0", ourselves.as_bytes()].contains(&&*user) => return None,
            Some(user) => format!("the user {}", Escaped(&user)),
            None => "nobody knows which user".to_string(),
        };
        Some(format!("it is on a FUSE file system that {user} runs"))
    }

    /// Where in the file system, from its top on and without a leading slash, that lies which this
    /// mount shows at `path`; `None` if `path` is not below its mount point.
    pub fn in_file_system(&self, path: &[u8]) -> Option<Vec<u8>> {
        let point = self.mount_point.strip_suffix(b"/").unwrap_or(&self.mount_point);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let below = path.strip_prefix(point).filter(|rest| matches!(rest, [] | [b'/', ..]))?;
        let root = self.root.strip_suffix(b"/").unwrap_or(&self.root);
        let whole = [root, below].concat();
        Some(whole.strip_prefix(b"/").unwrap_or(&whole).to_vec())
    }

    /// The value of one of the file system's own options (empty if it has none); see [`find_option`].
    pub fn option(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        find_option(&self.super_options, name)
    }
}

/// The value of one of a file system's own options (empty if it has none).
///
/// The first one counts: Btrfs prints `subvolid=` before `subvol=`, whose value is a name that may
/// contain `,subvolid=…` unescaped.
pub fn find_option<'o>(options: &'o [u8], name: &[u8]) -> Option<Cow<'o, [u8]>> {
    options.split(|&b| b == b',').find_map(|option| match option.strip_prefix(name)? {
        [] => Some(Cow::Borrowed(&b""[..])),
        [b'=', value @ ..] => Some(unescape(value)),
        _ => None,
    })
}

/// Whether a file system of this type is in memory alone.
pub fn is_in_memory(fs_type: &[u8]) -> bool {
    matches!(fs_type, b"tmpfs" | b"ramfs" | b"devtmpfs")
}

/// Reads a whole table; an error names the line that is malformed.
pub fn parse_mountinfo(table: &[u8]) -> Result<Vec<Mount>> {
    let lines = table.strip_suffix(b"\n").unwrap_or(table);
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let numbered = lines.split(|&b| b == b'\n').enumerate();
    numbered
        .map(|(at, line)| {
            parse_line(line)
                .map_err(|why| Error::new(format!("read line {} of the mount table", at + 1), why))
        })
        .collect()
}

fn parse_line(line: &[u8]) -> Result<Mount, &'static str> {
    let mut fields = line.split(|&b| b == b' ');
    let mut next = |missing| fields.next().ok_or(missing);
    let id = parse_number(next("it is empty")?).ok_or("its first field is no mount number")?;
    let parent =
        parse_number(next("it has no parent")?).ok_or("its second field is no mount number")?;
    let dev =
        parse_device(next("it has no device")?).ok_or("its third field is no device number")?;
    let root = unescape(next("it has no root")?).into_owned();
    let mount_point = unescape(next("it has no mount point")?).into_owned();
    let options = next("it has no mount options")?.to_vec();
    // Any number of optional fields, then a hyphen.
    while next("it has no ` - `")? != b"-" {}
    let fs_type = unescape(next("it has no file system type")?).into_owned();
    let source = unescape(next("it has no source")?).into_owned();
    let super_options = next("it has no file system options")?.to_vec();
    Ok(Mount { id, parent, dev, root, mount_point, fs_type, source, options, super_options })
}

fn parse_number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn parse_device(field: &[u8]) -> Option<(u32, u32)> {
    let colon = field.iter().position(|&b| b == b':')?;
    Some((parse_number(&field[..colon])?, parse_number(&field[colon + 1..])?))
}

/// Undoes the kernel's `\ooo`, which stands for any byte; a backslash without three octal digits
/// stands for itself.
pub fn unescape(field: &[u8]) -> Cow<'_, [u8]> {
    if !field.contains(&b'\\') {
        return Cow::Borrowed(field);
    }
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(bytes)
}

// What is mounted where a directory is, as the current thread sees it.

/// This thread's own mount table; that of the process is its first thread's.
const TABLE: &str = "/proc/thread-self/mountinfo";

/// A directory and the mount that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The mount.
    pub mount: Mount,
    /// The directory in the file system, from its top on, without a leading slash.
    pub path: Vec<u8>,
}

/// Every mount that this thread sees, a later one above an earlier one.
pub fn read_mounts() -> Result<Vec<Mount>> {
    parse_table(File::open(TABLE))
}

fn parse_table(table: io::Result<File>) -> Result<Vec<Mount>> {
    let table = table
        .and_then(|table| {
            atomic_file::read_at_most(table, Vec::new(), atomic_file::MAX_KERNEL_TABLE)
        })
        .map_err(|e| Error::io("read the mount table", e))?;
    parse_mountinfo(&table)
}

/// The mount that shows an open file, of which the path is enough; `None` before Linux 5.8, and where this
/// thread's root directory is no mount point, so that it does not see what shows it.
///
/// An error where this thread's table should show it and does not: it was unmounted meanwhile. Nothing
/// that we have mounted ourselves and apart, or that is of another namespace, is to be asked for here.
pub fn mount_of_file(file: BorrowedFd<'_>) -> Result<Option<Mount>> {
    let Some(id) = stat::mount_of(file) else { return Ok(None) };
    let mut mounts = read_mounts()?;
    if let Some(at) = mounts.iter().position(|mount| mount.id == id) {
        return Ok(Some(mounts.swap_remove(at)));
    }
    let root = fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|why| Error::io("open the root directory", why))?;
    let root = stat::mount_of(root.as_fd());
    if mounts.iter().any(|mount| Some(mount.id) == root) {
        let why = "the mount table does not show it any more";
        return Err(Error::new("find the mount that shows a file", why));
    }
    Ok(None)
}

/// Where users have mounted file systems that they run themselves, as this thread sees it at each moment:
/// the table is read again when it has changed (proc_pid_mountinfo(5) and poll(2)).
#[derive(Debug)]
pub struct UsersOwn {
    table: File,
    /// Their mounts.
    own: Vec<Mount>,
}

impl UsersOwn {
    /// Reads the table for the first time.
    pub fn read() -> Result<Self> {
        let table = File::open(TABLE).map_err(|e| Error::io("read the mount table", e))?;
        let mut own = Self { table, own: Vec::new() };
        own.read_again()?;
        Ok(own)
    }

    /// Why nobody should go to `path`: one of them is on the way. A later mount may hide it, or it that.
    pub fn on_the_way(&mut self, path: &[u8]) -> Result<Option<String>> {
        let mut polled = [PollFd::new(&self.table, PollFlags::PRI)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Where that cannot be told, it may have changed.
        if poll(&mut polled, Some(&at_once)) != Ok(0) {
            self.read_again()?;
        }
        let leads_there = |mount: &&Mount| mount.in_file_system(path).is_some();
        Ok(self.own.iter().find(leads_there).and_then(Mount::users_own))
    }

    fn read_again(&mut self) -> Result<()> {
        self.own = parse_table(self.table.rewind().and_then(|()| self.table.try_clone()))?;
        self.own.retain(|mount| mount.users_own().is_some());
        Ok(())
    }
}

/// The mount that shows the directory `dir`.
pub fn at(dir: &Path) -> Result<Mounted> {
    let action = || format!("find what is mounted at {}", Escaped::of_path(dir));
    let failed = |e: io::Error| Error::io(action(), e);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = fs::open(dir, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    let whole = std::fs::canonicalize(dir).map_err(failed)?;
    let stat = fs::statx(opened.as_fd(), "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        .map_err(|e| failed(e.into()))?;
    let mount = read_mounts()?.into_iter().find(|mount| mount.id == stat.stx_mnt_id);
    let Some(mount) = mount else {
        return Err(Error::new(action(), "its mount is not in this process's mount table")
            .hint("name the root of a mounted file system with --root"));
    };
    let path = mount.in_file_system(whole.as_os_str().as_bytes()).ok_or_else(|| {
        Error::new(action(), "the mount table and its path do not agree")
            .hint("run the command again")
    })?;
    Ok(Mounted { mount, path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::fd::AsRawFd;

    const LINE: &[u8] =
        b"65 43 0:39 /root /mnt/a\\040b\\012\\134\xff rw,relatime shared:7 master:2 - \
        btrfs /dev/sda\\0401 rw,compress=zstd:3,subvolid=256,subvol=/root\n";

    #[test]
    fn a_line_is_read_with_odd_names() {
        let mounts = parse_mountinfo(LINE).unwrap();
        let [mount] = mounts.as_slice() else { panic!("{mounts:?}") };
        assert_eq!((mount.id, mount.parent, mount.dev), (65, 43, (0, 39)));
        assert_eq!(mount.root, b"/root");
        assert_eq!(mount.mount_point, b"/mnt/a b\n\\\xff");
        assert_eq!((&mount.fs_type[..], &mount.source[..]), (&b"btrfs"[..], &b"/dev/sda 1"[..]));
        assert_eq!(mount.option(b"subvolid").as_deref(), Some(&b"256"[..]));
        assert_eq!(mount.option(b"rw").as_deref(), Some(&b""[..]));
        assert_eq!(mount.option(b"subvol").as_deref(), Some(&b"/root"[..]));
        assert_eq!(mount.option(b"sub"), None);
    }

    #[test]
    fn a_subvolume_name_cannot_forge_the_subvolume_id() {
        let line = b"1 0 0:1 / / rw - btrfs x rw,subvolid=256,subvol=/a,subvolid=999\n";
        assert_eq!(
            parse_mountinfo(line).unwrap()[0].option(b"subvolid").as_deref(),
            Some(&b"256"[..])
        );
    }

    #[test]
    fn an_empty_source_and_no_optional_fields_are_fine() {
        let mounts = parse_mountinfo(b"1 0 0:1 / / rw - tmpfs  rw").unwrap();
        assert_eq!(mounts[0].source, b"");
        assert_eq!(parse_mountinfo(b"").unwrap(), []);
    }

    #[test]
    fn a_malformed_line_is_named() {
        for (bad, why) in [
            (&b"\n"[..], "its first field is no mount number"),
            (b"1 0 0:1 / / rw shared:1 btrfs x rw", "it has no ` - `"),
            (b"1 0 01 / / rw - btrfs x rw", "its third field is no device number"),
            (b"1 0 0:1 / / rw - btrfs x", "it has no file system options"),
        ] {
            let table = [b"1 0 0:1 / / rw - tmpfs x rw\n", bad, b"\n"].concat();
            let error = parse_mountinfo(&table).unwrap_err().to_string();
            assert_eq!(error, format!("cannot read line 2 of the mount table: {why}"));
        }
    }

    #[test]
    fn only_octal_escapes_are_undone() {
        assert_eq!(&*unescape(b"a\\011b\\9\\04\\400\\"), b"a\tb\\9\\04\\400\\");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fail_badly(bytes: Vec<u8>) {
            let _ = parse_mountinfo(&bytes);
            prop_assert!(unescape(&bytes).len() <= bytes.len());
        }

        #[test]
        fn every_mount_point_comes_back(name in prop::collection::vec(1u8.., 0..300)) {
            let escaped: Vec<u8> = name
                .iter()
                .flat_map(|&b| match b {
                    b' ' | b'\t' | b'\n' | b'\\' => format!("\\{b:03o}").into_bytes(),
                    _ => vec![b],
                })
                .collect();
            let line = [&b"1 0 0:1 / "[..], &escaped, b" rw - btrfs x rw\n"].concat();
            prop_assert_eq!(&parse_mountinfo(&line).unwrap()[0].mount_point, &name);
        }
    }

    #[test]
    fn a_path_is_told_from_the_top_of_the_file_system_on() {
        for (root, point, path, expected) in [
            ("/", "/", "/", Some("")),
            ("/@", "/", "/", Some("@")),
            ("/@", "/", "/a/b", Some("@/a/b")),
            ("/", "/mnt", "/mnt", Some("")),
            ("/", "/mnt", "/mnt/os/root", Some("os/root")),
            ("/os", "/mnt", "/mnt/root", Some("os/root")),
            ("/os", "/mnt", "/mntroot", None),
        ] {
            let line = format!("1 0 0:1 {root} {point} rw - btrfs x rw");
            let mount = &super::parse_mountinfo(line.as_bytes()).unwrap()[0];
            let found = mount.in_file_system(path.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{root} {point} {path}");
        }
    }

    #[test]
    fn what_is_mounted_later_is_seen() {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            println!("SKIPPED: mounting what a user's FUSE would takes root and /dev/fuse");
            return;
        }
        let namespace = crate::private_namespace::PrivateNamespace::enter().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).into_os_string().into_encoded_bytes();
        std::fs::create_dir(dir.path().join("a b")).unwrap();
        let mut own = UsersOwn::read().unwrap();
        assert_eq!(own.on_the_way(&path("a b/file")).unwrap(), None);
        let device = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=7,group_id=7", device.as_raw_fd());
        let mounted = namespace
            .mount(Path::new("hers"), "fuse", &dir.path().join("a b"), options.as_bytes())
            .unwrap();
        for (name, is_hers) in [("a b/file", true), ("a b", true), ("a bc", false), ("a", false)] {
            let why = own.on_the_way(&path(name)).unwrap();
            assert_eq!(why.is_some_and(|why| why.contains("the user 7")), is_hers, "{name}");
        }
        mounted.unmount().unwrap();
        assert_eq!(own.on_the_way(&path("a b/file")).unwrap(), None);
    }

    #[test]
    fn the_mount_of_a_directory_that_is_there_is_found() {
        assert!(at(Path::new("/proc/self")).unwrap().mount.fs_type == b"proc");
        let error = at(Path::new("/no\nsuch")).unwrap_err().to_string();
        assert!(error.starts_with("cannot find what is mounted at /no\\nsuch: No such"), "{error}");
    }
}
