//! The `x-…` options of mounts, for programs that look at mounts: the kernel does not keep them, so
//! libmount does, in `/run/mount/utab`, and findmnt, umount and file managers read them there.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use dirfd::fault::change;
use dirfd::mountinfo::{self, Mount};
use dirfd::stat::of_open;
use dirfd::{Error, Result, TreePath, atomic_file};
use rustix::fs::{self, FlockOperation, Mode, OFlags};

use crate::host::{HostRoot, Machine, is_not_found};
use crate::persist::mount_options::MountOptions;

const DIR: &str = "run/mount";
const TABLE: &str = "utab";
const LOCK: &str = "utab.lock";

/// The paths of mounts with their options.
type MountsWithOptions<'m> = [(&'m TreePath, &'m MountOptions)];

/// Tells of these mounts: of those that were `made` in the place of what is said of them already,
/// and of those that were `there` unless all their options are told of, by whomever.
pub(crate) fn announce_in_utab(
    machine: &Machine,
    host: &HostRoot,
    made: &MountsWithOptions<'_>,
    there: &MountsWithOptions<'_>,
) -> Result<()> {
    let failed = |e| Error::io("write the mounts' options to /run/mount/utab", e);
    let table = mountinfo::read_mounts()?;
    let old = read_utab(host).map_err(failed)?;
    let mut lines = Vec::new();
    let made = made.iter().map(|mount| (mount, true));
    for ((path, options), made) in made.chain(there.iter().map(|mount| (mount, false))) {
        // A mount that was moved away needs no options, and must not keep others from theirs.
        let opened = machine.open_at(path, OFlags::PATH | OFlags::NOFOLLOW);
        let Ok(found) = opened.and_then(|opened| of_open(opened.as_fd())) else { continue };
        let id = found.mount;
        // A mount that is gone by now needs no options.
        let Some(mount) = table.iter().find(|mount| Some(mount.id) == id) else { continue };
        if made || !has_options(&old, &mount.mount_point, &options.user) {
            lines.push((mount.mount_point.clone(), utab_line(mount, &options.user)));
        }
    }
    if lines.is_empty() { Ok(()) } else { update_utab(host, &lines).map_err(failed) }
}

/// One line, as libmount writes it.
fn utab_line(mount: &Mount, options: &[String]) -> Vec<u8> {
    let options = options.join(",");
    [
        &b"SRC="[..],
        &escape_field(&mount.source),
        b" TARGET=",
        &escape_field(&mount.mount_point),
        b" ROOT=",
        &escape_field(&mount.root),
        b" OPTS=",
        &escape_field(options.as_bytes()),
    ]
    .concat()
}

/// Names in a mount table have these bytes in octal (getmntent(3)).
fn escape_field(text: &[u8]) -> Vec<u8> {
    let octal = |&byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' | b'"' => format!("\\{byte:03o}").into_bytes(),
        _ => vec![byte],
    };
    text.iter().flat_map(octal).collect()
}

fn update_utab(host: &HostRoot, lines: &[(Vec<u8>, Vec<u8>)]) -> io::Result<()> {
    let dir = host.make_dirs(DIR)?;
    // libmount takes this lock, too, before it writes.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::from_raw_mode(0o644);
    let lock = change("apply: open the lock of utab", || Ok(fs::openat(&dir, LOCK, flags, mode)?))?;
    fs::flock(&lock, FlockOperation::LockExclusive)?;
    let old = read_utab(host)?;
    let text = merge_lines(&old, lines);
    if text == old {
        return Ok(());
    }
    atomic_file::replace(dir.as_fd(), OsStr::from_bytes(TABLE.as_bytes()), &text, 0o644)
}

fn read_utab(host: &HostRoot) -> io::Result<Vec<u8>> {
    match host.read(format!("{DIR}/{TABLE}")) {
        Err(error) if is_not_found(&error) => Ok(Vec::new()),
        read => read,
    }
}

/// Whether a table has all these options of a mount.
fn has_options(table: &[u8], target: &[u8], options: &[String]) -> bool {
    let target = [b"TARGET=", escape_field(target).as_slice()].concat();
    let is_there = |line: &[u8], option: &str| {
        let told = line.split(|&b| b == b' ').filter_map(|field| field.strip_prefix(b"OPTS="));
        told.flat_map(|told| told.split(|&b| b == b','))
            .any(|one| one == escape_field(option.as_bytes()))
    };
    let mut lines = table.split(|&b| b == b'\n');
    lines
        .find(|line| line.split(|&b| b == b' ').any(|field| field == target))
        .is_some_and(|line| options.iter().all(|option| is_there(line, option)))
}

/// The table with these lines in the place of others of the same targets.
fn merge_lines(old: &[u8], lines: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let targets: Vec<Vec<u8>> =
        lines.iter().map(|(target, _)| [&b"TARGET="[..], &escape_field(target)].concat()).collect();
    let is_ours = |line: &&[u8]| {
        !line.split(|&b| b == b' ').any(|field| targets.iter().any(|target| field == target))
    };
    let kept = old.split(|&b| b == b'\n').filter(|line| !line.is_empty()).filter(is_ours);
    let all = kept.map(<[u8]>::to_vec).chain(lines.iter().map(|(_, line)| line.clone()));
    all.flat_map(|line| [line, b"\n".to_vec()].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_one_line_and_odd_names_are_escaped() {
        let info = b"7 1 0:30 /a\\040b /mnt/a\\040b rw - btrfs /dev/sda2 rw\n";
        let mount = &mountinfo::parse_mountinfo(info).unwrap()[0];
        let new = utab_line(mount, &["x-gvfs-hide".into(), "x-foo=1".into()]);
        let text = "SRC=/dev/sda2 TARGET=/mnt/a\\040b ROOT=/a\\040b OPTS=x-gvfs-hide,x-foo=1";
        assert_eq!(String::from_utf8_lossy(&new), text);
        let old = b"SRC=/x TARGET=/mnt/a\\040b ROOT=/ OPTS=x-old\nSRC=/x TARGET=/mnt/a ROOT=/\n";
        let whole = merge_lines(old, &[(mount.mount_point.clone(), new.clone())]);
        let expected = format!("SRC=/x TARGET=/mnt/a ROOT=/\n{text}\n");
        assert_eq!(String::from_utf8_lossy(&whole), expected);
        assert_eq!(merge_lines(&whole, &[(mount.mount_point.clone(), new)]), whole);
        let told = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(ToString::to_string).collect();
            has_options(&whole, b"/mnt/a b", &options)
        };
        assert!(told(&["x-foo=1"]) && told(&["x-gvfs-hide", "x-foo=1"]));
        assert!(!told(&["x-foo"]) && !told(&["x-gvfs-hide", "x-bar"]));
    }
}
