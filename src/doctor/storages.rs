//! Storages: do they survive, who may write there, whose are the files, and are secrets open?

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use dirfd::path::{Escaped, shell_path as shell};
use dirfd::{Error, FileType, Result, TreePath};

use crate::boot::mounts_at_boot;
use crate::config::ownership::Account;
use crate::config::storage::Storage;
use crate::doctor::checks;
use crate::doctor::entries::Mounts;
use crate::doctor::finding::{Finding, NEW_BLANK, Severity};
use crate::doctor::machine_facts::{
    ByHand, Content, Data, Facts, Lies, Missing, Node, StorageFacts,
};
use crate::doctor::next_tree::{self, Look, Tomorrow};
use crate::doctor::sources::{Sources, Trees, push_unchecked};
use crate::doctor::storage_content::Survey;
use crate::persist::accounts::{Accounts, User};
use crate::persist::list::KeepEntry;
use crate::ui::figures;

/// Above these are numbers that services, containers and homed give out by themselves (systemd's
/// UIDS-GIDS).
const GIVEN_OUT: u32 = 60_000;

pub(crate) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        facts.storages.iter().flat_map(|storage| check_storage(facts, storage)).collect();
    findings.extend(check_owner_drift(facts));
    if facts.nixos && facts.nixos_ids_survive == Some(false) {
        findings.push(Finding::new(
            &checks::NIXOS_IDS,
            Severity::Warning,
            "/var/lib/nixos is not kept",
            "NixOS remembers there which number it gave to which user; without it a service may \
             get another number at the next boot, and its kept files belong to somebody else",
            "`blankroot keep /var/lib/nixos`, or declare `uid` and `gid` for every user and group",
        ));
    }
    findings
}

fn check_storage(facts: &Facts, storage: &StorageFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(check_survival(facts, storage));
    findings
        .extend(storage.by_hand.as_ref().map(|by_hand| mounted_by_hand(facts, storage, by_hand)));
    findings.extend(check_open_directory(storage));
    findings.extend(check_secrets(storage));
    findings.extend(check_owners(facts, storage));
    findings.extend(storage.content.unlisted.iter().map(unlisted_attributes));
    if storage.content.cut {
        let seen = figures::format_count(storage.content.seen as u64);
        findings.push(Finding::new(
            &checks::STORAGE_LARGE,
            Severity::Note,
            format!("only {seen} names in {} were looked at, those at the top first", storage.path),
            "there are more, and an open secret or an unknown owner among them is not told",
            "nothing has to be done",
        ));
    }
    findings
}

fn check_survival(facts: &Facts, storage: &StorageFacts) -> Option<Finding> {
    let (path, place) = (&storage.path, facts.at(storage.place));
    let hint = format!(
        "if /etc/fstab has a line for it, `mount {}`; else put it on a file system or subvolume of \
         its own that is mounted there at boot, and move the data there",
        shell(path)
    );
    match storage.lies {
        Lies::Missing => Some(Finding::new(
            &checks::STORAGE_MISSING,
            Severity::Danger,
            format!("the storage {path} is not there ({place})"),
            "nothing that it should hold is kept, and what programs write goes to the root that \
             the next boot replaces",
            format!("mount it (`mount {path}`, and a line in /etc/fstab), or correct its `path`"),
        )),
        Lies::NotMade => Some(Finding::new(
            &checks::STORAGE_MISSING,
            Severity::Danger,
            format!("the storage {path} is not there ({place}), although what holds it is mounted"),
            "nothing that it should hold is kept, and what programs write goes to the root that \
             the next boot replaces",
            format!("make it (`mkdir -m 0755 {}`), or correct its `path`", shell(path)),
        )),
        Lies::InLive => Some(Finding::new(
            &checks::STORAGE_WIPED,
            Severity::Danger,
            format!("the storage {path} lies on the very root that each boot replaces ({place})"),
            "everything in it is set aside with the old root at the next boot",
            hint,
        )),
        Lies::InMemory => Some(Finding::new(
            &checks::STORAGE_WIPED,
            Severity::Danger,
            format!("the storage {path} lies in memory ({place})"),
            "everything in it is gone when the machine is switched off",
            hint,
        )),
        Lies::Safe | Lies::Unknown => None,
    }
}

fn mounted_by_hand(facts: &Facts, storage: &StorageFacts, by_hand: &ByHand) -> Finding {
    let ByHand { point, line, missing } = by_hand;
    let which = match storage.path == *point {
        true => format!("the storage {point}"),
        false => format!("{point}, which holds the storage {}", storage.path),
    };
    let advice = match facts.nixos {
        true => format!("declare it in `fileSystems.\"{point}\"`, and rebuild"),
        false => mounts_at_boot::advise_fstab_line(line.as_deref()),
    };
    Finding::new(
        &checks::STORAGE_BY_HAND,
        Severity::Warning,
        format!("nothing mounts {which} at the next boot"),
        "neither /etc/fstab nor a unit does it then, so that no kept path of it comes to its place",
        match missing {
            Missing::InBlank => {
                format!("live's /etc/fstab, or a unit, does it, and blank's does not: {NEW_BLANK}")
            }
            Missing::InLive => advice,
            Missing::Everywhere => format!("{advice}, and {NEW_BLANK}"),
        },
    )
}

fn check_open_directory(storage: &StorageFacts) -> Option<Finding> {
    let root = storage.root?;
    let writable = root.mode & 0o022 != 0;
    if root.uid == 0 && !writable {
        return None;
    }
    let path = &storage.path;
    let who = if root.uid == 0 {
        format!("has the mode {:04o}, so that others than root may write there", root.mode)
    } else {
        format!("belongs to the user number {}", root.uid)
    };
    Some(Finding::new(
        &checks::STORAGE_OPEN,
        Severity::Danger,
        format!("the storage {path} {who}"),
        "whoever may write there can put files of their own in the place of the system's kept ones",
        format!("`chown root:root {path}` and `chmod 0755 {path}`"),
    ))
}

fn check_secrets(storage: &StorageFacts) -> Vec<Finding> {
    let finding = |(path, what): &(TreePath, String)| {
        Finding::new(
            &checks::SECRET_READABLE,
            Severity::Danger,
            format!("every user can read {path} ({what})"),
            "any program on the machine can copy it",
            format!(
                "`chmod go= {}`; if it may have been read already, make a new one",
                shell(path)
            ),
        )
    };
    storage.content.open_secrets.iter().map(finding).collect()
}

fn unlisted_attributes(path: &TreePath) -> Finding {
    Finding::new(
        &checks::ATTRIBUTES_UNLISTED,
        Severity::Warning,
        format!("{path} has more extended attributes than can be listed"),
        "it always counts as different from a copy of it, and a copy has its access control lists alone",
        "ask its owner to remove those that nobody needs (`setfattr -x NAME`)",
    )
}

fn check_owners(facts: &Facts, storage: &StorageFacts) -> Vec<Finding> {
    let accounts = facts.after.as_ref().and_then(|people| people.accounts.as_ref());
    // NixOS makes its accounts anew, so that blank's say nothing.
    let Some(accounts) = accounts.filter(|_| !facts.nixos) else { return Vec::new() };
    let known_user = |id: u32| accounts.users().iter().any(|user| user.uid == id);
    let known_group = |id: u32| accounts.has_gid(id);
    let mut findings = unknown_owner(&storage.content.users, "user", known_user);
    findings.extend(unknown_owner(&storage.content.groups, "group", known_group));
    findings
}

fn unknown_owner(
    owners: &BTreeMap<u32, (usize, TreePath)>,
    kind: &str,
    known: impl Fn(u32) -> bool,
) -> Vec<Finding> {
    let strangers = owners.iter().filter(|&(&id, _)| id < GIVEN_OUT && !known(id));
    let finding = |(id, (count, path)): (&u32, &(usize, TreePath))| {
        let count = figures::count_noun(*count as u64, "file", "files");
        Finding::new(
            &checks::OWNER_UNKNOWN,
            Severity::Warning,
            format!("after the next boot no {kind} has the number {id}: {count}, such as {path}"),
            format!(
                "the next {kind} that is made may get that number, and these files with it; who \
                 owned them cannot open them"
            ),
            format!("if live has that {kind}, {NEW_BLANK}; or give the files away with `chown`"),
        )
    };
    strangers.map(finding).collect()
}

/// Entries whose data belongs to another number than their user or group has.
fn check_owner_drift(facts: &Facts) -> Vec<Finding> {
    let accounts = facts.after.as_ref().and_then(|people| people.accounts.as_ref());
    let Some(accounts) = accounts.filter(|_| !facts.nixos) else { return Vec::new() };
    let mut findings = check_renumbered_users(facts, accounts);
    for facts in &facts.entries {
        let Data::Present(node) = facts.data else { continue };
        let entry = &facts.entry;
        let home = entry.home.as_ref().map(|home| Account::Name(home.user.clone()));
        let user = entry.owner.user.clone().or_else(|| home.clone());
        let user = user.and_then(|user| Some((account_name(&user), accounts.uid(&user).ok()?)));
        let group = entry.owner.group.as_ref();
        let group = group.and_then(|group| Some((account_name(group), accounts.gid(group).ok()?)));
        let source = entry.source();
        for (kind, expected, found) in [("user", user, node.uid), ("group", group, node.gid)] {
            let Some((name, id)) = expected.filter(|&(_, id)| id != found) else { continue };
            findings.push(drifted_owner(kind, (&name, id), found, &source));
        }
    }
    findings
}

/// Users whose number the next boot changes.
fn check_renumbered_users(facts: &Facts, after: &Accounts) -> Vec<Finding> {
    let now = facts.now.as_ref().and_then(|people| people.accounts.as_ref());
    let users = now.map_or(&[][..], |now| now.users()).iter();
    let finding = |user: &User| {
        let later = after.user(&user.name).filter(|later| later.uid != user.uid)?;
        let name = Escaped(user.name.as_bytes());
        Some(Finding::new(
            &checks::OWNER_DRIFT,
            Severity::Warning,
            format!(
                "{name} has the number {} now, and {} after the next boot",
                user.uid, later.uid
            ),
            "what is kept belongs to the number, and not to the name",
            NEW_BLANK,
        ))
    };
    users.filter_map(finding).collect()
}

fn drifted_owner(kind: &str, (name, id): (&str, u32), found: u32, at: &TreePath) -> Finding {
    let option = if kind == "user" { "chown" } else { "chgrp" };
    Finding::new(
        &checks::OWNER_DRIFT,
        Severity::Warning,
        format!("{at} belongs to the {kind} number {found}, and {name} has the number {id}"),
        format!("{name} cannot use what is kept there; the number may belong to another {kind}"),
        format!("`{option} -R --from={} {name} {}`", chown_from(kind, found), shell(at)),
    )
}

/// What `chown --from` takes.
fn chown_from(kind: &str, found: u32) -> String {
    if kind == "user" { found.to_string() } else { format!(":{found}") }
}

fn account_name(account: &Account) -> String {
    match account {
        Account::Name(name) => Escaped(name.as_bytes()).to_string(),
        Account::Id(id) => id.to_string(),
    }
}

// Looks at each storage: what it lies on, its directory, and what is in it.

/// How many names of one storage are looked at.
const NAMES: usize = 200_000;

pub(crate) fn gather(
    sources: &Sources<'_>,
    trees: &Trees,
    mounts: &Mounts,
    entries: &[KeepEntry],
    facts: &mut Facts,
) {
    for storage in sources.config.storages.iter().filter(|storage| storage.enable) {
        let found = gather_storage(sources, trees, mounts, storage);
        let (lies, root) = found.unwrap_or_else(|error| {
            let what = format!("the storage {}", storage.path);
            push_unchecked(&mut facts.unchecked, &what, &error);
            (Lies::Unknown, None)
        });
        let survey = Survey {
            root: sources.root.as_fd(),
            mounts,
            storage: &storage.path,
            entries: entries.iter().filter(|entry| entry.storage == storage.path).collect(),
            limit: NAMES,
        };
        let content = match root {
            Some(_) => survey.run(&mut facts.unchecked),
            None => Content::default(),
        };
        let (path, place, by_hand) = (storage.path.clone(), storage.place, None);
        facts.storages.push(StorageFacts { path, place, lies, root, by_hand, content });
    }
}

/// Tells which storages the next boot does not mount.
pub(crate) fn find_mounted_by_hand(
    sources: &Sources<'_>,
    tomorrow: &Tomorrow<'_>,
    facts: &mut Facts,
) {
    let now = sources.root.as_fd();
    // An fstab is read before anything is in its place, so that blank's own counts. With an empty blank, and
    // on NixOS, each boot makes one: it will be what it is now.
    let makes_its_own = sources.root.has("etc/NIXOS").unwrap_or(false);
    let blanks = tomorrow.blank.map(AsFd::as_fd).filter(|_| !makes_its_own);
    let next = blanks.filter(|blank| mounts_at_boot::has_name(*blank, "etc").unwrap_or(true));
    for storage in facts.storages.iter_mut().filter(|storage| storage.lies == Lies::Safe) {
        let Some((point, mount)) = tomorrow.mounts.showing(&storage.path) else { continue };
        match mounts_at_boot::mounts_at_boot(&point, mount, next.unwrap_or(now), sources.host) {
            Ok(true) => {}
            Ok(false) => {
                let in_live = mounts_at_boot::mounts_at_boot(&point, mount, now, sources.host);
                let missing = match (next.is_some(), in_live) {
                    (true, Ok(true)) => Missing::InBlank,
                    (true, _) => Missing::Everywhere,
                    (false, _) => Missing::InLive,
                };
                let line = mounts_at_boot::fstab_line_of(&point, mount);
                storage.by_hand = Some(ByHand { point, line, missing });
            }
            Err(error) => {
                let what = format!("whether the next boot mounts {point}");
                push_unchecked(&mut facts.unchecked, &what, &error);
            }
        }
    }
}

fn gather_storage(
    sources: &Sources<'_>,
    trees: &Trees,
    mounts: &Mounts,
    storage: &Storage,
) -> Result<(Lies, Option<Node>)> {
    let action = || format!("look at {}", storage.path);
    mounts.refuse_users_own(&storage.path)?;
    let seen = match next_tree::look_up_in_tree(sources.root.as_fd(), &storage.path)? {
        Look::Nothing if mounts.lies(&storage.path) == Lies::Safe => {
            return Ok((Lies::NotMade, None));
        }
        Look::Nothing => return Ok((Lies::Missing, None)),
        Look::Link { .. } => {
            return Err(Error::new(action(), "it, or a directory on the way to it, is a link")
                .hint("write its real path into the configuration"));
        }
        Look::Seen(seen) if seen.node.file_type == FileType::Dir => seen,
        Look::Seen(seen) => {
            let why = format!("it is no directory, but a {}", seen.node.file_type);
            return Err(Error::new(action(), why));
        }
    };
    let dir = next_tree::open_beneath(sources.root.as_fd(), &storage.path)
        .map_err(|e| Error::io(action(), e))?;
    let id = sources.backend.as_ref().ok().map(|b| b.identify(dir.as_fd())).transpose()?;
    let is_live = trees.live.as_ref().is_some_and(|live| id.flatten().as_ref() == Some(&live.id));
    let lies = if is_live { Lies::InLive } else { mounts.lies(&storage.path) };
    Ok((lies, Some(seen.node)))
}
