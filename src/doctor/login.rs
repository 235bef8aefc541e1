//! Can anybody log in after the next boot, and with which password?

use std::collections::BTreeMap;
use std::ffi::OsString;

use dirfd::{Result, TreePath};

use crate::doctor::finding::{Finding, NEW_BLANK, Severity};
use crate::doctor::machine_facts::{Facts, People, Unchecked};
use crate::doctor::next_tree::Found;
use crate::doctor::shadow::{Password, Shadow};
use crate::doctor::{checks, login_sources};
use crate::persist::accounts::{Accounts, User};

/// Numbers of people's accounts (login.defs(5), systemd's UIDS-GIDS).
const PEOPLE: std::ops::Range<u32> = 1000..60_000;

/// How an account opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ways {
    password: bool,
    nothing: bool,
    key: bool,
}

impl Ways {
    fn any(self) -> bool {
        self.password || self.nothing || self.key
    }
}

pub(crate) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(after) = &facts.after else { return Vec::new() };
    let mut findings = Vec::new();
    let open: Vec<(&User, Ways)> = users_of(after)
        .iter()
        .filter_map(|user| Some((user, ways_to_log_in(after, user, facts.today).ok()?)))
        .filter(|(_, ways)| ways.any())
        .collect();
    if open.is_empty() {
        findings.push(nobody_can_log_in(facts, after));
    } else {
        findings.extend(check_lost_logins(facts, after));
        if open.iter().all(|(_, ways)| !ways.password && !ways.nothing) {
            findings.push(key_alone(&open));
        }
    }
    findings.extend(check_reverted_passwords(facts, after));
    findings
        .extend(open.iter().filter(|(_, ways)| ways.nothing).map(|(user, _)| empty_password(user)));
    if !after.elsewhere.is_empty() {
        findings.push(accounts_elsewhere(after));
    }
    findings
}

fn users_of(people: &People) -> &[User] {
    people.accounts.as_ref().map_or(&[], |accounts| accounts.users())
}

/// How an account opens; the error says why it does not, to follow its name.
fn ways_to_log_in(people: &People, user: &User, today: i64) -> Result<Ways, &'static str> {
    let shell = user.shell.rsplit(|&b| b == b'/').next().unwrap_or_default();
    if [&b"nologin"[..], b"false", b"sync", b"halt", b"shutdown"].contains(&shell) {
        return Err("has no login shell");
    }
    if people.nologin && user.uid != 0 {
        return Err("is kept out by etc/nologin");
    }
    let line = people.shadow.line(&user.name);
    if line.is_some_and(|line| line.is_closed(today)) {
        return Err("is expired");
    }
    let key = people.ssh && people.keys.contains_key(&user.name);
    let password = match (user.password.as_str(), line) {
        ("x", Some(line)) => Password::of(&line.password),
        ("x", None) => Password::Locked,
        (field, _) => Password::of(field.as_bytes()),
    };
    match password {
        Password::Locked if !key => match (line, user.password.as_str()) {
            (None, "x") => Err("has no password in etc/shadow"),
            _ => Err("is locked"),
        },
        _ => Ok(Ways {
            password: password == Password::Hash,
            nothing: password == Password::Empty,
            key,
        }),
    }
}

fn nobody_can_log_in(facts: &Facts, after: &People) -> Finding {
    let mut reasons: Vec<String> = users_of(after)
        .iter()
        .filter(|user| user.uid == 0 || PEOPLE.contains(&user.uid))
        .map(|user| {
            let why = ways_to_log_in(after, user, facts.today).err().unwrap_or("is locked");
            format!("{} {why}", escape_user_name(user))
        })
        .collect();
    if after.accounts.is_none() {
        reasons.push("there is no etc/passwd".to_string());
    }
    if reasons.is_empty() {
        reasons.push("there are no accounts of people".to_string());
    }
    let who = reasons.join(", ");
    let why = format!(
        "the next boot takes accounts and passwords from {}; what was set by hand since is gone, \
         and so is the way in",
        after.origin
    );
    if facts.nixos {
        return Finding::new(
            &checks::NO_LOGIN,
            Severity::Warning,
            format!("only the NixOS configuration can let anybody in after the next boot: {who}"),
            format!("{why}. NixOS writes declared passwords into etc/shadow at every boot"),
            "make sure that it declares `users.users.NAME.hashedPasswordFile` (a file in a \
             storage) or `hashedPassword` for somebody; a password set with `passwd` alone is lost",
        );
    }
    let severity = if after.elsewhere.is_empty() { Severity::Danger } else { Severity::Warning };
    Finding::new(
        &checks::NO_LOGIN,
        severity,
        format!("nobody can log in after the next boot: {who}"),
        why,
        format!(
            "see that somebody has a password now (`passwd NAME`), and {NEW_BLANK}; who is locked out \
             already boots with `blankroot=skip` on the kernel command line"
        ),
    )
}

/// Whoever can log in now and cannot any more.
fn check_lost_logins(facts: &Facts, after: &People) -> Vec<Finding> {
    let Some(now) = &facts.now else { return Vec::new() };
    let can_now = |user: &&User| ways_to_log_in(now, user, facts.today).is_ok();
    let mut findings = Vec::new();
    for user in users_of(now).iter().filter(can_now) {
        let later = users_of(after).iter().find(|later| later.name == user.name);
        let why = match later.map(|later| ways_to_log_in(after, later, facts.today)) {
            None => "has no account there",
            Some(Err(why)) => why,
            Some(Ok(_)) => continue,
        };
        let hint = match facts.nixos {
            true => {
                "declare the password in the NixOS configuration: \
                     `users.users.NAME.hashedPasswordFile`"
            }
            false => NEW_BLANK,
        };
        let severity = if facts.nixos { Severity::Note } else { Severity::Warning };
        let name = escape_user_name(user);
        findings.push(Finding::new(
            &checks::LOGIN_LOST,
            severity,
            format!("{name} can log in now, but not after the next boot: {name} {why}"),
            format!("the next boot takes accounts and passwords from {}", after.origin),
            hint,
        ));
    }
    findings
}

fn check_reverted_passwords(facts: &Facts, after: &People) -> Vec<Finding> {
    let Some(now) = &facts.now else { return Vec::new() };
    let hash = |people: &People, user: &User| {
        let line = people.shadow.line(&user.name)?;
        (Password::of(&line.password) == Password::Hash).then(|| line.password.clone())
    };
    let changed = users_of(now).iter().filter(|user| {
        let (now, after) = (hash(now, user), hash(after, user));
        now.is_some() && after.is_some() && now != after
    });
    let names: Vec<String> = changed.map(escape_user_name).collect();
    if names.is_empty() || facts.nixos {
        return Vec::new();
    }
    vec![Finding::new(
        &checks::PASSWORD_REVERTS,
        Severity::Warning,
        format!("the password of {} will be the older one again", names.join(", ")),
        format!("it was changed since, and the next boot takes passwords from {}", after.origin),
        NEW_BLANK,
    )]
}

fn empty_password(user: &User) -> Finding {
    let name = escape_user_name(user);
    Finding::new(
        &checks::EMPTY_PASSWORD,
        Severity::Warning,
        format!("{name} needs no password after the next boot"),
        "whoever sits at the machine gets in, and most programs that ask for a password let in, too",
        format!(
            "set one with `passwd {name}`, or lock it with `passwd -l {name}`; then {NEW_BLANK}"
        ),
    )
}

fn key_alone(open: &[(&User, Ways)]) -> Finding {
    let names: Vec<String> = open.iter().map(|(user, _)| escape_user_name(user)).collect();
    Finding::new(
        &checks::KEY_ALONE,
        Severity::Note,
        format!("after the next boot only SSH keys let anybody in ({})", names.join(", ")),
        "nobody can log in at the machine itself, for instance while the network is down",
        "nothing, if that is meant; else set a password for root and make a new blank",
    )
}

fn accounts_elsewhere(after: &People) -> Finding {
    let sources: Vec<&str> = after.elsewhere.iter().map(String::as_str).collect();
    Finding::new(
        &checks::ACCOUNTS_ELSEWHERE,
        Severity::Note,
        format!("accounts of {} were not looked at", sources.join(", ")),
        "only etc/passwd and etc/shadow were; these accounts may let more people in, and their own \
         state has to survive as well",
        "keep what the service needs (/var/lib/sss for sssd; /var/lib/systemd/home and /home for \
         systemd-homed)",
    )
}

fn escape_user_name(user: &User) -> String {
    dirfd::path::Escaped(user.name.as_bytes()).to_string()
}

// Who has an account in a tree, and which keys and other sources of accounts there are.

/// A tree to read from: files by path, each with its origin in words, and names of directories.
pub(crate) struct Reader<'a> {
    pub(crate) read: &'a dyn Fn(&TreePath) -> Result<Found>,
    pub(crate) names: &'a dyn Fn(&TreePath) -> Result<Vec<OsString>>,
    /// When that is, to follow what could not be checked: "now".
    pub(crate) when: &'static str,
}

/// Reads all that tells who can log in; without passwd or shadow being readable there is no answer.
pub(crate) fn gather(reader: &Reader<'_>, unchecked: &mut Vec<Unchecked>) -> Option<People> {
    let mut cannot = |what: &str, error: dirfd::Error| {
        unchecked.push(Unchecked::new(format!("{what} {}", reader.when), &error));
    };
    let mut file = |path: &str| match (reader.read)(&tree_path(path)) {
        Ok(found) => Some(found),
        Err(error) => {
            cannot("who can log in", error);
            None
        }
    };
    let (passwd, origin) = file("etc/passwd")?;
    let (shadow, shadow_origin) = file("etc/shadow")?;
    let (group, _) = file("etc/group")?;
    let (switch, _) = file("etc/nsswitch.conf")?;
    let (nologin, _) = file("etc/nologin")?;
    let ssh = ["etc/ssh/sshd_config", "usr/etc/ssh/sshd_config"]
        .iter()
        .any(|path| matches!((reader.read)(&tree_path(path)), Ok((Some(_), _))));
    let accounts =
        passwd.as_ref().map(|text| Accounts::parse(text, group.as_deref().unwrap_or_default()));
    let users = accounts.as_ref().map_or(&[][..], |accounts| accounts.users());
    let keys = gather_keys(reader, users, &mut cannot);
    let mut elsewhere = login_sources::of_nsswitch(&switch.unwrap_or_default());
    match (reader.names)(&tree_path("var/lib/systemd/home")) {
        Ok(names) if names.is_empty() => {}
        Ok(_) => {
            elsewhere.insert("systemd-homed".to_string());
        }
        Err(error) => cannot("the homes of systemd-homed", error),
    }
    let origin = match origin == shadow_origin {
        true => origin,
        false => format!("{origin} and {shadow_origin}"),
    };
    let shadow = Shadow::parse(&shadow.unwrap_or_default());
    Some(People { accounts, shadow, ssh, nologin: nologin.is_some(), keys, elsewhere, origin })
}

/// For each user a file with keys, at the places where sshd(8) looks unless told otherwise, and at
/// that of NixOS.
fn gather_keys(
    reader: &Reader<'_>,
    users: &[User],
    cannot: &mut impl FnMut(&str, dirfd::Error),
) -> BTreeMap<String, TreePath> {
    let mut keys = BTreeMap::new();
    for user in users {
        for place in authorized_keys_paths(user) {
            match (reader.read)(&place) {
                Ok((Some(text), _)) if login_sources::has_keys(&text) => {
                    keys.insert(user.name.clone(), place);
                    break;
                }
                Ok(_) => {}
                Err(error) => cannot("SSH keys", error),
            }
        }
    }
    keys
}

fn authorized_keys_paths(user: &User) -> Vec<TreePath> {
    // The home `/` of many services has no keys, and looking there costs a look for each of them.
    let own = [&b".ssh/authorized_keys"[..], b".ssh/authorized_keys2"]
        .into_iter()
        .filter(|_| !matches!(&user.home[..], b"" | b"/" | b"/nonexistent"))
        .map(|name| [&user.home, b"/".as_slice(), name].concat());
    let system = [b"etc/ssh/authorized_keys.d/", user.name.as_bytes()].concat();
    own.chain([system]).filter_map(|path| TreePath::parse(&path).ok()).collect()
}

fn tree_path(path: &str) -> TreePath {
    // Only the clean paths above come here.
    TreePath::parse(path.as_bytes()).unwrap_or_default()
}
