//! The users and groups of a tree: its own `etc/passwd` and `etc/group`, read without NSS, which
//! would ask the running machine, and which a static binary cannot call.

use std::collections::HashMap;

use dirfd::path::Escaped;
use dirfd::{Error, Result};

use crate::config::ownership::Account;
use crate::host::{HostRoot, is_not_found};

/// One line of passwd(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// The login name.
    pub(crate) name: String,
    /// What stands in the password's field; `x` where it is in shadow(5).
    pub(crate) password: String,
    /// The user's number.
    pub(crate) uid: u32,
    /// The number of the primary group.
    pub(crate) gid: u32,
    /// The home directory, as it stands there.
    pub(crate) home: Vec<u8>,
    /// The login shell.
    pub(crate) shell: Vec<u8>,
}

/// The accounts that a tree knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    users: Vec<User>,
    groups: HashMap<String, u32>,
}

impl Accounts {
    /// Reads those of a tree. A tree without the files has no accounts.
    pub(crate) fn read(root: &HostRoot) -> Result<Self> {
        Ok(Self::parse(&read_or_empty(root, "etc/passwd")?, &read_or_empty(root, "etc/group")?))
    }

    /// Takes the lines that are well formed, as the C library does. Of two lines with one name the
    /// first counts.
    pub(crate) fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let mut accounts = Self::default();
        for line in passwd.split(|&b| b == b'\n') {
            if let Some(user) =
                parse_user_line(line).filter(|user| accounts.user(&user.name).is_none())
            {
                accounts.users.push(user);
            }
        }
        for (name, gid) in group.split(|&b| b == b'\n').filter_map(parse_group_line) {
            accounts.groups.entry(name).or_insert(gid);
        }
        accounts
    }

    /// All users, in the order of the file.
    pub(crate) fn users(&self) -> &[User] {
        &self.users
    }

    /// The user of this name.
    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The number of the group of this name.
    pub(crate) fn group(&self, name: &str) -> Option<u32> {
        self.groups.get(name).copied()
    }

    /// Whether some group has this number.
    pub(crate) fn has_gid(&self, gid: u32) -> bool {
        self.groups.values().any(|&known| known == gid)
    }

    /// The number of a declared user; the error completes "cannot …: ".
    pub(crate) fn uid(&self, account: &Account) -> Result<u32, String> {
        match account {
            Account::Id(id) => Ok(*id),
            Account::Name(name) => {
                self.user(name).map(|user| user.uid).ok_or_else(|| unknown_account("user", name))
            }
        }
    }

    /// The number of a declared group; the error completes "cannot …: ".
    pub(crate) fn gid(&self, account: &Account) -> Result<u32, String> {
        match account {
            Account::Id(id) => Ok(*id),
            Account::Name(name) => self.group(name).ok_or_else(|| unknown_account("group", name)),
        }
    }
}

fn unknown_account(kind: &str, name: &str) -> String {
    format!(
        "there is no {kind} `{}` in etc/{}",
        Escaped(name.as_bytes()),
        match kind {
            "user" => "passwd",
            _ => "group",
        }
    )
}

fn read_or_empty(root: &HostRoot, path: &str) -> Result<Vec<u8>> {
    match root.read(path) {
        Ok(text) => Ok(text),
        Err(error) if is_not_found(&error) => Ok(Vec::new()),
        Err(error) => Err(Error::io(format!("read /{path}"), error)),
    }
}

fn parse_user_line(line: &[u8]) -> Option<User> {
    let fields: Vec<&[u8]> = line.split(|&b| b == b':').collect();
    let [name, password, uid, gid, _comment, home, shell] = fields[..] else { return None };
    Some(User {
        name: account_name(name)?,
        password: String::from_utf8_lossy(password).into_owned(),
        uid: parse_id(uid)?,
        gid: parse_id(gid)?,
        home: home.to_vec(),
        shell: shell.to_vec(),
    })
}

fn parse_group_line(line: &[u8]) -> Option<(String, u32)> {
    let mut fields = line.split(|&b| b == b':');
    let (name, _password, gid) = (fields.next()?, fields.next()?, fields.next()?);
    Some((account_name(name)?, parse_id(gid)?))
}

/// Lines that begin with `+` or `-` are for NIS (nsswitch.conf(5)), those with `#` are comments.
fn account_name(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty() && !name.starts_with(['+', '-', '#'])).then(|| name.to_string())
}

/// The highest number means "none" to chown(2), so no account has it.
fn parse_id(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|&id| id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n#alice:x:1:1::/:/x\nbroken:x:1\n\
        alice:$y$j9:1000:100:Alice,,,:/home/alice:/bin/zsh\nalice:x:7:7::/:/x\n+::::::\n\
        none:x:4294967295:1::/:/\n";
    const GROUP: &[u8] = b"root:x:0:\nusers:x:100:alice\nusers:x:5:\nodd\n";

    #[test]
    fn names_lead_to_numbers_and_the_first_line_counts() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        let names: Vec<&str> = accounts.users().iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, ["root", "alice"]);
        let alice = accounts.user("alice").unwrap();
        assert_eq!((alice.uid, alice.gid, &alice.home[..]), (1000, 100, &b"/home/alice"[..]));
        assert_eq!(accounts.gid(&Account::Name("users".into())), Ok(100));
        assert_eq!(accounts.uid(&Account::Id(4242)), Ok(4242));
        let why = accounts.uid(&Account::Name("bob".into())).unwrap_err();
        assert_eq!(why, "there is no user `bob` in etc/passwd");
    }

    #[test]
    fn a_tree_without_accounts_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostRoot::open(dir.path()).unwrap();
        assert_eq!(Accounts::read(&host).unwrap(), Accounts::default());
    }
}
