//! The entries of an fstab (fstab(5)), and which paths it mounts by itself: what has a mount of its own that
//! survives needs no keeping, and two mounts at one place hide each other. Pure but for the reading.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::{fmt, io};

use dirfd::mountinfo::{is_in_memory, unescape};
use dirfd::path::Escaped;
use dirfd::{TreeName, TreePath, atomic_file};
use rustix::fs::{self, Mode, OFlags, ResolveFlags};

use crate::boot::command_line::option_value;
use crate::host::is_not_found;
use crate::persist::list::KeepEntry;

/// An entry whose mount point is the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootEntry {
    /// The number of its line, from 1.
    pub line: usize,
    /// The whole line as it stands there, without its newline.
    pub text: Vec<u8>,
    /// What is mounted, unescaped.
    pub source: Vec<u8>,
    /// The file system's type, unescaped; empty if it does not say.
    pub fs_type: Vec<u8>,
    /// Its mount options, unescaped; empty if it has none.
    pub options: Vec<u8>,
}

impl RootEntry {
    /// The number by which it names the subvolume to mount, if it does.
    pub fn subvolid(&self) -> Option<&[u8]> {
        option_value(&self.options, b"subvolid")
    }
}

/// An entry that mounts something. All of its fields are unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FstabEntry {
    /// The number of its line, from 1.
    pub line: usize,
    /// What is mounted: a device, `LABEL=…` and the like, or whatever the type calls a source.
    pub(crate) source: Vec<u8>,
    /// Where it is mounted.
    pub point: TreePath,
    /// The file system's type; empty if it does not say.
    pub(crate) fs_type: Vec<u8>,
    /// Its mount options; empty if it has none.
    pub options: Vec<u8>,
}

/// Every entry that has a mount point. Swap has none, and a path that goes upwards is none.
pub fn parse_entries(text: &[u8]) -> Vec<FstabEntry> {
    let entry = |(line, text)| {
        let Fields { source, point, mut rest } = split_fields(text)?;
        let point = point.starts_with(b"/").then(|| TreePath::parse(&point).ok())??;
        let mut next = || rest.next().map(|field| unescape(field).into_owned()).unwrap_or_default();
        let source = unescape(source).into_owned();
        Some(FstabEntry { line, source, point, fs_type: next(), options: next() })
    };
    number_lines(text).filter_map(entry).collect()
}

/// Every entry that mounts the root. Lines that are no entries are left out, as mount(8) does.
pub fn root_entries(text: &[u8]) -> Vec<RootEntry> {
    number_lines(text).filter_map(|(line, text)| root_entry(line, text)).collect()
}

/// The text of the fstab in a tree; empty if it has none.
pub(crate) fn read_fstab(tree: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    Ok(read_system_file(tree, "etc/fstab")?.unwrap_or_default())
}

/// The text of a file of the system's own in a tree, if it is there. Links lead nowhere else.
pub(crate) fn read_system_file(tree: BorrowedFd<'_>, path: &str) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = fs::openat2(tree, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
    match opened.map_err(io::Error::from) {
        Ok(opened) => atomic_file::read_open(opened.into(), atomic_file::MAX_SYSTEM).map(Some),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lines with their numbers, without what Windows ends them with.
fn number_lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = text.split(|&b| b == b'\n').enumerate();
    lines.map(|(at, line)| (at + 1, line.strip_suffix(b"\r").unwrap_or(line)))
}

/// A line that is an entry: its source and mount point, and the fields after them, still escaped.
struct Fields<'l, R> {
    source: &'l [u8],
    point: Cow<'l, [u8]>,
    rest: R,
}

fn split_fields(line: &[u8]) -> Option<Fields<'_, impl Iterator<Item = &[u8]>>> {
    let mut fields = line.split(|b| matches!(b, b' ' | b'\t')).filter(|field| !field.is_empty());
    let source = fields.next().filter(|source| !source.starts_with(b"#"))?;
    Some(Fields { source, point: unescape(fields.next()?), rest: fields })
}

fn root_entry(line: usize, text: &[u8]) -> Option<RootEntry> {
    let Fields { source, point, mut rest } = split_fields(text)?;
    if point.is_empty() || point.iter().any(|&b| b != b'/') {
        return None;
    }
    let mut next = || rest.next().map(|field| unescape(field).into_owned()).unwrap_or_default();
    let (source, fs_type) = (unescape(source).into_owned(), next());
    Some(RootEntry { line, text: text.to_vec(), source, fs_type, options: next() })
}

/// Types that are no place for data, or that nobody can tell of whether they survive.
const NO_STORAGE: [&[u8]; 14] = [
    b"proc",
    b"sysfs",
    b"devpts",
    b"cgroup2",
    b"debugfs",
    b"tracefs",
    b"securityfs",
    b"efivarfs",
    b"hugetlbfs",
    b"mqueue",
    b"configfs",
    b"bpf",
    b"overlay",
    b"swap",
];
/// How many binds of binds are followed.
const BINDS: usize = 8;

/// An fstab, and what tells whether its mounts survive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FstabMounts<'f> {
    /// Its entries.
    pub(crate) entries: &'f [FstabEntry],
    /// The storages: what is bound from there is kept already.
    pub(crate) storages: &'f [TreePath],
    /// The tree that is replaced at each boot: a subvolume inside of it goes with it.
    pub(crate) live: Option<&'f TreeName>,
}

/// Where the storages of a keep list are, each once.
pub(crate) fn storage_paths(list: &[KeepEntry]) -> Vec<TreePath> {
    let storages: BTreeSet<&TreePath> = list.iter().map(|entry| &entry.storage).collect();
    storages.into_iter().cloned().collect()
}

/// What an fstab mounts at a path, or above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FstabMount {
    /// The number of the line.
    pub(crate) line: usize,
    /// Where it is mounted.
    pub(crate) point: TreePath,
    /// Whether what lies in it outlives a boot.
    pub(crate) survival: Survival,
}

/// Whether what lies in a mount outlives a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Survival {
    /// It does.
    Survives,
    /// It does not; the text says what it is.
    Lost(String),
    /// It is not mounted at boot.
    NotAtBoot,
}

impl FstabMounts<'_> {
    /// What has to do with keeping `path`: a mount that survives, at the path or above it, or any other
    /// at the very path. The root's own entry is none.
    pub(crate) fn at(&self, path: &TreePath) -> Option<FstabMount> {
        self.find_mount(path, BINDS).filter(|mount| mount.survives() || mount.point == *path)
    }

    fn find_mount(&self, path: &TreePath, binds: usize) -> Option<FstabMount> {
        let shows = |entry: &&FstabEntry| {
            let point = &entry.point;
            let mounted = !is_option(entry, b"noauto") || is_automount(entry);
            point.depth() > 0 && path.is_within(point) && (mounted || point == path)
        };
        // The deepest one is what is seen; of two at one place the first counts, as for systemd.
        let deepest = self.entries.iter().filter(shows).map(|entry| entry.point.depth()).max()?;
        let entry =
            self.entries.iter().filter(shows).find(|entry| entry.point.depth() == deepest)?;
        let survival = self.survival(entry, path, binds);
        Some(FstabMount { line: entry.line, point: entry.point.clone(), survival })
    }

    fn survival(&self, entry: &FstabEntry, path: &TreePath, binds: usize) -> Survival {
        if is_option(entry, b"noauto") && !is_automount(entry) && entry.point == *path {
            return Survival::NotAtBoot;
        }
        let fs_type = entry.fs_type.as_slice();
        if is_option(entry, b"bind") || is_option(entry, b"rbind") {
            let from = TreePath::parse(&entry.source).unwrap_or_default();
            let kept = self.storages.iter().any(|storage| from.is_within(storage));
            let above = || binds.checked_sub(1).and_then(|binds| self.find_mount(&from, binds));
            return match kept || above().is_some_and(|mount| mount.survives()) {
                true => Survival::Survives,
                false => Survival::Lost(format!("a part of the root, {from}")),
            };
        }
        if is_in_memory(fs_type) || NO_STORAGE.contains(&fs_type) {
            return Survival::Lost(format!("a {}", Escaped(fs_type)));
        }
        let subvolume =
            option_value(&entry.options, b"subvol").and_then(|name| TreePath::parse(name).ok());
        let inside = self.live.is_some_and(|live| {
            let live = TreePath::parse(live.as_bytes()).ok();
            live.is_some_and(|live| subvolume.is_some_and(|name| name.is_within(&live)))
        });
        match inside {
            true => Survival::Lost("a subvolume inside of the root".to_string()),
            false => Survival::Survives,
        }
    }
}

fn is_option(entry: &FstabEntry, name: &[u8]) -> bool {
    entry.options.split(|&b| b == b',').any(|option| option == name)
}

fn is_automount(entry: &FstabEntry) -> bool {
    is_option(entry, b"x-systemd.automount")
}

impl FstabMount {
    /// Whether what lies in it outlives a boot.
    pub(crate) fn survives(&self) -> bool {
        self.survival == Survival::Survives
    }

    /// What to do so that `path` can be kept, or need not be.
    pub(crate) fn hint(&self, path: &TreePath) -> String {
        match self.survival {
            Survival::Survives => format!("leave {path} out of what is kept"),
            Survival::Lost(_) | Survival::NotAtBoot => {
                format!(
                    "remove line {} of /etc/fstab, or leave {path} out of what is kept",
                    self.line
                )
            }
        }
    }
}

impl fmt::Display for FstabMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, point, survival } = self;
        write!(f, "line {line} of /etc/fstab mounts ")?;
        match survival {
            Survival::Survives => write!(f, "{point}, which survives already"),
            Survival::Lost(what) => write!(f, "{what} there, which does not survive"),
            Survival::NotAtBoot => {
                write!(f, "something else there, when it is asked to (`noauto`)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use std::os::fd::AsFd;

    #[test]
    fn only_entries_of_the_root_are_found() {
        let text = b"# / is here\n\nUUID=x / btrfs rw,subvolid=256 0 0\n\
            \t/dev/sdb\t/\\040\text4\tdefaults\nLABEL=os  /  btrfs  subvol=a\\040b\nx\n/dev/c //";
        let found: Vec<_> = root_entries(text)
            .into_iter()
            .map(|e| (e.line, e.subvolid().map(<[u8]>::to_vec), e.options))
            .collect();
        let expected = [
            (3, Some(b"256".to_vec()), b"rw,subvolid=256".to_vec()),
            (5, None, b"subvol=a b".to_vec()),
            (7, None, Vec::new()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn every_entry_with_a_mount_point_is_found_with_its_fields() {
        let text = b"# /persist is here\nUUID=x /persist btrfs subvol=a\\040b,nofail 0 0\r\n\
            LABEL=my\\040os\t//srv/./data/\nx none swap sw\nx /a/../b ext4\nx relative ext4\n\
            tmpfs / tmpfs size=1G";
        let found: Vec<String> = parse_entries(text)
            .iter()
            .map(|e| {
                let text = String::from_utf8_lossy;
                let (source, fs_type) = (text(&e.source), text(&e.fs_type));
                format!("{} {source} {} {fs_type} {}", e.line, e.point, text(&e.options))
            })
            .collect();
        let expected = [
            "2 UUID=x /persist btrfs subvol=a b,nofail",
            "3 LABEL=my os /srv/data  ",
            "7 tmpfs / tmpfs size=1G",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_tree_without_an_fstab_has_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let tree = std::fs::File::open(dir.path()).unwrap();
        assert_eq!(read_fstab(tree.as_fd()).unwrap(), b"");
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/nix/fstab", dir.path().join("etc/fstab")).unwrap();
        assert_eq!(read_fstab(tree.as_fd()).unwrap(), b"");
        std::fs::create_dir(dir.path().join("nix")).unwrap();
        std::fs::write(dir.path().join("nix/fstab"), "x / btrfs").unwrap();
        assert_eq!(read_fstab(tree.as_fd()).unwrap(), b"x / btrfs");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fail(bytes: Vec<u8>) {
            let lines = bytes.split(|&b| b == b'\n').count();
            let (roots, all) = (root_entries(&bytes), parse_entries(&bytes));
            prop_assert!(roots.iter().all(|e| (1..=lines).contains(&e.line)));
            // What mounts the root is an entry like any other.
            let at_root: Vec<usize> =
                all.iter().filter(|e| e.point.depth() == 0).map(|e| e.line).collect();
            prop_assert!(roots.iter().all(|root| at_root.contains(&root.line)));
        }
    }

    const FSTAB: &str = "\
        UUID=x / btrfs subvol=@\n\
        UUID=x /home btrfs subvol=@home\n\
        UUID=x /var/log btrfs subvol=/@log,nofail\n\
        UUID=x /var/lib/inner btrfs subvol=@/var/lib/inner\n\
        UUID=x /persist btrfs subvol=@persist\n\
        /persist/srv /srv none bind\n\
        /var/cache /opt none rbind\n\
        tmpfs /tmp tmpfs size=1G\n\
        UUID=y /backup ext4 noauto\n\
        UUID=y /media ext4 noauto,x-systemd.automount\n\
        UUID=z none swap sw\n";

    fn told(path: &str) -> Option<String> {
        let entries = super::parse_entries(FSTAB.as_bytes());
        let storages = [TreePath::parse(b"/persist").unwrap()];
        let live = TreeName::new("@").unwrap();
        let mounts = FstabMounts { entries: &entries, storages: &storages, live: Some(&live) };
        mounts.at(&TreePath::parse(path.as_bytes()).unwrap()).map(|mount| mount.to_string())
    }

    #[test]
    fn what_survives_already_is_found_with_its_line() {
        let says = |line, point| {
            Some(format!("line {line} of /etc/fstab mounts {point}, which survives already"))
        };
        assert_eq!(told("/home"), says(2, "/home"));
        assert_eq!(told("/home/alice/.ssh"), says(2, "/home"));
        assert_eq!(told("/var/log/journal"), says(3, "/var/log"));
        assert_eq!(told("/srv/www"), says(6, "/srv"));
        assert_eq!(told("/media/x"), says(10, "/media"));
    }

    #[test]
    fn what_does_not_survive_counts_at_its_very_place_alone() {
        for (at, below, why) in [
            ("/tmp", "/tmp/x", "mounts a tmpfs there, which does not survive"),
            ("/opt", "/opt/x", "mounts a part of the root, /var/cache there, which"),
            ("/var/lib/inner", "/var/lib/inner/x", "mounts a subvolume inside of the root there"),
            ("/backup", "/backup/x", "mounts something else there, when it is asked to"),
        ] {
            let text = told(at).unwrap();
            assert!(text.contains(why), "{at}: {text}");
            assert_eq!(told(below), None);
        }
    }

    #[test]
    fn nothing_else_is_mounted_by_it() {
        for path in ["/", "/etc/x", "/homes", "/var", "/none"] {
            assert_eq!(told(path), None, "{path}");
        }
    }

    #[test]
    fn binds_that_lead_in_a_circle_end() {
        let entries = super::parse_entries(b"/a /b none bind\n/b /a none bind\n");
        let mounts = FstabMounts { entries: &entries, storages: &[], live: None };
        let mount = mounts.at(&TreePath::parse(b"/a").unwrap()).unwrap();
        assert!(!mount.survives(), "{mount}");
    }
}
