//! What users are told at login: files below `/run` that an audit prepares, so that a login prints one and does nothing
//! else.
//!
//! `/run/motd.d/blankroot` is for all, and names nothing: pam_motd(8) reads it itself.
//! `/run/blankroot/login/UID` is for one user and names what is his; root's names everything. The profile of a
//! login shell prints it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use dirfd::fault::change;
use dirfd::path::Escaped;
use dirfd::{Error, Result, atomic_file, directory_walker};
use rustix::fs::{AtFlags, Gid, Uid, chownat, unlinkat};

use crate::diff::owner_groups::{Group, GroupOf};
use crate::host::HostRoot;
use crate::ui::figures;

const DIR: &str = "run/blankroot/login";
const MOTD_DIR: &str = "run/motd.d";
const MOTD: &str = "blankroot";
/// Things that are named.
const NAMED: usize = 3;
/// Maximum number of users who have a message of their own.
const USERS: usize = 1000;
const ROOT: u32 = 0;

/// One message for each user who has any.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LoginMessages {
    for_all: Option<String>,
    by_user: BTreeMap<u32, String>,
}

/// What counts as one thing: a new directory with all that is in it, or all packages that were installed.
struct Thing<'g> {
    name: String,
    /// Whose it is; `None` of what is told as one and has paths of several.
    uid: Option<u32>,
    group: &'g GroupOf,
}

impl LoginMessages {
    /// Of what fails an audit.
    pub(crate) fn of(groups: &BTreeMap<GroupOf, Group>) -> Self {
        let things: Vec<Thing<'_>> =
            groups.iter().flat_map(|(of, group)| things(of, group)).collect();
        if things.is_empty() {
            return Self::default();
        }
        let mut by_uid: BTreeMap<u32, Vec<&Thing<'_>>> = BTreeMap::new();
        by_uid.insert(ROOT, things.iter().collect());
        for thing in &things {
            if let Some(uid) = thing.uid.filter(|uid| *uid != ROOT) {
                by_uid.entry(uid).or_default().push(thing);
            }
        }
        let count = figures::count_noun(things.len() as u64, "thing", "things");
        let hint = "`sudo blankroot audit` tells what.";
        Self {
            for_all: Some(format!("{count} will be lost at the next boot. {hint}\n")),
            by_user: by_uid
                .into_iter()
                .take(USERS)
                .map(|(uid, of)| (uid, message(uid, &of)))
                .collect(),
        }
    }
}

fn things<'g>(of: &'g GroupOf, group: &Group) -> Vec<Thing<'g>> {
    if of.is_told_by_title() {
        return vec![Thing { name: of.title(group), uid: None, group: of }];
    }
    let tops = group.topmost();
    let name = |path: &[u8]| format!("/{}", Escaped(path));
    tops.iter().map(|top| Thing { name: name(top.path), uid: Some(top.uid), group: of }).collect()
}

/// `3 things will be lost at the next boot: /home/alice/thesis, … — blankroot audit`.
fn message(uid: u32, things: &[&Thing<'_>]) -> String {
    let count = figures::count_noun(things.len() as u64, "thing", "things");
    // What people did comes before what programs did.
    let mut things = things.to_vec();
    things.sort_by_key(|thing| rank(thing.group));
    let named: Vec<&str> = things.iter().take(NAMED).map(|thing| thing.name.as_str()).collect();
    let more = if things.len() > NAMED { ", …" } else { "" };
    let (whose, hint) = match uid {
        ROOT => ("", "`blankroot audit` tells all of it."),
        _ => (" of yours", "`blankroot apply --user` keeps what ~/.config/blankroot.toml names."),
    };
    format!("{count}{whose} will be lost at the next boot: {}{more}. {hint}\n", named.join(", "))
}

fn rank(of: &GroupOf) -> u8 {
    match of {
        GroupOf::Nobody => 0,
        GroupOf::Owner(_) => 1,
        GroupOf::Packages(..) => 2,
        GroupOf::TimerStamps => 3,
    }
}

/// Puts the messages where logins find them, in the place of those before.
pub(crate) fn write_messages(host: &HostRoot, messages: &LoginMessages) -> Result<()> {
    let action = "write what users are told at login";
    write(host, messages).map_err(|why| Error::io(action, why))
}

fn write(host: &HostRoot, messages: &LoginMessages) -> io::Result<()> {
    let dir = host.make_dirs(DIR)?;
    for (uid, text) in &messages.by_user {
        let name = OsString::from(uid.to_string());
        atomic_file::replace(dir.as_fd(), &name, text.as_bytes(), 0o400)?;
        if *uid != ROOT {
            let (user, group) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(0)));
            change("login message: chown", || {
                Ok(chownat(&dir, &name, user, group, AtFlags::SYMLINK_NOFOLLOW)?)
            })?;
        }
    }
    for name in directory_walker::list_names(dir.as_fd())? {
        let name = OsStr::from_bytes(name.to_bytes());
        let uid = name.to_str().and_then(|name| name.parse::<u32>().ok());
        if !uid.is_some_and(|uid| messages.by_user.contains_key(&uid)) {
            remove(dir.as_fd(), name)?;
        }
    }
    let motd = host.make_dirs(MOTD_DIR)?;
    match &messages.for_all {
        Some(text) => atomic_file::replace(motd.as_fd(), OsStr::new(MOTD), text.as_bytes(), 0o644),
        None => remove(motd.as_fd(), OsStr::new(MOTD)),
    }
}

fn remove(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let removed = change("login message: unlink", || Ok(unlinkat(dir, name, AtFlags::empty())?));
    match removed {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::owner_groups::StrayPath;
    use crate::owners::Owner;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    fn group(paths: &[(&str, u32)]) -> Group {
        let path = |(path, uid): &(&str, u32)| StrayPath {
            path: path.as_bytes().to_vec(),
            bytes: 1,
            uid: *uid,
        };
        let mut group = Group::default();
        group.paths = paths.iter().map(path).collect();
        group
    }

    fn found() -> BTreeMap<GroupOf, Group> {
        let alice = GroupOf::Owner(Owner::User("alice".into()));
        BTreeMap::from([
            (alice, group(&[("home/alice/a\x1b[31m", 1000), ("home/alice/b", 1000)])),
            (GroupOf::Nobody, group(&[("srv/www", 33), ("srv/www/x", 33), ("usr/local/bin/y", 0)])),
            (GroupOf::TimerStamps, group(&[("var/lib/systemd/timers/stamp-x.timer", 0)])),
        ])
    }

    #[test]
    fn each_user_is_told_of_what_is_his_and_root_of_everything() {
        let LoginMessages { for_all, by_user } = LoginMessages::of(&found());
        assert_eq!(
            for_all.unwrap(),
            "5 things will be lost at the next boot. `sudo blankroot audit` tells what.\n"
        );
        assert_eq!(by_user.keys().copied().collect::<Vec<_>>(), [0, 33, 1000]);
        assert_eq!(
            by_user[&0],
            "5 things will be lost at the next boot: /srv/www, /usr/local/bin/y, \
             /home/alice/a\\u{1b}[31m, …. `blankroot audit` tells all of it.\n"
        );
        assert_eq!(
            by_user[&33],
            "1 thing of yours will be lost at the next boot: /srv/www. `blankroot apply --user` keeps \
             what ~/.config/blankroot.toml names.\n"
        );
        assert!(by_user[&1000].starts_with("2 things of yours"), "{}", by_user[&1000]);
    }

    #[test]
    fn messages_are_for_their_readers_alone_and_go_when_there_is_nothing_to_tell() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostRoot::open(dir.path()).unwrap();
        write_messages(&host, &LoginMessages::of(&found())).unwrap();
        let login = dir.path().join(DIR);
        for (uid, mode) in [(0, 0o400), (33, 0o400), (1000, 0o400)] {
            let found = fs::metadata(login.join(uid.to_string())).unwrap();
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (uid, 0, mode));
        }
        let motd = dir.path().join(MOTD_DIR).join(MOTD);
        assert_eq!(fs::metadata(&motd).unwrap().mode() & 0o7777, 0o644);
        write_messages(&host, &LoginMessages::default()).unwrap();
        assert_eq!(fs::read_dir(&login).unwrap().count(), 0);
        assert!(!motd.exists());
        write_messages(&host, &LoginMessages::default()).unwrap();
    }
}
