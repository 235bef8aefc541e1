//! The keep list by itself and against the accounts: entries in one another, users and groups that
//! are not there, homes, modes.

use std::collections::BTreeMap;

use backends::FileType;
use backends::path::Escaped;

use super::checks;
use super::facts::{Data, EntryFacts, Facts};
use super::finding::{Finding, NEW_BLANK, Severity};
use crate::accounts::Accounts;
use crate::config::{Account, EntryKind, Mode, Ownership};
use crate::keep::KeepEntry;
use crate::known;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = nested(facts);
    findings.extend(modes(facts));
    findings.extend(unsuitable(facts));
    let after = facts.after.as_ref().and_then(|people| people.accounts.as_ref());
    if let Some(accounts) = after {
        findings.extend(unknown_accounts(facts, accounts));
        findings.extend(homes(facts, accounts));
    }
    findings
}

/// What `keep` would refuse, or tell about, and stands in the configuration all the same.
fn unsuitable(facts: &Facts) -> Vec<Finding> {
    let finding = |facts_of: &EntryFacts| {
        let entry = &facts_of.entry;
        let early = entry.in_initrd.unwrap_or(facts_of.known.is_some_and(|known| known.early));
        let row = known::unsuitable(&entry.path, early)?;
        let severity = match row.severity {
            known::Severity::Refused => Severity::Warning,
            _ => Severity::Note,
        };
        let what = format!("{} is kept ({})", entry.path, facts.at(entry.place));
        let mend = format!("take the entry out; {}", row.mend);
        Some(Finding::new(&checks::UNSUITABLE, severity, what, row.why, mend))
    };
    facts.entries.iter().filter_map(finding).collect()
}

fn nested(facts: &Facts) -> Vec<Finding> {
    let entries: Vec<&KeepEntry> = facts.entries.iter().map(|facts| &facts.entry).collect();
    let mut findings = Vec::new();
    for inner in &entries {
        let around = entries.iter().filter(|outer| {
            outer.kind == EntryKind::Dir
                && outer.path != inner.path
                && inner.path.is_within(&outer.path)
        });
        // The nearest one is what the inner entry lies on.
        let outer = around.max_by_key(|outer| outer.path.as_bytes().len());
        // Services with dynamic users have their own below a closed directory (systemd.exec(5)).
        let outer = outer.filter(|outer| known::parent_mode(&outer.path) != Some(0o700));
        if let Some(outer) = outer {
            findings.push(one_in_another(facts, inner, outer));
        }
    }
    findings
}

fn one_in_another(facts: &Facts, inner: &KeepEntry, outer: &KeepEntry) -> Finding {
    let places = format!("({} and {})", facts.at(inner.place), facts.at(outer.place));
    let what = format!("{} is kept inside {}, which is kept, too {places}", inner.path, outer.path);
    let below = inner.path.as_bytes().strip_prefix(outer.path.as_bytes()).unwrap_or_default();
    let same_data = [outer.source().as_bytes(), below].concat() == inner.source().as_bytes();
    let permissions = inner.owner != Ownership::default() && inner.owner != outer.owner;
    if permissions {
        return Finding::new(
            &checks::NESTED,
            Severity::Warning,
            format!("{what}, with another owner or mode"),
            "both apply: who may not pass the outer directory does not reach the inner one, \
             whatever its own permissions allow",
            "check that the outer entry lets the inner one's users pass; or keep them side by side",
        );
    }
    let why = if same_data {
        "the outer entry keeps it already; one mount more, and nothing else"
    } else {
        "its data comes from another place in storage and hides what the outer entry has there"
    };
    let mend = format!("remove the entry in {}, unless it is meant", facts.at(inner.place));
    Finding::new(&checks::NESTED, Severity::Note, what, why, mend)
}

fn unknown_accounts(facts: &Facts, accounts: &Accounts) -> Vec<Finding> {
    // One finding for each name, whatever the number of entries that have it.
    let mut unknown: BTreeMap<(&str, String), String> = BTreeMap::new();
    for (name, (_, place)) in facts.homes() {
        if accounts.user(name).is_none() {
            unknown.entry(("user", name.to_string())).or_insert_with(|| facts.at(place));
        }
    }
    for entry in facts.entries.iter().map(|facts| &facts.entry) {
        for owner in [&entry.owner, &entry.parent] {
            let user = owner.user.as_ref().filter(|user| accounts.uid(user).is_err());
            let group = owner.group.as_ref().filter(|group| accounts.gid(group).is_err());
            for (kind, account) in [("user", user), ("group", group)] {
                if let Some(Account::Name(name)) = account {
                    let place = || facts.at(entry.place);
                    unknown.entry((kind, name.clone())).or_insert_with(place);
                }
            }
        }
    }
    unknown.into_iter().map(|((kind, name), place)| stranger(facts, kind, &name, &place)).collect()
}

fn stranger(facts: &Facts, kind: &str, name: &str, place: &str) -> Finding {
    let now = facts.now.as_ref().and_then(|people| people.accounts.as_ref());
    let is_now = now.is_some_and(|now| match kind {
        "user" => now.user(name).is_some(),
        _ => now.group(name).is_some(),
    });
    let add = match kind {
        "user" => "useradd",
        _ => "groupadd",
    };
    let name = Escaped(name.as_bytes());
    let (what, mend) = if is_now {
        (
            format!("the {kind} `{name}`, whom {place} names, is gone after the next boot"),
            format!("the {kind} is in live alone: {NEW_BLANK}"),
        )
    } else {
        (
            format!("there is no {kind} `{name}`, whom {place} names"),
            format!("correct the name, or write its number, or `{add} {name}` and {NEW_BLANK}"),
        )
    };
    // NixOS makes its accounts anew, so that blank's say little.
    let severity = if facts.nixos { Severity::Note } else { Severity::Danger };
    let why =
        "what it is to own cannot be given to anybody, so that the entry fails at the next boot";
    Finding::new(&checks::UNKNOWN_ACCOUNT, severity, what, why, mend)
}

fn homes(facts: &Facts, accounts: &Accounts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, (home, place)) in facts.homes() {
        let Some(user) = accounts.user(name) else { continue };
        let real = backends::TreePath::parse(&user.home);
        if real.as_ref() == Ok(home) {
            continue;
        }
        let (name, real) = (Escaped(name.as_bytes()), Escaped(&user.home));
        findings.push(Finding::new(
            &checks::HOME_DIFFERS,
            Severity::Warning,
            format!("the home of {name} is {real}, and {} keeps paths in {home}", facts.at(place)),
            format!(
                "{name}'s programs look for their files in {real}, and do not find what is kept"
            ),
            format!("write `home = \"{real}\"` below [storage.users.{name}]"),
        ));
    }
    findings
}

fn modes(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for EntryFacts { entry, data, .. } in &facts.entries {
        let place = facts.at(entry.place);
        let bits = |owner: &Ownership| owner.mode.map(Mode::bits);
        let mut judge = |mode: Option<u16>, kind, whose: String| {
            let wrong = mode.and_then(|mode| Some((mode, wrong_mode(mode, kind)?)));
            if let Some((mode, (severity, what, why, mend))) = wrong {
                let what = format!("the mode {mode:04o} of {whose} {what}");
                findings.push(Finding::new(&checks::BAD_MODE, severity, what, why, mend));
            }
        };
        judge(bits(&entry.owner), entry.kind, format!("{} ({place})", entry.path));
        let parents = format!("the parents of {} ({place})", entry.path);
        judge(bits(&entry.parent), EntryKind::Dir, parents);
        // What was declared is put right at each run; else what is there stays.
        if let (None, Data::Present(node)) = (entry.owner.mode, data) {
            let kind = match node.file_type {
                FileType::Dir | FileType::Subvolume => EntryKind::Dir,
                FileType::File => EntryKind::File,
                _ => continue,
            };
            judge(Some(node.mode), kind, entry.source().to_string());
        }
    }
    findings
}

type Wrong = (Severity, &'static str, &'static str, &'static str);

fn wrong_mode(bits: u16, kind: EntryKind) -> Option<Wrong> {
    if bits & 0o002 != 0 && (kind == EntryKind::File || bits & 0o1000 == 0) {
        return Some((
            Severity::Danger,
            "lets every user write",
            "any program on the machine can change or delete what is kept there",
            "take the `w` of others away, as in \"0755\"; a directory that is meant to be open to \
             all needs the sticky bit: \"1777\"",
        ));
    }
    if kind == EntryKind::Dir && bits & 0o100 == 0 {
        return Some((
            Severity::Danger,
            "does not let its owner in",
            "without the `x` nothing in a directory can be opened, not even by its owner",
            "add `x` for the owner, as in \"0700\"",
        ));
    }
    if bits & 0o4000 != 0 || (kind == EntryKind::File && bits & 0o2000 != 0) {
        return Some((
            Severity::Warning,
            "has setuid or setgid",
            "on a file, whoever runs it gets its owner's rights; on a directory setuid does nothing",
            "leave the first digit out, as in \"0755\", unless it is meant",
        ));
    }
    None
}
