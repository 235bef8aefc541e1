//! Whether a boot mounts a directory: a line of fstab or a unit does, or ZFS by a property of its own. What
//! somebody mounted by hand is not there after the next boot.

use backends::mountinfo::{Mount, option};
use backends::{Result, TreePath};

use super::fstab;
use crate::units::name;

/// Where fstab is, from the root on.
pub const FSTAB: &str = "etc/fstab";

/// Where systemd finds units that somebody wrote or a package installed, systemd.unit(5).
pub const UNITS: [&str; 4] = [
    "etc/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// Whether a boot of the system whose files `read` reads mounts at `point` what is mounted there now.
pub fn mounts(
    point: &TreePath,
    mount: &Mount,
    mut read: impl FnMut(&TreePath) -> Result<Option<Vec<u8>>>,
) -> Result<bool> {
    // Only its properties say whether ZFS mounts a dataset.
    if point.depth() == 0 || mount.fs_type == b"zfs" {
        return Ok(true);
    }
    let mut of = |path: &str| read(&TreePath::parse(path.as_bytes()).unwrap_or_default());
    let fstab = of(FSTAB)?.unwrap_or_default();
    let by_fstab = |entry: &fstab::Entry| {
        let when_used = option(&entry.options, b"x-systemd.automount").is_some();
        entry.point == *point && (when_used || option(&entry.options, b"noauto").is_none())
    };
    if fstab::entries(&fstab).iter().any(by_fstab) {
        return Ok(true);
    }
    let Ok(unit) = name::of_mount(point) else { return Ok(false) };
    for dir in UNITS {
        // A unit that is masked leads to /dev/null, which is no file.
        if of(&format!("{dir}/{unit}")).is_ok_and(|text| text.is_some_and(|text| !text.is_empty()))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A line of fstab that mounts at `point` what is mounted there now.
pub fn line(point: &TreePath, mount: &Mount) -> String {
    let options = match mount.fs_type.as_slice() {
        b"btrfs" => [b"subvol=", mount.root.strip_prefix(b"/").unwrap_or(&mount.root)].concat(),
        _ => b"defaults".to_vec(),
    };
    let point = [b"/", point.as_bytes()].concat();
    [&mount.source, &point, &mount.fs_type, &options].map(|field| escape(field)).join(" ")
}

/// fstab(5) takes every byte in octal.
fn escape(field: &[u8]) -> String {
    let octal = |&byte: &u8| match byte {
        b'\\' => "\\134".to_string(),
        byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
        byte => format!("\\{byte:03o}"),
    };
    field.iter().map(octal).collect()
}

#[cfg(test)]
mod tests {
    use backends::mountinfo;

    use super::*;

    fn mount(line: &str) -> Mount {
        mountinfo::parse(line.as_bytes()).unwrap().remove(0)
    }

    fn at(path: &str) -> TreePath {
        TreePath::parse(path.as_bytes()).unwrap()
    }

    /// Whether a system that has this one file mounts it.
    fn by(file: &str, text: &str, fs_type: &str) -> bool {
        let mount = mount(&format!("2 1 0:1 /a\\040b /my\\040data rw - {fs_type} /dev/sda rw"));
        let read = |path: &TreePath| Ok((*path == at(file)).then(|| text.into()));
        mounts(&at("/my data"), &mount, read).unwrap()
    }

    #[test]
    fn fstab_units_and_zfs_itself_mount_and_nobody_else_does() {
        assert!(by("/etc/fstab", "x /my\\040data btrfs", "btrfs"));
        assert!(by("/etc/fstab", "x /my\\040data btrfs noauto,x-systemd.automount", "btrfs"));
        assert!(!by("/etc/fstab", "x /my\\040data btrfs noauto", "btrfs"));
        assert!(!by("/etc/fstab", "x /my btrfs", "btrfs"));
        assert!(by("/usr/lib/systemd/system/my\\x20data.mount", "[Mount]", "ext4"));
        assert!(!by("/usr/lib/systemd/system/my\\x20data.mount", "", "ext4"));
        assert!(by("/nothing", "", "zfs"));
    }

    #[test]
    fn the_line_says_what_is_mounted_now() {
        let table = "2 1 0:1 /a\\040b /my\\040data rw - btrfs /dev/sda rw";
        let text = line(&at("/my data"), &mount(table));
        assert_eq!(text, "/dev/sda /my\\040data btrfs subvol=a\\040b");
        let table = "2 1 0:1 / /p rw - ext4 /dev/sda rw";
        assert_eq!(line(&at("/p"), &mount(table)), "/dev/sda /p ext4 defaults");
    }
}
