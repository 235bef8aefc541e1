//! Which paths an fstab mounts by itself: what has a mount of its own that survives needs no keeping, and
//! two mounts at one place hide each other. Pure.

use std::collections::BTreeSet;
use std::fmt;

use backends::mountinfo::is_in_memory;
use backends::path::Escaped;
use backends::{TreeName, TreePath};

use super::command_line::option;
use super::fstab::Entry;
use crate::keep::KeepEntry;

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
pub struct Mounts<'f> {
    /// Its entries.
    pub entries: &'f [Entry],
    /// The storages: what is bound from there is kept already.
    pub storages: &'f [TreePath],
    /// The tree that is replaced at each boot: a subvolume inside of it goes with it.
    pub live: Option<&'f TreeName>,
}

/// Where the storages of a keep list are, each once.
pub fn storages(list: &[KeepEntry]) -> Vec<TreePath> {
    let storages: BTreeSet<&TreePath> = list.iter().map(|entry| &entry.storage).collect();
    storages.into_iter().cloned().collect()
}

/// What an fstab mounts at a path, or above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FstabMount {
    /// The number of the line.
    pub line: usize,
    /// Where it is mounted.
    pub point: TreePath,
    /// Whether what lies in it outlives a boot.
    pub survival: Survival,
}

/// Whether what lies in a mount outlives a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Survival {
    /// It does.
    Survives,
    /// It does not; the text says what it is.
    Lost(String),
    /// It is not mounted at boot.
    NotAtBoot,
}

impl Mounts<'_> {
    /// What has to do with keeping `path`: a mount that survives, at the path or above it, or any other
    /// at the very path. The root's own entry is none.
    pub fn at(&self, path: &TreePath) -> Option<FstabMount> {
        self.look(path, BINDS).filter(|mount| mount.survives() || mount.point == *path)
    }

    fn look(&self, path: &TreePath, binds: usize) -> Option<FstabMount> {
        let shows = |entry: &&Entry| {
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

    fn survival(&self, entry: &Entry, path: &TreePath, binds: usize) -> Survival {
        if is_option(entry, b"noauto") && !is_automount(entry) && entry.point == *path {
            return Survival::NotAtBoot;
        }
        let fs_type = entry.fs_type.as_slice();
        if is_option(entry, b"bind") || is_option(entry, b"rbind") {
            let from = TreePath::parse(&entry.source).unwrap_or_default();
            let kept = self.storages.iter().any(|storage| from.is_within(storage));
            let above = || binds.checked_sub(1).and_then(|binds| self.look(&from, binds));
            return match kept || above().is_some_and(|mount| mount.survives()) {
                true => Survival::Survives,
                false => Survival::Lost(format!("a part of the root, {from}")),
            };
        }
        if is_in_memory(fs_type) || NO_STORAGE.contains(&fs_type) {
            return Survival::Lost(format!("a {}", Escaped(fs_type)));
        }
        let subvolume =
            option(&entry.options, b"subvol").and_then(|name| TreePath::parse(name).ok());
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

fn is_option(entry: &Entry, name: &[u8]) -> bool {
    entry.options.split(|&b| b == b',').any(|option| option == name)
}

fn is_automount(entry: &Entry) -> bool {
    is_option(entry, b"x-systemd.automount")
}

impl FstabMount {
    /// Whether what lies in it outlives a boot.
    pub fn survives(&self) -> bool {
        self.survival == Survival::Survives
    }

    /// What to do so that `path` can be kept, or need not be.
    pub fn mend(&self, path: &TreePath) -> String {
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
    use crate::facts::fstab;

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
        let entries = fstab::entries(FSTAB.as_bytes());
        let storages = [TreePath::parse(b"/persist").unwrap()];
        let live = TreeName::new("@").unwrap();
        let mounts = Mounts { entries: &entries, storages: &storages, live: Some(&live) };
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
        let entries = fstab::entries(b"/a /b none bind\n/b /a none bind\n");
        let mounts = Mounts { entries: &entries, storages: &[], live: None };
        let mount = mounts.at(&TreePath::parse(b"/a").unwrap()).unwrap();
        assert!(!mount.survives(), "{mount}");
    }
}
