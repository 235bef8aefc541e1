//! What the next boot mounts as the root, and whether blank is of the same system.

use std::os::fd::AsFd;

use backends::Kinship;
use dirfd::{Error, Result, TreePath};

use crate::boot::fstab::{self, FstabEntry, FstabMounts, storage_paths};
use crate::boot::next_root::BootSources;
use crate::boot::refusal;
use crate::boot::swap_files::{SwapFile, hint_swap_file};
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::login::{self, Reader};
use crate::doctor::machine_facts::{Facts, MemoryMount, RootFacts};
use crate::doctor::next_tree::{self, Look, Tomorrow};
use crate::doctor::sources::{Sources, Trees, push_unchecked};
use crate::doctor::{checks, entries, login_sources};
use crate::host::is_not_found;
use crate::persist::list::KeepEntry;
use crate::ui::figures;

pub(crate) fn check_root(facts: &Facts) -> Vec<Finding> {
    let danger = |check, (what, hint): &(String, String), why: &str| {
        Finding::new(check, Severity::Danger, what, why, hint)
    };
    let root = &facts.root;
    let numbers = root.numbers.iter().map(|told| {
        let why = "the number stays with the old root, so that nothing is rolled back: the rollback is \
                   refused";
        danger(&checks::ROOT_BY_NUMBER, told, why)
    });
    let other = root.other.iter().map(|told| {
        danger(&checks::OTHER_ROOT, told, "what is rolled back is not what the machine runs")
    });
    let unrelated = root.unrelated.iter().map(|told| {
        let why = "a rollback would put another system in the place of this one; it is refused";
        danger(&checks::BLANK_UNRELATED, told, why)
    });
    numbers.chain(other).chain(unrelated).collect()
}

// Reads what mounts the root at the next boot: live's fstab, blank's, and the kernel command line.

pub(crate) fn gather(
    sources: &Sources<'_>,
    trees: &Trees,
    entries: &[KeepEntry],
    facts: &mut Facts,
) {
    match fstab::read_fstab(sources.root.as_fd()) {
        Ok(text) => {
            by_fstab(sources, &fstab::parse_entries(&text), entries, facts);
            match gather_root(sources, trees, &text) {
                Ok(root) => facts.root = root,
                Err(error) => {
                    push_unchecked(&mut facts.unchecked, "what the next boot mounts", &error)
                }
            }
        }
        Err(why) => {
            let error = Error::io("read /etc/fstab", why);
            push_unchecked(&mut facts.unchecked, "what is mounted at boot", &error);
        }
    }
}

fn by_fstab(sources: &Sources<'_>, fstab: &[FstabEntry], list: &[KeepEntry], facts: &mut Facts) {
    let places = storage_paths(list);
    let live = sources.config.root.layout().map(|layout| &layout.live);
    let mounts = FstabMounts { entries: fstab, storages: &places, live };
    let found = list.iter().filter_map(|one| Some((one.path.clone(), mounts.at(&one.path)?)));
    facts.by_fstab = found.collect();
}

fn gather_root(sources: &Sources<'_>, trees: &Trees, text: &[u8]) -> Result<RootFacts> {
    let config = &sources.config.root;
    let (Ok(backend), Some(layout)) = (&sources.backend, config.layout()) else {
        return Ok(RootFacts::default());
    };
    let file_system = backend.file_system()?;
    let fstab = fstab::root_entries(text);
    let now =
        BootSources { line: sources.command_line.as_ref(), fstab: &fstab, whose: "/etc/fstab" };
    let mut found = RootFacts { numbers: now.numbers(layout), ..RootFacts::default() };
    let told = |boot: &BootSources<'_>| {
        boot.other_root(config, &file_system).map(|other| (other.to_string(), other.hint()))
    };
    found.other = told(&now);
    if let Some(blank) = &trees.blank {
        let text =
            fstab::read_fstab(blank.as_fd()).map_err(|e| Error::io("read blank's fstab", e))?;
        let fstab = fstab::root_entries(&text);
        let next = BootSources { line: None, fstab: &fstab, whose: "blank's fstab" };
        let anew = format!(
            "make blank anew of a live whose /etc/fstab is right: give `{}` another name, and run \
             `blankroot init`",
            layout.blank
        );
        let numbers = next.numbers(layout).into_iter();
        found.numbers.extend(numbers.map(|(reason, _)| (reason, anew.clone())));
        // The command line decides, whatever is in blank.
        let line = sources.command_line.as_ref();
        let next = told(&BootSources { line, ..next }).map(|(reason, _)| (reason, anew));
        found.other = found.other.or(next);
    }
    if let Kinship::Unrelated(unreadable) = backend.survey()?.kinship {
        let reason = refusal::reason_unrelated(&layout.live, &layout.blank, &unreadable);
        found.unrelated = Some((reason, refusal::hint_unrelated(&layout.blank)));
    }
    Ok(found)
}

// Roots and homes in memory: who may write at their top, and how large they may grow.

pub(crate) fn check_memory(facts: &Facts) -> Vec<Finding> {
    let open = facts.memory.iter().filter_map(check_open_memory);
    open.chain(facts.memory.iter().filter_map(|mount| check_memory_size(mount, facts.ram)))
        .collect()
}

fn check_open_memory(mount: &MemoryMount) -> Option<Finding> {
    let path = &mount.path;
    (mount.mode & 0o002 != 0).then(|| {
        Finding::new(
            &checks::MEMORY_OPEN,
            Severity::Danger,
            format!("every user may write at the top of {path} (mode {:04o})", mount.mode),
            "a tmpfs is open to everybody unless its mount options say otherwise: anybody can put \
             a directory where the system or another user expects theirs",
            format!("add `mode=0755` to its mount options, and `chmod 0755 {path}` until then"),
        )
    })
}

fn check_memory_size(mount: &MemoryMount, ram: Option<u64>) -> Option<Finding> {
    let path = &mount.path;
    let (what, why) = match (mount.limit, ram) {
        (None, _) => (
            format!("{path} is in memory, and nothing was said about its size"),
            "it may fill half of the machine's memory; with several such mounts, all of it, and \
             then programs are killed"
                .to_string(),
        ),
        (Some(limit), Some(ram)) if limit > ram => (
            format!("{path} may grow to {}, in memory", figures::format_size(limit)),
            format!(
                "the machine has {}; when they are full, programs are killed",
                figures::format_size(ram)
            ),
        ),
        _ => return None,
    };
    let hint = "add `size=` to its mount options, such as `size=2G`, or `size=25%` of the memory";
    Some(Finding::new(&checks::MEMORY_SIZE, Severity::Warning, what, why, hint))
}

// The accounts of now and of the next boot, and what the machine has mounted from memory.

pub(crate) fn gather_accounts(
    sources: &Sources<'_>,
    trees: &Trees,
    tomorrow: &Tomorrow<'_>,
    facts: &mut Facts,
) {
    let read_now = |path: &TreePath| next_tree::read_now(sources.root, tomorrow.mounts, path);
    let names_now = |path: &TreePath| match sources.root.names(path.as_path()) {
        Ok(names) => Ok(names),
        Err(error) if is_not_found(&error) => Ok(Vec::new()),
        Err(error) => Err(Error::io(format!("list {path}"), error)),
    };
    match sources.root.has("etc/NIXOS") {
        Ok(nixos) => facts.nixos = nixos,
        Err(e) => {
            push_unchecked(&mut facts.unchecked, "for NixOS", &Error::io("look at /etc/NIXOS", e))
        }
    }
    if trees.live_is_root {
        let reader = Reader { read: &read_now, names: &names_now, when: "now" };
        facts.now = login::gather(&reader, &mut facts.unchecked);
    }
    if trees.known {
        let read = |path: &TreePath| tomorrow.read(path);
        let names = |path: &TreePath| tomorrow.names(path);
        let reader = Reader { read: &read, names: &names, when: "after the next boot" };
        facts.after = login::gather(&reader, &mut facts.unchecked);
    }
}

pub(crate) fn gather_memory(
    sources: &Sources<'_>,
    mounts: &entries::Mounts,
    facts: &mut Facts,
) -> Result<()> {
    facts.ram = match sources.host.read("proc/meminfo") {
        Ok(text) => login_sources::parse_total_memory(&text),
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
        match next_tree::look_up_in_tree(sources.root.as_fd(), &path)? {
            Look::Seen(seen) => facts.memory.push(MemoryMount {
                limit: mount
                    .option(b"size")
                    .and_then(|size| login_sources::parse_tmpfs_size(&size)),
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
    for mount in login_sources::fstab_memory(&fstab, facts.ram) {
        if concerned(&mount.path) && facts.memory.iter().all(|there| there.path != mount.path) {
            let login_sources::FstabMemory { path, limit, mode } = mount;
            facts.memory.push(MemoryMount { path, limit, mode });
        }
    }
    Ok(())
}

// Swap files that lie in the root, of which blank and each fresh copy of it share the blocks.

pub(crate) fn check_swap(facts: &Facts) -> Vec<Finding> {
    let there = facts.swap_files.iter().filter(|swap| swap.is_there);
    there.map(|swap| swap_file_finding(swap, &facts.place_for_swap)).collect()
}

fn swap_file_finding(swap: &SwapFile, place: &str) -> Finding {
    let and = if swap.in_use { ", and is in use" } else { "" };
    Finding::new(
        &checks::SWAP_FILE,
        Severity::Warning,
        format!("the swap file {} lies in the root{and}", swap.path),
        "no blank can be made of the root while the kernel swaps to it; and as soon as blank has it, too, its \
         blocks are shared, and the kernel does not take it any more",
        hint_swap_file(swap, place),
    )
}
