//! The keep list by itself and against the accounts: entries in one another, users and groups that
//! are not there, homes, modes.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use dirfd::mountinfo::{self, Mount, UsersOwn};
use dirfd::path::Escaped;
use dirfd::{Error, FileType, Result, TreePath};

use crate::config::entry::EntryKind;
use crate::config::ownership::{Account, Mode, Ownership};
use crate::doctor::checks;
use crate::doctor::finding::{Finding, NEW_BLANK, Severity};
use crate::doctor::machine_facts::{Data, EntryFacts, Facts, Lies};
use crate::persist::accounts::Accounts;
use crate::persist::list::KeepEntry;
use crate::persist::{known_state, unsuitable};

pub(crate) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = check_nested(facts);
    findings.extend(check_modes(facts));
    findings.extend(unsuitable(facts));
    let after = facts.after.as_ref().and_then(|people| people.accounts.as_ref());
    if let Some(accounts) = after {
        findings.extend(unknown_accounts(facts, accounts));
        findings.extend(check_homes(facts, accounts));
    }
    findings
}

/// What `keep` would refuse, or tell about, and stands in the configuration all the same.
fn unsuitable(facts: &Facts) -> Vec<Finding> {
    let finding = |facts_of: &EntryFacts| {
        let entry = &facts_of.entry;
        let early = entry.is_set_up_in_initrd();
        let row = unsuitable::find_unsuitable(&entry.path, early)?;
        let severity = match row.severity {
            unsuitable::UnsuitableSeverity::Refused => Severity::Warning,
            _ => Severity::Note,
        };
        let what = format!("{} is kept ({})", entry.path, facts.at(entry.place));
        let hint = format!("take the entry out; {}", row.hint);
        Some(Finding::new(&checks::UNSUITABLE, severity, what, row.why, hint))
    };
    facts.entries.iter().filter_map(finding).collect()
}

fn check_nested(facts: &Facts) -> Vec<Finding> {
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
        let outer = outer.filter(|outer| known_state::parent_mode(&outer.path) != Some(0o700));
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
    let hint = format!("remove the entry in {}, unless it is meant", facts.at(inner.place));
    Finding::new(&checks::NESTED, Severity::Note, what, why, hint)
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
    unknown
        .into_iter()
        .map(|((kind, name), place)| unknown_account(facts, kind, &name, &place))
        .collect()
}

fn unknown_account(facts: &Facts, kind: &str, name: &str, place: &str) -> Finding {
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
    let (what, hint) = if is_now {
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
    Finding::new(&checks::UNKNOWN_ACCOUNT, severity, what, why, hint)
}

fn check_homes(facts: &Facts, accounts: &Accounts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, (home, place)) in facts.homes() {
        let Some(user) = accounts.user(name) else { continue };
        let real = dirfd::TreePath::parse(&user.home);
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

fn check_modes(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for EntryFacts { entry, data, .. } in &facts.entries {
        let place = facts.at(entry.place);
        let bits = |owner: &Ownership| owner.mode.map(Mode::bits);
        let mut judge = |mode: Option<u16>, kind, whose: String| {
            let wrong = mode.and_then(|mode| Some((mode, wrong_mode(mode, kind)?)));
            if let Some((mode, (severity, what, why, hint))) = wrong {
                let what = format!("the mode {mode:04o} of {whose} {what}");
                findings.push(Finding::new(&checks::BAD_MODE, severity, what, why, hint));
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

// What is mounted below the root that is looked at, and what of it a rollback replaces.

/// The mounts as seen from the root.
pub(crate) struct Mounts {
    /// Where the root is, without a slash at its end.
    prefix: Vec<u8>,
    /// The file system that holds the root, and the root's place in it.
    device: (u32, u32),
    place: Vec<u8>,
    all: Vec<Mount>,
    users_own: Mutex<UsersOwn>,
}

impl Mounts {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let at = mountinfo::at(root)?;
        let whole =
            std::fs::canonicalize(root).map_err(|e| Error::io("find the root's own path", e))?;
        let bytes = whole.as_os_str().as_bytes();
        let prefix = bytes.strip_suffix(b"/").unwrap_or(bytes).to_vec();
        let (all, users_own) = (mountinfo::read_mounts()?, Mutex::new(UsersOwn::read()?));
        Ok(Self { prefix, device: at.mount.dev, place: at.path, all, users_own })
    }

    /// Where the file at `path` lies, by the mounts alone.
    pub(crate) fn lies(&self, path: &TreePath) -> Lies {
        let whole = self.whole(path);
        let Some(mount) = self.on_top(&whole) else { return Lies::Unknown };
        let place = mount.in_file_system(&whole).unwrap_or_default();
        if mount.dev == self.device && is_within(&place, &self.place) {
            Lies::InLive
        } else if mount.is_in_memory() {
            Lies::InMemory
        } else {
            Lies::Safe
        }
    }

    /// The mount that shows `path`, and its mount point as seen from the root; `None` if that is not
    /// below the root.
    pub(crate) fn showing(&self, path: &TreePath) -> Option<(TreePath, &Mount)> {
        let mount = self.on_top(&self.whole(path))?;
        Some((self.below_root(&mount.mount_point)?, mount))
    }

    /// An error where a user's own process (FUSE) may be asked on the way to `path`, and never answer.
    pub(crate) fn refuse_users_own(&self, path: &TreePath) -> Result<()> {
        let mut users_own = self.users_own.lock().unwrap_or_else(PoisonError::into_inner);
        match users_own.on_the_way(&self.whole(path))? {
            Some(why) => Err(Error::new(format!("look at {path}"), why)),
            None => Ok(()),
        }
    }

    fn whole(&self, path: &TreePath) -> Vec<u8> {
        [&self.prefix, b"/".as_slice(), path.as_bytes()].concat()
    }

    /// Of several mounts at one place the last is on top.
    fn on_top(&self, whole: &[u8]) -> Option<&Mount> {
        let shown = |mount: &&Mount| mount.in_file_system(whole).is_some();
        self.all.iter().filter(shown).max_by_key(|mount| mount.mount_point.len())
    }

    fn below_root(&self, point: &[u8]) -> Option<TreePath> {
        let point = point.strip_suffix(b"/").unwrap_or(point);
        let below = point.strip_prefix(self.prefix.as_slice())?;
        let is_below = matches!(below, [] | [b'/', ..]);
        is_below.then(|| TreePath::parse(below).ok()).flatten()
    }

    /// The type of what is mounted at `path` itself, on top.
    pub(crate) fn type_at(&self, path: &TreePath) -> Option<&[u8]> {
        let whole = self.whole(path);
        let there = self.all.iter().rev().find(|mount| mount.mount_point == whole);
        there.map(|mount| mount.fs_type.as_slice())
    }

    /// The mounts in memory at or below the root, and where each is, seen from there.
    pub(crate) fn in_memory(&self) -> impl Iterator<Item = (TreePath, &Mount)> {
        let in_memory = self.all.iter().filter(|mount| mount.is_in_memory());
        in_memory.filter_map(|mount| Some((self.below_root(&mount.mount_point)?, mount)))
    }
}

fn is_within(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dirfd::mountinfo;

    fn mounts(root: (&str, &str), table: &str) -> Mounts {
        let all = mountinfo::parse_mountinfo(table.as_bytes()).unwrap();
        let (prefix, place) = (root.0.as_bytes().to_vec(), root.1.as_bytes().to_vec());
        let users_own = Mutex::new(UsersOwn::read().unwrap());
        Mounts { prefix, device: (0, 1), place, all, users_own }
    }

    #[test]
    fn only_what_is_mounted_from_beside_the_root_is_safe() {
        let table = "\
            1 0 0:1 /root /mnt rw - btrfs x rw\n\
            2 1 0:1 /persist /mnt/persist rw - btrfs x rw\n\
            3 1 0:1 /root/nested /mnt/nested rw - btrfs x rw\n\
            4 1 0:1 /root/var/p /mnt/bound rw - btrfs x rw\n\
            5 1 0:2 / /mnt/tmp rw - tmpfs x rw\n\
            6 1 0:3 / /mnt/home rw - ext4 x rw\n\
            7 1 0:1 /root2 /mnt/beside rw - btrfs x rw\n";
        let mounts = mounts(("/mnt", "root"), table);
        for (path, lies) in [
            ("/etc/passwd", Lies::InLive),
            ("/persist/x", Lies::Safe),
            ("/persistent", Lies::InLive),
            ("/nested", Lies::InLive),
            ("/bound/x", Lies::InLive),
            ("/tmp", Lies::InMemory),
            ("/home/alice", Lies::Safe),
            ("/beside", Lies::Safe),
        ] {
            assert_eq!(mounts.lies(&TreePath::parse(path.as_bytes()).unwrap()), lies, "{path}");
        }
        let memory: Vec<String> = mounts.in_memory().map(|(path, _)| path.to_string()).collect();
        assert_eq!(memory, ["/tmp"]);
    }

    #[test]
    fn a_root_in_memory_is_wiped_and_what_is_mounted_over_a_place_counts() {
        let table = "\
            1 0 0:1 / / rw - tmpfs x rw\n\
            2 1 0:4 / /persist rw - ext4 x rw\n\
            3 2 0:5 / /persist rw - tmpfs x rw\n";
        let mounts = mounts(("", ""), table);
        assert_eq!(mounts.lies(&TreePath::root()), Lies::InLive);
        assert_eq!(mounts.lies(&TreePath::parse(b"/persist").unwrap()), Lies::InMemory);
    }
}
