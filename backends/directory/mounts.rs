//! Where a tree is mounted at this moment, by this thread's mount table.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use crate::error::{Error, Result};
use crate::path::TreeName;
use crate::stat::Place;
use crate::survey::LiveMount;

/// The mounts that show the tree `name` below `top`, or a part of the tree, as their root.
pub(super) fn of(top: BorrowedFd<'_>, name: &TreeName) -> Result<Vec<LiveMount>> {
    let failed = |why| Error::io("find out where live is mounted", why);
    let table = fs::read("/proc/thread-self/mountinfo").map_err(failed)?;
    let path = fs::read_link(format!("/proc/thread-self/fd/{}", top.as_raw_fd()));
    let path = path.map_err(failed)?;
    let mount = Place { dir: top, name: c"." }.stat().map_err(failed)?.mount;
    let mounts: Vec<Mount> = table.split(|&b| b == b'\n').filter_map(Mount::parse).collect();
    let Some(own) = mounts.iter().find(|other| Some(other.id) == mount) else {
        let why = "its directory is on a mount that this process's mount table does not show";
        return Err(Error::new("find out where live is mounted", why));
    };
    let Some(tree) = own.path_in_file_system(path.as_os_str().as_bytes(), name) else {
        return Err(Error::new("find out where live is mounted", "its directory was deleted"));
    };
    let shows = |other: &&Mount| other.device == own.device && is_within(&other.root, &tree);
    let live_mount = |other: &Mount| LiveMount {
        mount_point: other.point.clone(),
        seen_by: None,
        certain: true,
    };
    Ok(mounts.iter().filter(shows).map(live_mount).collect())
}

/// One line of `mountinfo` (proc_pid_mountinfo(5)).
struct Mount {
    id: u64,
    device: Vec<u8>,
    /// What of the file system it shows, as an absolute path in it.
    root: Vec<u8>,
    point: Vec<u8>,
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&b| b == b' ');
        let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let device = fields.nth(1)?.to_vec();
        let root = unescape(fields.next()?);
        Some(Self { id, device, root, point: unescape(fields.next()?) })
    }

    /// Where in the file system the tree `name` below `path` lies.
    fn path_in_file_system(&self, path: &[u8], name: &TreeName) -> Option<Vec<u8>> {
        let without_slash = |path: &'_ [u8]| path.strip_suffix(b"/").unwrap_or(path).to_vec();
        let below = path.strip_prefix(without_slash(&self.point).as_slice())?;
        let root = without_slash(&self.root);
        Some([&root, without_slash(below).as_slice(), b"/", name.as_bytes()].concat())
    }
}

fn is_within(path: &[u8], tree: &[u8]) -> bool {
    path.strip_prefix(tree).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

/// Undoes the kernel's `\040` for space, tab, newline and backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let octal = match tail {
            [a, b, c, ..] if *first == b'\\' => std::str::from_utf8(&[*a, *b, *c])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 8).ok()),
            _ => None,
        };
        if octal.is_some() {
            rest = &tail[3..];
        }
        plain.push(octal.unwrap_or(*first));
    }
    plain
}
