//! The accounts of now and of the next boot, and what the machine has mounted from memory.

use std::os::fd::AsFd;

use backends::{Error, Result, TreePath};

use super::mounts::Mounts;
use super::people::{self, Reader};
use super::tomorrow::{self, Tomorrow};
use super::tree::{self, Look};
use super::trees::Trees;
use super::{Sources, cannot};
use crate::doctor::facts::{Facts, MemoryMount};
use crate::doctor::sources;
use crate::host::is_not_found;

pub(super) fn accounts(
    sources: &Sources<'_>,
    trees: &Trees,
    tomorrow: &Tomorrow<'_>,
    facts: &mut Facts,
) {
    let read_now = |path: &TreePath| tomorrow::read_now(sources.root, tomorrow.mounts, path);
    let names_now = |path: &TreePath| match sources.root.names(path.as_path()) {
        Ok(names) => Ok(names),
        Err(error) if is_not_found(&error) => Ok(Vec::new()),
        Err(error) => Err(Error::io(format!("list {path}"), error)),
    };
    match sources.root.has("etc/NIXOS") {
        Ok(nixos) => facts.nixos = nixos,
        Err(e) => cannot(&mut facts.unchecked, "for NixOS", &Error::io("look at /etc/NIXOS", e)),
    }
    if trees.live_is_root {
        let reader = Reader { read: &read_now, names: &names_now, when: "now" };
        facts.now = people::gather(&reader, &mut facts.unchecked);
    }
    if trees.known {
        let read = |path: &TreePath| tomorrow.read(path);
        let names = |path: &TreePath| tomorrow.names(path);
        let reader = Reader { read: &read, names: &names, when: "after the next boot" };
        facts.after = people::gather(&reader, &mut facts.unchecked);
    }
}

pub(super) fn memory(sources: &Sources<'_>, mounts: &Mounts, facts: &mut Facts) -> Result<()> {
    facts.ram = match sources.host.read("proc/meminfo") {
        Ok(text) => sources::memory(&text),
        Err(error) if is_not_found(&error) => None,
        Err(error) => return Err(Error::io("read proc/meminfo", error)),
    };
    let homes: Vec<TreePath> = facts
        .now
        .iter()
        .filter_map(|people| people.accounts.as_ref())
        .flat_map(|accounts| accounts.users())
        .filter(|user| user.uid == 0 || (1000..60_000).contains(&user.uid))
        .filter_map(|user| TreePath::parse(&user.home).ok())
        .collect();
    let concerned =
        |path: &TreePath| path.depth() == 0 || homes.iter().any(|home| home.is_within(path));
    for (path, mount) in mounts.in_memory().filter(|(path, _)| concerned(path)) {
        match tree::look(sources.root.as_fd(), &path)? {
            Look::Seen(seen) => facts.memory.push(MemoryMount {
                limit: mount.option(b"size").and_then(|size| sources::limit(&size)),
                mode: seen.node.mode,
                path,
            }),
            Look::Nothing | Look::Link { .. } => {}
        }
    }
    // What is not mounted yet, as before the first boot.
    let fstab = match sources.root.read("etc/fstab") {
        Ok(text) => text,
        Err(error) if is_not_found(&error) => Vec::new(),
        Err(error) => return Err(Error::io("read /etc/fstab", error)),
    };
    for mount in sources::fstab_memory(&fstab, facts.ram) {
        if concerned(&mount.path) && facts.memory.iter().all(|there| there.path != mount.path) {
            let sources::FstabMemory { path, limit, mode } = mount;
            facts.memory.push(MemoryMount { path, limit, mode });
        }
    }
    Ok(())
}
