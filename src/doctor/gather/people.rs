//! Who has an account in a tree, and which keys and other sources of accounts there are.

use std::collections::BTreeMap;
use std::ffi::OsString;

use backends::{Result, TreePath};

use super::tomorrow::Found;
use crate::accounts::{Accounts, User};
use crate::doctor::facts::{People, Unchecked};
use crate::doctor::shadow::Shadow;
use crate::doctor::sources;

/// A tree to read from: files by path, each with its origin in words, and names of directories.
pub(super) struct Reader<'a> {
    pub read: &'a dyn Fn(&TreePath) -> Result<Found>,
    pub names: &'a dyn Fn(&TreePath) -> Result<Vec<OsString>>,
    /// When that is, to follow what could not be checked: "now".
    pub when: &'static str,
}

/// Reads all that tells who can log in; without passwd or shadow being readable there is no answer.
pub(super) fn gather(reader: &Reader<'_>, unchecked: &mut Vec<Unchecked>) -> Option<People> {
    let mut cannot = |what: &str, error: backends::Error| {
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
    let keys = keys(reader, users, &mut cannot);
    let mut elsewhere = sources::of_nsswitch(&switch.unwrap_or_default());
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
fn keys(
    reader: &Reader<'_>,
    users: &[User],
    cannot: &mut impl FnMut(&str, backends::Error),
) -> BTreeMap<String, TreePath> {
    let mut keys = BTreeMap::new();
    for user in users {
        for place in places(user) {
            match (reader.read)(&place) {
                Ok((Some(text), _)) if sources::has_keys(&text) => {
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

fn places(user: &User) -> Vec<TreePath> {
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
