//! The directories that are new as a whole: each holds nothing that blank had, and lies in none that is new
//! itself, beside those that every program shares and old roots had. Pure.

use dirfd::{ChangeKind, Facts, FileType};

use crate::diff::is_within;

/// What many programs have something in (file-hierarchy(7)). Where blank is empty these are new at each boot, and
/// what one program made says nothing of the others.
const SHARED: [&[u8]; 17] = [
    b"etc",
    b"home",
    b"opt",
    b"root",
    b"srv",
    b"usr",
    b"usr/bin",
    b"usr/lib",
    b"usr/local",
    b"usr/share",
    b"var",
    b"var/cache",
    b"var/lib",
    b"var/log",
    b"var/opt",
    b"var/spool",
    b"var/tmp",
];

/// The same in a home, which lies in `/home` or is `/root`.
const SHARED_IN_HOMES: [&[u8]; 5] =
    [b".cache", b".config", b".local", b".local/share", b".local/state"];

fn is_shared(path: &[u8]) -> bool {
    let below_home = path.strip_prefix(b"root/").or_else(|| {
        let rest = path.strip_prefix(b"home/")?;
        Some(rest.iter().position(|&b| b == b'/').map_or(&[][..], |slash| &rest[slash + 1..]))
    });
    SHARED.contains(&path)
        || below_home.is_some_and(|name| name.is_empty() || SHARED_IN_HOMES.contains(&name))
}

/// The added directories that are in no other one, on the way through sorted paths.
#[derive(Debug, Default)]
pub(crate) struct TopmostAdded {
    /// Those that what comes may still lie in, with their places.
    open: Vec<(Vec<u8>, usize)>,
}

impl TopmostAdded {
    /// Goes on to the change at `at`, which no old root had if it `is_new`, and returns the place of the one that
    /// it lies in, or is.
    pub(crate) fn enter(
        &mut self,
        at: usize,
        path: &[u8],
        kind: ChangeKind,
        facts: &Facts,
        is_new: bool,
    ) -> Option<usize> {
        // `a-b` comes between `a` and what is in it: only past `a/…` nothing lies in `a` any more.
        while self.open.last().is_some_and(|(dir, _)| is_past(path, dir)) {
            self.open.pop();
        }
        let within = self.open.iter().find(|(dir, _)| is_below(path, dir)).map(|(_, at)| *at);
        if within.is_none()
            && kind == ChangeKind::Added
            && facts.file_type == FileType::Dir
            && !path.is_empty()
            && (is_new || !is_shared(path))
        {
            self.open.push((path.to_vec(), at));
            return Some(at);
        }
        within
    }
}

/// Whether `path` lies in `dir`, at whatever depth.
pub(crate) fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.len() > dir.len() && is_within(path, dir)
}

/// Whether `path`, and so all that follows it in the order of bytes, comes after whatever lies in `dir`.
pub(crate) fn is_past(path: &[u8], dir: &[u8]) -> bool {
    !is_below(path, dir) && path.iter().gt(dir.iter().chain([&b'/']))
}
