//! What is in blank that should not be in every copy of it, and what the next rollback needs beside it: the
//! configuration, and room.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use backends::{Obstacle, View};
use dirfd::path::shell_path as shell;
use dirfd::stat::Place;
use dirfd::{Error, FileType, Result, TreePath};

use crate::boot::nested_trees;
use crate::catalogue::Catalogue;
use crate::catalogue::path_pattern::{PathPattern, PatternPart};
use crate::doctor::checks;
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::login_sources::is_private_key;
use crate::doctor::machine_facts::{BlankFacts, Facts, OwnConfig, Secret};
use crate::doctor::next_tree::{self, Look};
use crate::doctor::sources::tree_path;
use crate::doctor::storage_content::{is_public, read_head};
use crate::persist::known_state;
use crate::persist::list::Home;

pub(crate) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(blank) = &facts.blank {
        findings.extend(check_owner(blank));
        findings.extend(check_secrets(blank));
        findings.extend(check_identity(blank));
    }
    findings.extend(nested_trees(facts));
    findings.extend(check_immovable_flags(facts));
    findings.extend(own_config(facts));
    findings.extend(old_roots_stay(facts));
    findings.extend(no_reserve(facts));
    findings
}

fn check_owner(blank: &BlankFacts) -> Option<Finding> {
    let root = blank.root;
    if (root.uid, root.gid, root.mode) == (0, 0, 0o755) {
        return None;
    }
    let dangerous = root.uid != 0 || root.mode & 0o022 != 0 || root.mode & 0o555 != 0o555;
    Some(Finding::new(
        &checks::BLANK_OWNER,
        if dangerous { Severity::Danger } else { Severity::Warning },
        format!(
            "the top directory of blank belongs to {}:{} and has the mode {:04o}",
            root.uid, root.gid, root.mode
        ),
        "after the next boot it is `/`: it should be 0:0 and 0755, or services refuse to start, or \
         others than root may write there",
        in_blank(blank, "`chown 0:0` and `chmod 0755` its top directory there"),
    ))
}

/// A change to blank, with what has to be done before and after it.
fn in_blank(blank: &BlankFacts, change: &str) -> String {
    match &blank.to_change_it {
        Some([before, after]) => format!("{before}, {change}, {after}"),
        None => change.to_string(),
    }
}

/// All of them are one thing to mend.
fn check_secrets(blank: &BlankFacts) -> Option<Finding> {
    let list = |kept: bool| -> Vec<&Secret> {
        blank.secrets.iter().filter(|secret| secret.kept == kept).collect()
    };
    let told = |secrets: &[&Secret]| -> String {
        let one = |secret: &&Secret| format!("{} ({})", secret.path, secret.what);
        secrets.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let (open, older) = (list(false), list(true));
    if open.is_empty() {
        return (!older.is_empty()).then(|| {
            Finding::new(
                &checks::BLANK_SECRET,
                Severity::Note,
                format!("blank has an older copy of {}", told(&older)),
                "it is not used, since the path is kept; but whoever gets blank gets it",
                format!(
                    "nothing, while blank stays on this machine; else {}",
                    in_blank(blank, "delete it there")
                ),
            )
        });
    }
    let words: Vec<String> = open.iter().map(|secret| shell(&secret.path)).collect();
    let more = match older.as_slice() {
        [] => String::new(),
        older => format!("; and an older copy of {}, which is kept", told(older)),
    };
    Some(Finding::new(
        &checks::BLANK_SECRET,
        Severity::Warning,
        format!("blank holds {}{more}", told(&open)),
        "it is the same at every boot, on every machine that blank is copied to, and in every old \
         root; a newer one is lost",
        format!(
            "`blankroot keep {}`; then {}",
            words.join(" "),
            in_blank(blank, "delete it in blank")
        ),
    ))
}

fn check_identity(blank: &BlankFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if blank.machine_id {
        findings.push(Finding::new(
            &checks::BLANK_MACHINE_ID,
            Severity::Note,
            "blank holds /etc/machine-id",
            "every machine that blank is copied to has the same identity, which DHCP and the \
             journal go by",
            "nothing, while blank stays on this machine; else keep /etc/machine-id and empty it in \
             blank",
        ));
    }
    if let Some(path) = &blank.random_seed {
        findings.push(Finding::new(
            &checks::BLANK_SEED,
            Severity::Warning,
            format!("blank holds a random seed, {path}"),
            "every boot would start from the same seed, and so would each machine that blank is \
             copied to",
            format!(
                "`blankroot keep /var/lib/systemd`; then {}",
                in_blank(blank, "delete it in blank")
            ),
        ));
    }
    findings
}

fn nested_trees(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let hold = &facts.nested_that_hold;
    if !hold.is_empty() {
        findings.push(Finding::new(
            &checks::NESTED_TREES,
            Severity::Warning,
            format!("live holds subvolumes with something in them: {}", nested_trees::list_paths(hold)),
            "blank has nothing of what is in them: after the next boot they are empty, and `expire` \
             deletes them with the old root",
            nested_trees::HINT_NESTED,
        ));
    } else if !facts.nested.is_empty() {
        findings.push(Finding::new(
            &checks::NESTED_TREES,
            Severity::Note,
            format!(
                "live has {}, empty: {}",
                nested_trees::count_subvolumes(&facts.nested),
                nested_trees::list_paths(&facts.nested)
            ),
            "what is made in them is no part of blank, and goes with the old root",
            format!("nothing, while they are empty; else {}", nested_trees::HINT_NESTED),
        ));
    }
    if let Some(text) = facts.stubs.as_ref().and_then(nested_trees::note_on_stubs) {
        findings.push(Finding::new(
            &checks::STUBS_LEFT,
            Severity::Warning,
            text,
            "each that is replaced is a subvolume to be made at every boot, so that there is a bound",
            "delete the subvolumes that nobody needs in live, then make blank anew",
        ));
    }
    findings
}

fn check_immovable_flags(facts: &Facts) -> Vec<Finding> {
    let finding = |obstacle: &Obstacle| {
        Finding::new(
            &checks::IMMOVABLE,
            Severity::Danger,
            obstacle.reason.clone(),
            "the next rollback is refused, and every one after it",
            obstacle.hint.clone().unwrap_or_default(),
        )
    };
    facts.immovable.iter().map(finding).collect()
}

fn old_roots_stay(facts: &Facts) -> Option<Finding> {
    let told = match facts.old_roots_with_snapshots.as_slice() {
        [] => return None,
        [one] => format!("the old root {one} stays beyond the retention rules"),
        [first, .., last] => format!(
            "{} old roots, {first} to {last}, stay beyond the retention rules",
            facts.old_roots_with_snapshots.len()
        ),
    };
    Some(Finding::new(
        &checks::OLD_ROOTS_STAY,
        Severity::Warning,
        format!("{told}, because of snapshots that somebody made"),
        "`expire` keeps what somebody has a snapshot of, so that the pool fills with old roots",
        "leave the place of old roots out of what makes snapshots by itself, and delete these; or write \
         `snapshots = \"delete\"` into `retention` under [rollback]",
    ))
}

fn no_reserve(facts: &Facts) -> Option<Finding> {
    let how = facts.how_to_hold_room_back.as_ref()?;
    Some(Finding::new(
        &checks::NO_RESERVE,
        Severity::Note,
        "live may fill the whole pool, and nothing is held back",
        "in a pool without room no fresh copy is made: the root stays as it is until something is deleted",
        format!("{how}; or set a quota on live"),
    ))
}

fn own_config(facts: &Facts) -> Option<Finding> {
    let (severity, what) = match facts.own_config? {
        OwnConfig::Same => return None,
        OwnConfig::Other => (
            Severity::Warning,
            format!("the next boot finds another {} than the one in force now", facts.file),
        ),
        OwnConfig::Nothing => {
            (Severity::Danger, format!("{} will be gone after the next boot", facts.file))
        }
    };
    Some(Finding::new(
        &checks::CONFIG_LOST,
        severity,
        what,
        "what was decided since blank was made is forgotten, and what is kept by it is not kept",
        "`blankroot keep /etc/blankroot.toml`; the initrd has a copy of its own, to be built anew",
    ))
}

// What blank holds, at the places where secrets are known to be.

/// Names that are looked at in one directory.
const NAMES: usize = 1000;

/// Where private keys are that have no name of their own.
const KEYS: &[&str] = &["etc/ssl/private", "etc/pki/tls/private", "etc/letsencrypt/archive"];

/// Looks at the known places. `survives` tells what blank's own copy is not used for.
pub(crate) fn gather(
    blank: &View,
    to_change_it: Option<[String; 2]>,
    survives: impl Fn(&TreePath) -> bool,
) -> Result<BlankFacts> {
    let tree = blank.as_fd();
    let Look::Seen(root) = next_tree::look_up_in_tree(tree, &TreePath::root())? else {
        return Err(Error::new("look at blank", "its top directory is not there"));
    };
    let mut secrets = Vec::new();
    for (path, home) in known_places(tree)? {
        let Some(known) = known_state::find_known_path(&path, home.as_ref().map(|home| &home.path))
            .filter(|known| known.is_secret())
        else {
            continue;
        };
        // Hashes of passwords are what lets people in.
        if matches!(path.as_bytes(), b"etc/shadow" | b"etc/gshadow")
            || !holds_content(tree, &path, false)?
        {
            continue;
        }
        let kept = survives(&path);
        secrets.push(Secret { path, what: known.what.to_string(), kept });
    }
    for dir in KEYS {
        let path = TreePath::parse(dir.as_bytes()).unwrap_or_default();
        if holds_content(tree, &path, true)? {
            let kept = survives(&path);
            secrets.push(Secret { path, what: "private keys".to_string(), kept });
        }
    }
    let machine_id = match next_tree::look_up_in_tree(tree, &tree_path("etc/machine-id"))? {
        Look::Seen(seen) if seen.node.file_type == FileType::File => {
            is_machine_id(&next_tree::read_content(tree, &tree_path("etc/machine-id"))?)
        }
        _ => false,
    };
    let seeds = ["var/lib/systemd/random-seed", "var/lib/urandom/random-seed"];
    let mut random_seed = None;
    for seed in seeds.map(tree_path) {
        if !survives(&seed) && holds_content(tree, &seed, false)? {
            random_seed = Some(seed);
        }
    }
    Ok(BlankFacts {
        to_change_it,
        root: root.node,
        secrets,
        machine_id,
        random_seed,
        older_initrd: None,
    })
}

/// `uninitialized` and an empty file ask for a new one (machine-id(5)).
fn is_machine_id(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.len() == 32 && text.iter().all(u8::is_ascii_hexdigit)
}

/// Every place that a known pattern may mean in this tree, each with the home that it lies in.
fn known_places(tree: BorrowedFd<'_>) -> Result<Vec<(TreePath, Option<Home>)>> {
    let home = |user: &str, path: TreePath| Home {
        user: user.to_string(),
        data: path.clone(),
        path,
        uid: None,
        gid: None,
    };
    let mut homes = vec![home("root", tree_path("root"))];
    for name in list_names_of(tree, &tree_path("home"))? {
        homes.push(home("", tree_path("home").join(name.as_bytes())));
    }
    let mut places = Vec::new();
    for known in Catalogue::well_known().entries().iter().filter(|known| known.is_secret()) {
        for pattern in PathPattern::parse(&known.path).unwrap_or_default() {
            if !pattern.in_home {
                let found = expand_pattern(tree, TreePath::root(), &pattern)?;
                places.extend(found.into_iter().map(|path| (path, None)));
                continue;
            }
            for home in &homes {
                let found = expand_pattern(tree, home.path.clone(), &pattern)?;
                places.extend(found.into_iter().map(|path| (path, Some(home.clone()))));
            }
        }
    }
    Ok(places)
}

/// Every place that a pattern may mean below `start`; what they are is told by `known`. No secret's path has `**`,
/// which would mean the whole tree.
fn expand_pattern(
    tree: BorrowedFd<'_>,
    start: TreePath,
    pattern: &PathPattern,
) -> Result<Vec<TreePath>> {
    let mut places = vec![start];
    for part in &pattern.parts {
        let mut below = Vec::new();
        for place in places {
            match part {
                PatternPart::Name(name) => below.push(place.join(name)),
                PatternPart::Wildcards(meant) => {
                    let names = list_names_of(tree, &place)?;
                    let meant = names.iter().filter(|name| meant.matches(name.as_bytes()));
                    below.extend(meant.map(|name| place.join(name.as_bytes())));
                }
                PatternPart::AnyDepth => {}
            }
        }
        places = below;
    }
    Ok(places)
}

/// Whether there is content at `path`: in a file, or in one that is at most two directories deep.
/// With `keys`, only private keys count.
fn holds_content(tree: BorrowedFd<'_>, path: &TreePath, keys: bool) -> Result<bool> {
    match next_tree::look_up_in_tree(tree, path)? {
        Look::Seen(seen) if seen.node.file_type == FileType::Dir => {}
        Look::Seen(seen) => {
            return Ok(seen.node.file_type == FileType::File && seen.stat.facts.size > 0);
        }
        Look::Nothing | Look::Link { .. } => return Ok(false),
    }
    let failed = |e: io::Error| Error::io(format!("look into {path} in blank"), e);
    let mut dirs = vec![(path.clone(), 0)];
    while let Some((dir, depth)) = dirs.pop() {
        let opened = next_tree::open_dir(tree, &dir).map_err(failed)?;
        for name in next_tree::list_names(opened.as_fd(), NAMES).map_err(failed)? {
            let below = dir.join(name.as_bytes());
            let c_name = CString::new(name.as_bytes())
                .map_err(|e| Error::new(format!("look into {path} in blank"), e))?;
            let place = Place { dir: opened.as_fd(), name: &c_name };
            let facts = place.stat().map_err(failed)?.facts;
            match facts.file_type {
                FileType::Dir if depth < 2 => dirs.push((below, depth + 1)),
                FileType::File
                    if facts.size > 0
                        && !is_public(name.as_bytes())
                        && (!keys || is_private_key(&read_head(place).map_err(failed)?)) =>
                {
                    return Ok(true);
                }
                _ => {}
            }
        }
    }
    Ok(false)
}

fn list_names_of(tree: BorrowedFd<'_>, path: &TreePath) -> Result<Vec<std::ffi::OsString>> {
    match next_tree::look_up_in_tree(tree, path)? {
        Look::Seen(seen) if seen.node.file_type == FileType::Dir => {
            let dir = next_tree::open_dir(tree, path);
            let names = dir.and_then(|dir| next_tree::list_names(dir.as_fd(), NAMES));
            names.map_err(|e| Error::io(format!("list {path} in blank"), e))
        }
        _ => Ok(Vec::new()),
    }
}
