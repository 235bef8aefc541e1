//! What a boot is asked to mount as its root, compared with live. The same room as `[root]`: what names a
//! root depends on its file system.

use std::os::unix::ffi::OsStrExt;

use dirfd::path::Escaped;

use crate::boot::command_line::option_value;
use crate::config::root::RootConfig;

/// A root as the kernel command line or an fstab names it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RootMountSource<'n> {
    /// The device or dataset; empty where nothing names it.
    pub(crate) source: &'n [u8],
    /// The file system's type; empty where nothing names it.
    pub(crate) fs_type: &'n [u8],
    /// Mount options.
    pub(crate) options: &'n [u8],
}

/// What that is, compared with live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RootComparison {
    /// Live, by its name.
    Live,
    /// Certainly something else; the text says what.
    Other(String),
    /// It does not say.
    Unknown,
}

impl RootConfig {
    /// Compares. `file_system` is the identity of the file system that live is on.
    pub(crate) fn compare(&self, named: RootMountSource<'_>, file_system: &str) -> RootComparison {
        let word = self.backend_word().as_bytes();
        match self {
            Self::Tmpfs | Self::Directory { .. } => RootComparison::Unknown,
            _ if !matches!(named.fs_type, b"" | b"auto" | b"none") && named.fs_type != word => {
                RootComparison::Other(format!(
                    "a file system of the type {}",
                    Escaped(named.fs_type)
                ))
            }
            Self::Btrfs { layout, .. } => compare_btrfs(layout.live.as_bytes(), named, file_system),
            Self::Zfs { dataset, layout } => {
                let live = [dataset.as_bytes(), b"/", layout.live.as_path().as_os_str().as_bytes()];
                compare_zfs(&live.concat(), named)
            }
        }
    }
}

fn compare_btrfs(live: &[u8], named: RootMountSource<'_>, file_system: &str) -> RootComparison {
    if let Some(id) = uuid_in_source(named.source)
        && !id.eq_ignore_ascii_case(file_system.as_bytes())
    {
        return RootComparison::Other(format!("another file system, UUID={}", Escaped(id)));
    }
    // With both the kernel wants them to agree.
    let Some(subvolume) = option_value(named.options, b"subvol") else {
        return RootComparison::Unknown;
    };
    let parts = subvolume.split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b"."));
    match parts.collect::<Vec<_>>().join(&b'/') {
        name if name == live => RootComparison::Live,
        name if name.is_empty() => {
            RootComparison::Other("the top level of the file system".to_string())
        }
        name => RootComparison::Other(format!("the subvolume `{}`", Escaped(&name))),
    }
}

/// The UUID by which a file system is named.
fn uuid_in_source(source: &[u8]) -> Option<&[u8]> {
    let id =
        source.strip_prefix(b"UUID=").or_else(|| source.strip_prefix(b"/dev/disk/by-uuid/"))?;
    let id = id.strip_prefix(b"\"").and_then(|id| id.strip_suffix(b"\"")).unwrap_or(id);
    Some(id).filter(|id| !id.is_empty())
}

fn compare_zfs(live: &[u8], named: RootMountSource<'_>) -> RootComparison {
    // `root=zfs:POOL/NAME` and `root=ZFS=POOL/NAME`, where a plus stands for a space.
    let prefixes = [&b"zfs:"[..], b"ZFS:", b"zfs=", b"ZFS="];
    let on_line = prefixes.iter().find_map(|prefix| named.source.strip_prefix(*prefix));
    let dataset = match (on_line, named.fs_type) {
        (Some(name), _) => name.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect(),
        (None, b"zfs") => named.source.to_vec(),
        (None, _) => return RootComparison::Unknown,
    };
    match dataset.as_slice() {
        b"" | b"AUTO" => RootComparison::Unknown,
        name if name == live => RootComparison::Live,
        name => RootComparison::Other(format!("the dataset `{}`", Escaped(name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    fn root(text: &str) -> RootConfig {
        let text = format!("[root]\nbackend = {text}");
        Config::parse(Path::new("f"), text.as_bytes()).unwrap().root
    }

    fn compare(root: &RootConfig, source: &str, fs_type: &str, options: &str) -> RootComparison {
        let [source, fs_type, options] = [source, fs_type, options].map(str::as_bytes);
        root.compare(RootMountSource { source, fs_type, options }, "ab-cd")
    }

    #[test]
    fn a_subvolume_and_a_file_system_are_told_apart_where_they_are_named() {
        let root = root("\"btrfs\"\ndevice = \"/dev/x\"\nlive = \"os/root\"");
        let other = |what: &str| RootComparison::Other(what.to_string());
        for (source, fs_type, options, answer) in [
            ("", "", "", RootComparison::Unknown),
            ("LABEL=os", "btrfs", "ro,subvol=/os//root", RootComparison::Live),
            ("UUID=AB-CD", "auto", "subvol=os/root", RootComparison::Live),
            ("UUID=\"ab-cd\"", "", "subvolid=5", RootComparison::Unknown),
            ("/dev/disk/by-uuid/ab-cd", "", "subvol=@,x", other("the subvolume `@`")),
            ("UUID=ef", "btrfs", "subvol=os/root", other("another file system, UUID=ef")),
            ("x", "btrfs", "subvol=/", other("the top level of the file system")),
            ("tmpfs", "tmpfs", "size=1G", other("a file system of the type tmpfs")),
            ("fstab", "", "", RootComparison::Unknown),
        ] {
            assert_eq!(compare(&root, source, fs_type, options), answer, "{source} {options}");
        }
    }

    #[test]
    fn a_dataset_is_told_where_it_is_named() {
        let root = root("\"zfs\"\ndataset = \"my pool/os\"\nlive = \"root\"");
        let other = || RootComparison::Other("the dataset `tank/os`".to_string());
        for (source, fs_type, answer) in [
            ("zfs:my+pool/os/root", "", RootComparison::Live),
            ("ZFS=tank/os", "", other()),
            ("zfs:AUTO", "", RootComparison::Unknown),
            ("my pool/os/root", "zfs", RootComparison::Live),
            ("tank/os", "zfs", other()),
            ("tank/os", "", RootComparison::Unknown),
        ] {
            assert_eq!(compare(&root, source, fs_type, ""), answer, "{source}");
        }
    }
}
