//! Whether a boot mounts a directory: a line of fstab or a unit does, or ZFS by a property of its own. What
//! somebody mounted by hand is not there after the next boot.

use std::os::fd::BorrowedFd;

use dirfd::mountinfo::Mount;
use dirfd::{Error, Result, TreePath};
use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::boot::fstab;
use crate::host::HostRoot;
use crate::systemd::unit_file;

/// Where systemd finds units that somebody wrote or a package installed, systemd.unit(5).
pub(crate) const UNIT_DIRS: [&str; 4] = [
    "etc/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// Where it finds those that generators make at each boot, likewise.
const GENERATED: [&str; 3] =
    ["run/systemd/generator.early", "run/systemd/generator", "run/systemd/generator.late"];

/// Whether a boot of the system in `tree` mounts at `point` what is mounted there now. What other
/// generators than that for fstab have made in this boot of `host`, they make in the next one.
///
/// A line with `noauto` counts, since the units of kept paths ask for their storage.
pub(crate) fn mounts_at_boot(
    point: &TreePath,
    mount: &Mount,
    tree: BorrowedFd<'_>,
    host: &HostRoot,
) -> Result<bool> {
    // Only its properties say whether ZFS mounts a dataset.
    if point.depth() == 0 || mount.fs_type == b"zfs" {
        return Ok(true);
    }
    let fstab = fstab::read_fstab(tree).map_err(|e| Error::io("read /etc/fstab", e))?;
    if fstab::parse_entries(&fstab).iter().any(|entry| entry.point == *point) {
        return Ok(true);
    }
    let Ok(unit) = unit_file::of_mount(point) else { return Ok(false) };
    for dir in UNIT_DIRS {
        let path = format!("{dir}/{unit}");
        if has_name(tree, &path).map_err(|e| Error::io(format!("look at /{path}"), e))? {
            // A unit that is masked leads to /dev/null, which is no file. Later directories do not count.
            return Ok(
                matches!(fstab::read_system_file(tree, &path), Ok(Some(text)) if !text.is_empty()),
            );
        }
    }
    let by_generator = |dir: &str| {
        let text = host.read(format!("{dir}/{unit}")).unwrap_or_default();
        let of_fstab = |line: &[u8]| line == b"SourcePath=/etc/fstab";
        !text.is_empty() && !text.split(|&b| b == b'\n').any(of_fstab)
    };
    Ok(GENERATED.into_iter().any(by_generator))
}

/// Whether something in a tree has this name; a link that leads nowhere has it too.
pub(crate) fn has_name(tree: BorrowedFd<'_>, path: &str) -> Result<bool, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat2(tree, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(why) => Err(why),
    }
}

/// A line of fstab that mounts at `point` what is mounted there now; none for a directory that is bound
/// from elsewhere.
pub(crate) fn fstab_line_of(point: &TreePath, mount: &Mount) -> Option<String> {
    let options = match mount.fs_type.as_slice() {
        b"btrfs" if mount.option(b"subvol")? == mount.root => {
            [b"subvol=", mount.root.as_slice()].concat()
        }
        b"btrfs" => return None,
        // What has no device takes more than its type and a name.
        _ if mount.root != b"/" || !mount.source.starts_with(b"/dev/") => return None,
        _ => b"defaults".to_vec(),
    };
    let point = [b"/", point.as_bytes()].concat();
    let fields = [&mount.source, &point, &mount.fs_type, &options].map(|field| escape_field(field));
    Some(fields.join(" ") + " 0 0")
}

/// What to do where nothing mounts it; `line` is what fstab could have.
pub(crate) fn advise_fstab_line(line: Option<&str>) -> String {
    match line {
        Some(line) => format!(
            "add a line for it to /etc/fstab, as `{line}` (with the `UUID=` that `lsblk -f` tells, it \
             does not depend on the names of devices)"
        ),
        None => "add a line for it to /etc/fstab".to_string(),
    }
}

/// fstab(5) takes every byte in octal.
fn escape_field(field: &[u8]) -> String {
    let octal = |&byte: &u8| match byte {
        b'\\' => "\\134".to_string(),
        byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
        byte => format!("\\{byte:03o}"),
    };
    field.iter().map(octal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dirfd::mountinfo;
    use std::os::fd::AsFd;

    fn mount(line: &str) -> Mount {
        mountinfo::parse_mountinfo(line.as_bytes()).unwrap().remove(0)
    }

    fn at(path: &str) -> TreePath {
        TreePath::parse(path.as_bytes()).unwrap()
    }

    /// Whether a system that has this one file mounts it.
    fn is_mounted_by(file: &str, text: &str, fs_type: &str) -> bool {
        let mount = mount(&format!("2 1 0:1 /a /my\\040data rw - {fs_type} /dev/sda rw"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        let (tree, host) =
            (std::fs::File::open(dir.path()).unwrap(), HostRoot::open(dir.path()).unwrap());
        mounts_at_boot(&at("/my data"), &mount, tree.as_fd(), &host).unwrap()
    }

    #[test]
    fn fstab_units_and_zfs_itself_mount_and_nobody_else_does() {
        assert!(is_mounted_by("etc/fstab", "x /my\\040data btrfs", "btrfs"));
        assert!(is_mounted_by("etc/fstab", "x /my\\040data btrfs noauto", "btrfs"));
        assert!(!is_mounted_by("etc/fstab", "x /my btrfs", "btrfs"));
        assert!(is_mounted_by("usr/lib/systemd/system/my\\x20data.mount", "[Mount]", "ext4"));
        assert!(!is_mounted_by("usr/lib/systemd/system/my\\x20data.mount", "", "ext4"));
        let generated = "run/systemd/generator.late/my\\x20data.mount";
        assert!(is_mounted_by(generated, "[Unit]\nDescription=found by its type\n", "ext4"));
        assert!(!is_mounted_by(generated, "[Unit]\nSourcePath=/etc/fstab\n", "ext4"));
        assert!(is_mounted_by("nothing", "", "zfs"));
    }

    #[test]
    fn a_unit_that_is_masked_hides_that_of_a_package() {
        let dir = tempfile::tempdir().unwrap();
        for of in [UNIT_DIRS[0], UNIT_DIRS[2]] {
            std::fs::create_dir_all(dir.path().join(of)).unwrap();
        }
        let place = |of: &str| dir.path().join(of).join("my\\x20data.mount");
        std::fs::write(place(UNIT_DIRS[2]), "[Mount]").unwrap();
        let (tree, host) =
            (std::fs::File::open(dir.path()).unwrap(), HostRoot::open(dir.path()).unwrap());
        let mount = mount("2 1 0:1 / /my\\040data rw - ext4 /dev/sda rw");
        let is_mounted = || mounts_at_boot(&at("/my data"), &mount, tree.as_fd(), &host).unwrap();
        assert!(is_mounted());
        std::os::unix::fs::symlink("/dev/null", place(UNIT_DIRS[0])).unwrap();
        assert!(!is_mounted());
    }

    #[test]
    fn the_line_says_what_is_mounted_now_and_nothing_of_what_is_bound() {
        let told = |root: &str, rest: &str| {
            fstab_line_of(
                &at("/my data"),
                &mount(&format!("2 1 0:1 {root} /my\\040data rw - {rest}")),
            )
        };
        let btrfs = "btrfs /dev/sda rw,subvolid=256,subvol=/a\\040b";
        let expected = "/dev/sda /my\\040data btrfs subvol=/a\\040b 0 0";
        assert_eq!(told("/a\\040b", btrfs).as_deref(), Some(expected));
        assert_eq!(told("/a\\040b/dir", btrfs), None);
        let expected = "/dev/sda /my\\040data ext4 defaults 0 0";
        assert_eq!(told("/", "ext4 /dev/sda rw").as_deref(), Some(expected));
        assert_eq!(told("/dir", "ext4 /dev/sda rw"), None);
        assert_eq!(told("/", "overlay overlay rw,lowerdir=/a"), None);
    }
}
