//! Plans the storages of early kept paths: what of the root's fstab has to be mounted, in the initrd,
//! before such a path can be put in its place. Pure.

use std::collections::BTreeSet;
use std::fmt;

use dirfd::TreePath;
use dirfd::path::Escaped;

use crate::boot::fstab::FstabEntry;
use crate::persist::WhyAndHint;
use crate::persist::list::KeepEntry;
use crate::persist::mount_options;
use crate::persist::resolve::ancestors;
use crate::steps::write_numbered;

/// What is at a mount point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MountPointState {
    /// Something is mounted there already.
    Mounted,
    /// A directory to mount over.
    Free,
    /// Nothing.
    Missing,
    /// Something else; the text says what, to follow "cannot mount …: ", and the hint.
    Unusable(String, String),
}

/// The mounts, parents before what lies in them, and what cannot be mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EarlyPlan {
    /// What will be mounted, in order.
    pub(crate) mounts: Vec<StorageMount>,
    /// What will not.
    pub(crate) refusals: Vec<MountRefusal>,
}

/// Why an entry of fstab cannot be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountRefusal {
    /// Where.
    pub(crate) point: TreePath,
    /// The number of its line in fstab.
    pub(crate) line: usize,
    /// The reason.
    pub(crate) why: String,
    /// What to do about it.
    pub(crate) hint: String,
}

/// The entries that the initrd puts in their places, and those that they lie in: mounted later, a
/// parent would cover them.
pub(crate) fn early_entries(list: &[KeepEntry]) -> Vec<KeepEntry> {
    let early: BTreeSet<&TreePath> =
        list.iter().filter(|entry| entry.is_set_up_in_initrd()).map(|entry| &entry.path).collect();
    let needed = |entry: &&KeepEntry| early.iter().any(|path| path.is_within(&entry.path));
    list.iter().filter(needed).cloned().collect()
}

/// Plans the mounts that the storages of `list` need; `look` tells what is at a mount point.
pub(crate) fn plan_early(
    list: &[KeepEntry],
    fstab: &[FstabEntry],
    look: impl Fn(&TreePath) -> MountPointState,
) -> EarlyPlan {
    let storages: BTreeSet<&TreePath> = list.iter().map(|entry| &entry.storage).collect();
    let mut points: BTreeSet<TreePath> = storages.iter().flat_map(|path| ancestors(path)).collect();
    points.extend(storages.into_iter().cloned());
    let mut plan = EarlyPlan::default();
    // Sorted by path, so that a parent comes before what lies in it.
    for point in points {
        // Of two entries with the same mount point the first one counts, as for systemd.
        let Some(entry) = fstab.iter().find(|entry| entry.point == point) else { continue };
        if plan.refusals.iter().any(|refused| point.is_within(&refused.point)) {
            continue;
        }
        let hidden = plan.mounts.iter().any(|mount| point.is_within(&mount.point));
        match plan_mount(entry, if hidden { MountPointState::Free } else { look(&point) }) {
            Ok(mount) => plan.mounts.extend(mount),
            Err((why, hint)) => {
                plan.refusals.push(MountRefusal { point, line: entry.line, why, hint });
            }
        }
    }
    plan
}

fn plan_mount(
    entry: &FstabEntry,
    point: MountPointState,
) -> Result<Option<StorageMount>, WhyAndHint> {
    match point {
        MountPointState::Mounted => Ok(None),
        MountPointState::Free => StorageMount::of(entry).map(Some),
        MountPointState::Missing => {
            let why = "its mount point is not there".to_string();
            let hint =
                format!("make the directory {} in blank, where each boot finds it", entry.point);
            Err((why, hint))
        }
        MountPointState::Unusable(why, hint) => Err((why, hint)),
    }
}

impl fmt::Display for MountRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, line, why, hint } = self;
        write!(f, "cannot mount {point} (line {line} of /etc/fstab): {why}\n  hint: {hint}")
    }
}

impl fmt::Display for EarlyPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_numbered(f, &self.mounts)
    }
}

/// Types that a program has to mount, or that name other paths of the root.
const NOT_BY_THE_KERNEL: [&str; 9] =
    ["nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "overlay", "fuse", "fuseblk"];
/// Tags that udev has links for, and where.
const TAGS: [(&str, &str); 5] = [
    ("LABEL", "by-label"),
    ("UUID", "by-uuid"),
    ("PARTLABEL", "by-partlabel"),
    ("PARTUUID", "by-partuuid"),
    ("ID", "by-id"),
];

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A device, by its path on the host.
    Device(TreePath),
    /// A name that the file system's type understands.
    Name(Vec<u8>),
}

/// One file system to mount: what its entry in fstab asks of the kernel, without what it asks of programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageMount {
    /// The number of its line in fstab.
    pub(crate) line: usize,
    /// What.
    pub source: MountSource,
    /// Where, below the root.
    pub(crate) point: TreePath,
    /// The file system's type.
    pub(crate) fs_type: String,
    /// `MOUNT_ATTR_…` bits of the mount.
    pub attributes: u64,
    /// Options of the file system, in order, with their values.
    pub options: Vec<(String, Option<String>)>,
}

impl StorageMount {
    /// What an entry asks for.
    pub fn of(entry: &FstabEntry) -> Result<Self, WhyAndHint> {
        let text = |field: &[u8], name| {
            let text = String::from_utf8(field.to_vec());
            text.map_err(|_| (format!("its {name} is not UTF-8"), "correct the line".to_string()))
        };
        let fs_type = text(&entry.fs_type, "type")?;
        if matches!(fs_type.as_str(), "" | "auto" | "none") {
            let why = "it does not say the type of the file system".to_string();
            return Err((why, format!("write the type to line {}, `btrfs` say", entry.line)));
        }
        let program = NOT_BY_THE_KERNEL.contains(&fs_type.as_str()) || fs_type.starts_with("fuse.");
        if program {
            return Err(not_for_the_kernel(
                entry,
                &format!("a mount of the type {}", escaped(&fs_type)),
            ));
        }
        let mut mount = Self {
            line: entry.line,
            source: parse_source(&entry.source)?,
            point: entry.point.clone(),
            fs_type,
            attributes: 0,
            options: Vec::new(),
        };
        for option in split_options(&text(&entry.options, "list of options")?) {
            mount
                .add(option)
                .map_err(|()| not_for_the_kernel(entry, &format!("`{}`", escaped(option))))?;
        }
        Ok(mount)
    }

    /// An error says that the kernel knows no such option.
    fn add(&mut self, option: &str) -> Result<(), ()> {
        let key = option.split('=').next().unwrap_or_default();
        let (set, clear) = match key {
            // What programs read: mount(8), systemd.mount(5). That it is not mounted by itself, or may
            // fail, is no matter where something needs it.
            "" | "defaults" | "auto" | "noauto" | "fail" | "nofail" | "_netdev" | "comment"
            | "nouser" | "nousers" | "nogroup" | "noowner" | "uhelper" | "helper" => (0, 0),
            _ if key.starts_with("x-") || key.starts_with("X-") => (0, 0),
            "bind" | "rbind" | "move" | "remount" | "loop" | "offset" | "sizelimit" => {
                return Err(());
            }
            _ if key.starts_with("verity.") => return Err(()),
            // Who may mount it may bring what is on it.
            "user" | "users" => attribute_bits_of(&["nosuid", "nodev", "noexec"]),
            "owner" | "group" => attribute_bits_of(&["nosuid", "nodev"]),
            _ => match mount_options::attribute_bits(option) {
                Some(bits) => {
                    if matches!(option, "ro" | "rw") {
                        self.options.push((option.to_string(), None));
                    }
                    bits
                }
                None => {
                    let value = option.split_once('=').map(|(_, value)| value.to_string());
                    self.options.push((key.to_string(), value));
                    (0, 0)
                }
            },
        };
        self.attributes = self.attributes & !clear | set;
        Ok(())
    }
}

fn escaped(text: &str) -> Escaped<'_> {
    Escaped(text.as_bytes())
}

fn attribute_bits_of(options: &[&str]) -> (u64, u64) {
    let bits = options.iter().filter_map(|option| mount_options::attribute_bits(option));
    bits.fold((0, 0), |all, one| (all.0 | one.0, all.1 | one.1))
}

fn not_for_the_kernel(entry: &FstabEntry, what: &str) -> WhyAndHint {
    let why = format!("{what} is not for the kernel alone to do");
    let hint = format!(
        "add `x-initrd.mount` to line {}, so that systemd mounts it in the initrd, or write \
         `in_initrd = false` to the entries of this storage",
        entry.line
    );
    (why, hint)
}

/// The options of a list. A comma within quotes is a part of its option.
fn split_options(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

fn parse_source(field: &[u8]) -> Result<MountSource, WhyAndHint> {
    let device = |path: &[u8]| {
        let path = TreePath::parse(path).map_err(|why| {
            (format!("its device {} {why}", Escaped(field)), "correct the line".to_string())
        });
        path.map(MountSource::Device)
    };
    for (tag, dir) in TAGS {
        let value = field.strip_prefix(tag.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        if let Some(value) = value {
            let value = value
                .strip_prefix(b"\"")
                .map_or(value, |value| value.strip_suffix(b"\"").unwrap_or(value));
            let value = encode_for_udev(value);
            return device(format!("dev/disk/{dir}/{value}").as_bytes());
        }
    }
    if field.starts_with(b"/") { device(field) } else { Ok(MountSource::Name(field.to_vec())) }
}

/// What a link below `/dev/disk` is named (`encode_devnode_name` of systemd).
fn encode_for_udev(value: &[u8]) -> String {
    let mut name = String::new();
    let hex = |name: &mut String, byte: u8| name.push_str(&format!("\\x{byte:02x}"));
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            match u8::try_from(c) {
                Ok(byte)
                    if byte.is_ascii() && !c.is_ascii_alphanumeric() && !"#+-.:=@_".contains(c) =>
                {
                    hex(&mut name, byte);
                }
                _ => name.push(c),
            }
        }
        chunk.invalid().iter().for_each(|&byte| hex(&mut name, byte));
    }
    name
}

impl fmt::Display for MountSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "{path}"),
            Self::Name(name) => write!(f, "{}", Escaped(name)),
        }
    }
}

impl fmt::Display for StorageMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, source, point, .. } = self;
        write!(f, "mount {source} at {point}, as line {line} of /etc/fstab says")
    }
}

#[cfg(test)]
#[path = "early_plan_tests.rs"]
mod tests;
