//! Each check has a story in which it fires and one, as near as can be, in which it is silent.

use std::collections::BTreeSet;
use std::path::Path;

use backends::{FileType, TreePath};

use super::checks::{ALL, By};
use super::facts::*;
use super::shadow::Shadow;
use super::{Finding, Severity, examine};
use crate::accounts::Accounts;
use crate::config::Config;
use crate::{keep, known};

const PASSWD: &str = "root:x:0:0::/root:/bin/bash\nalice:x:1000:100::/home/alice:/bin/zsh\n\
    daemon:x:1:1::/:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nusers:x:100:\n";
const SHADOW: &str = "root:!:20000::::::\nalice:$y$j9T$s$h:20000::::::\ndaemon::20000::::::\n";
const LISTS: &str = "directories = [\"/var/lib/app\"]\nfiles = [\"/etc/app.conf\"]\n\
    [storage.users.alice]\ndirectories = [\".ssh\"]\n";
const NODE: Node = Node { file_type: FileType::Dir, mode: 0o755, uid: 0, gid: 0 };

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

fn people(passwd: &str, shadow: &str) -> Option<People> {
    Some(People {
        accounts: Some(Accounts::parse(passwd.as_bytes(), GROUP.as_bytes())),
        shadow: Shadow::parse(shadow.as_bytes()),
        ssh: true,
        origin: "blank (`root-blank`)".to_string(),
        ..People::default()
    })
}

fn entries(lists: &str) -> Vec<EntryFacts> {
    let head = "[root]\nbackend = \"tmpfs\"\n[[storage]]\npath = \"/persist\"\n";
    let config = Config::parse(Path::new("f"), format!("{head}{lists}").as_bytes()).unwrap();
    let facts = |entry: keep::KeepEntry| EntryFacts {
        known: known::about(&entry.path, entry.home.as_ref()),
        data: Data::Present(Node { uid: if entry.home.is_some() { 1000 } else { 0 }, ..NODE }),
        target: Some(Target::RightMount),
        entry,
    };
    keep::list(&config).into_iter().map(facts).collect()
}

/// A machine with nothing to mend, and nothing even to note.
fn healthy() -> Facts {
    let content = Content {
        seen: 3,
        users: [(0, (2, path("/persist/etc"))), (1000, (1, path("/persist/home/alice")))].into(),
        groups: [(0, (3, path("/persist/etc")))].into(),
        ..Content::default()
    };
    let storage = StorageFacts {
        path: path("/persist"),
        place: Default::default(),
        lies: Lies::Safe,
        root: Some(NODE),
        content,
    };
    Facts {
        today: 20_500,
        file: "/etc/blankroot.toml".to_string(),
        nixos_ids_survive: Some(false),
        now: people(PASSWD, SHADOW),
        after: people(PASSWD, SHADOW),
        entries: entries(LISTS),
        storages: vec![storage],
        memory: vec![MemoryMount { path: path("/"), limit: Some(1 << 30), mode: 0o755 }],
        ram: Some(4 << 30),
        blank: Some(BlankFacts {
            read_only_again: Some("run `x`".to_string()),
            root: NODE,
            secrets: Vec::new(),
            machine_id: false,
            random_seed: None,
        }),
        own_config: Some(OwnConfig::Same),
        ..Facts::default()
    }
}

type Change = fn(&mut Facts);

/// One check: what lets it fire, what is said then, and what leaves it silent.
struct Story(&'static str, Severity, Change, &'static str, Change);

use Severity::{Danger, Note, Warning};

fn after(facts: &mut Facts) -> &mut People {
    facts.after.as_mut().unwrap()
}

fn shadow(facts: &mut Facts, text: &str) {
    after(facts).shadow = Shadow::parse(text.as_bytes());
}

fn blank(facts: &mut Facts) -> &mut BlankFacts {
    facts.blank.as_mut().unwrap()
}

fn storage(facts: &mut Facts) -> &mut StorageFacts {
    &mut facts.storages[0]
}

fn key(facts: &mut Facts, user: &str) {
    after(facts).keys.insert(user.to_string(), path("/root/.ssh/authorized_keys"));
}

/// The entry of /etc/app.conf, declared anew with these options.
fn file(facts: &mut Facts, options: &str, target: Target) {
    let list = format!("files = [{{ path = \"/etc/passwd\", {options} }}]");
    facts.entries = entries(&list);
    facts.entries[0].target = Some(target);
}

const STORIES: &[Story] = &[
    Story(
        "no-login",
        Danger,
        |f| shadow(f, "alice:!$y$j9T$s$h:1::::::\n"),
        "nobody can log in after the next boot: root has no password in etc/shadow, alice is locked",
        // A key of root's is enough.
        |f| {
            shadow(f, "alice:!:1::::::\n");
            key(f, "root");
        },
    ),
    Story(
        "login-lost",
        Warning,
        |f| {
            shadow(f, "root:$6$s$h:1::::::\nalice:$y$j9T$s$h:1:::::20000:\n");
        },
        "alice can log in now, but not after the next boot: alice is expired",
        |f| shadow(f, "root:$6$s$h:1::::::\nalice:$y$j9T$s$h:1:::::20501:\n"),
    ),
    Story(
        "password-reverts",
        Warning,
        |f| shadow(f, "alice:$y$j9T$s$older:1::::::\n"),
        "the password of alice will be the older one again",
        // The same password, with another day of its last change.
        |f| shadow(f, "alice:$y$j9T$s$h:1::::::\n"),
    ),
    Story(
        "empty-password",
        Warning,
        |f| shadow(f, &format!("root::1::::::\n{SHADOW}")),
        "root needs no password after the next boot",
        // The healthy machine has a daemon without a password, and without a login shell.
        |_| {},
    ),
    Story(
        "login-by-key-alone",
        Note,
        |f| {
            shadow(f, "");
            key(f, "alice");
            f.now = None;
        },
        "only SSH keys let anybody in (alice)",
        |f| key(f, "alice"),
    ),
    Story(
        "accounts-elsewhere",
        Note,
        |f| {
            after(f).elsewhere.insert("sss".to_string());
        },
        "accounts of sss were not looked at",
        |_| {},
    ),
    Story(
        "storage-missing",
        Danger,
        |f| storage(f).lies = Lies::Missing,
        "the storage /persist is not there",
        |f| storage(f).lies = Lies::Unknown,
    ),
    Story(
        "storage-on-wiped-root",
        Danger,
        |f| storage(f).lies = Lies::InLive,
        "lies on the very root that each boot replaces",
        |f| storage(f).lies = Lies::Safe,
    ),
    Story(
        "storage-open",
        Danger,
        |f| storage(f).root = Some(Node { mode: 0o1777, ..NODE }),
        "the storage /persist has the mode 1777",
        |f| storage(f).root = Some(Node { mode: 0o700, ..NODE }),
    ),
    Story(
        "storage-large",
        Note,
        |f| (storage(f).content.seen, storage(f).content.cut) = (200_000, true),
        "only 200,000 names in /persist were looked at",
        |f| storage(f).content.seen = 200_000,
    ),
    Story(
        "secret-readable",
        Danger,
        |f| {
            let secret = (path("/persist/a b"), "a private key".to_string());
            storage(f).content.open_secrets.push(secret);
        },
        "every user can read /persist/a b (a private key)",
        |_| {},
    ),
    Story(
        "owner-unknown",
        Warning,
        |f| drop(storage(f).content.users.insert(1001, (7, path("/persist/x")))),
        "no user has the number 1001: 7 files, such as /persist/x",
        // A service with a dynamic user.
        |f| drop(storage(f).content.users.insert(61_184, (7, path("/persist/x")))),
    ),
    Story(
        "owner-drift",
        Warning,
        |f| {
            f.entries = entries("files = [{ path = \"/a\", user = \"alice\", group = \"users\" }]");
            f.entries[0].data = Data::Present(Node { uid: 1000, gid: 7, ..NODE });
        },
        "/persist/a belongs to the group number 7, and users has the number 100",
        |f| {
            f.entries = entries("files = [{ path = \"/a\", user = \"alice\", group = \"users\" }]");
            f.entries[0].data = Data::Present(Node { uid: 1000, gid: 100, ..NODE });
        },
    ),
    Story(
        "nixos-ids-not-kept",
        Warning,
        |f| f.nixos = true,
        "/var/lib/nixos is not kept",
        |f| (f.nixos, f.nixos_ids_survive) = (true, Some(true)),
    ),
    Story(
        "nested-entries",
        Warning,
        |f| {
            f.entries = entries(
                "directories = [{ path = \"/a\", mode = \"0700\" }, { path = \"/a/b\", mode = \"0755\" }]",
            );
        },
        "/a/b is kept inside /a, which is kept, too",
        |f| f.entries = entries("directories = [\"/a\", \"/ab\"]"),
    ),
    Story(
        "unknown-account",
        Danger,
        |f| f.entries = entries("directories = [{ path = \"/a\", parent = { group = \"web\" } }]"),
        "there is no group `web`, whom /etc/blankroot.toml:5 names",
        |f| f.entries = entries("directories = [{ path = \"/a\", group = 4711 }]"),
    ),
    Story(
        "home-differs",
        Warning,
        |f| {
            let passwd = PASSWD.replace("/home/alice", "/srv/alice");
            f.after = people(&passwd, SHADOW);
        },
        "the home of alice is /srv/alice, and",
        |f| f.after = people(&PASSWD.replace("/home/alice", "/home//alice/"), SHADOW),
    ),
    Story(
        "bad-mode",
        Danger,
        |f| f.entries = entries("directories = [{ path = \"/a\", mode = \"0777\" }]"),
        "the mode 0777 of /a lets every user write",
        |f| f.entries = entries("directories = [{ path = \"/a\", mode = \"1777\" }]"),
    ),
    Story(
        "not-in-place",
        Danger,
        |f| f.entries[0].target = Some(Target::OtherLink(b"/nix/a\n".to_vec())),
        "/etc/app.conf is not in its place: it is a link to /nix/a\\n, and its data is at",
        // With no `how` either right way counts.
        |f| f.entries[0].target = Some(Target::RightLink),
    ),
    Story(
        "link-replaced",
        Danger,
        |f| file(f, "how = \"symlink\"", Target::File { empty: false }),
        "/etc/passwd is a file of its own by now, and no link to /persist/etc/passwd",
        |f| file(f, "how = \"symlink\"", Target::RightLink),
    ),
    Story(
        "renamed-over",
        Warning,
        |f| file(f, "how = \"bind\"", Target::RightMount),
        "/etc/passwd is mounted as a file",
        |f| file(f, "", Target::RightMount),
    ),
    Story(
        "behind-a-link",
        Danger,
        |f| {
            let (link, to) = (path("/var/lib"), b"../persist/lib".to_vec());
            f.entries[2].target = Some(Target::BehindLink { link, to });
        },
        "passes the link /var/lib, which leads to ../persist/lib, into the storage /persist",
        |_| {},
    ),
    Story(
        "tmpfs-open",
        Danger,
        |f| f.memory[0].mode = 0o1777,
        "every user may write at the top of / (mode 1777)",
        |f| f.memory[0].mode = 0o700,
    ),
    Story(
        "tmpfs-size",
        Warning,
        |f| f.memory[0].limit = Some(8 << 30),
        "/ may grow to 8.0 GiB, in memory",
        |f| f.memory[0].limit = Some(4 << 30),
    ),
    Story(
        "blank-owner",
        Danger,
        |f| blank(f).root.uid = 1000,
        "the top directory of blank belongs to 1000:0 and has the mode 0755",
        |_| {},
    ),
    Story(
        "blank-secret",
        Warning,
        |f| {
            let (path, what) =
                (path("/etc/ssh/ssh_host_rsa_key"), "a private host key".to_string());
            blank(f).secrets.push(Secret { path, what, kept: false });
        },
        "blank holds /etc/ssh/ssh_host_rsa_key (a private host key)",
        |_| {},
    ),
    Story(
        "blank-machine-id",
        Note,
        |f| blank(f).machine_id = true,
        "blank holds /etc/machine-id",
        |_| {},
    ),
    Story(
        "blank-random-seed",
        Warning,
        |f| blank(f).random_seed = Some(path("/var/lib/systemd/random-seed")),
        "blank holds a random seed, /var/lib/systemd/random-seed",
        |_| {},
    ),
    Story(
        "config-lost",
        Danger,
        |f| f.own_config = Some(OwnConfig::Nothing),
        "/etc/blankroot.toml will be gone after the next boot",
        |f| f.own_config = None,
    ),
];

fn told(change: Change) -> Vec<Finding> {
    let mut facts = healthy();
    change(&mut facts);
    examine(&facts)
}

#[test]
fn a_healthy_machine_has_no_findings() {
    assert_eq!(told(|_| {}), []);
}

#[test]
fn every_check_fires_when_it_should_and_only_then() {
    let ours = ALL.iter().filter(|check| check.by == By::Doctor).map(|check| check.id);
    assert!(ours.eq(STORIES.iter().map(|story| story.0)), "a check without a story");
    for Story(id, severity, fires, says, silent) in STORIES {
        let found = told(*fires);
        let [only] = &found[..] else { panic!("{id}: {found:#?}") };
        assert_eq!((only.id, only.severity), (*id, *severity));
        assert!(only.what.contains(says), "no `{says}` in {only:#?}");
        let found = told(*silent);
        assert!(found.iter().all(|finding| finding.id != *id), "{id}: {found:#?}");
    }
}

/// Every text is one line, printable, and each mend says something to do.
#[test]
fn findings_print_on_one_line_and_have_a_mend() {
    for story in STORIES {
        for finding in told(story.2) {
            for text in [&finding.what, &finding.why, &finding.mend] {
                assert!(!text.is_empty() && !text.contains(char::is_control), "{finding:#?}");
                assert!(!text.contains("  ") && !text.ends_with('.'), "{finding:#?}");
            }
        }
    }
}

#[test]
fn on_nixos_the_configuration_may_let_people_in() {
    let found = told(|f| {
        (f.nixos, f.nixos_ids_survive) = (true, Some(true));
        shadow(f, "");
    });
    let [only] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((only.id, only.severity), ("no-login", Warning));
    assert!(only.mend.contains("hashedPasswordFile"), "{only:#?}");
    let empty = told(|f| {
        (f.nixos, f.nixos_ids_survive) = (true, Some(true));
        after(f).accounts = None;
    });
    assert!(empty[0].what.ends_with("there is no etc/passwd"), "{empty:#?}");
}

#[test]
fn accounts_from_elsewhere_may_let_people_in() {
    let found = told(|f| {
        shadow(f, "");
        after(f).elsewhere.insert("systemd-homed".to_string());
    });
    let found: Vec<_> = found.iter().map(|finding| (finding.id, finding.severity)).collect();
    assert_eq!(found, [("no-login", Warning), ("accounts-elsewhere", Note)]);
}

#[test]
fn every_reason_why_a_path_is_not_in_its_place_is_told() {
    let stored = Data::Present(NODE);
    for (target, data, says, mend) in [
        (Target::Absent, stored, "although its data is in storage", "apply"),
        (Target::Absent, Data::Absent, "nothing is at /persist/etc/app.conf in storage", "apply"),
        (Target::Dir { empty: false }, stored, "beside that at /persist", "--adopt"),
        (Target::File { empty: false }, Data::Absent, "is still in live", "--adopt"),
        (Target::OtherMount, stored, "something else is mounted there", "umount /etc/app.conf"),
        (Target::Odd(FileType::Fifo), stored, "it is a fifo", "remove it"),
    ] {
        let mut facts = healthy();
        facts.entries[0].target = Some(target.clone());
        facts.entries[0].data = data;
        let found = examine(&facts);
        let [only] = &found[..] else { panic!("{target:?}: {found:#?}") };
        assert_eq!(only.id, "not-in-place");
        assert!(only.what.contains(says) && only.mend.contains(mend), "{only:#?}");
    }
}

#[test]
fn a_storage_that_is_not_there_is_told_once() {
    let found = told(|f| {
        storage(f).lies = Lies::Missing;
        f.entries.iter_mut().for_each(|entry| entry.target = Some(Target::Absent));
    });
    let ids: BTreeSet<&str> = found.iter().map(|finding| finding.id).collect();
    assert_eq!((ids, found.len()), (BTreeSet::from(["storage-missing"]), 1));
}

#[test]
fn declared_modes_are_judged_by_what_they_do() {
    let judged = |list: &str, mode: &str| {
        let mut facts = healthy();
        facts.entries = entries(&format!("{list} = [{{ path = \"/a\", mode = \"{mode}\" }}]"));
        examine(&facts).first().map(|finding| finding.severity)
    };
    for (list, mode, severity) in [
        ("directories", "0600", Some(Danger)),
        ("directories", "2775", None),
        ("directories", "4755", Some(Warning)),
        ("files", "0600", None),
        ("files", "0000", None),
        ("files", "1666", Some(Danger)),
        ("files", "2755", Some(Warning)),
    ] {
        assert_eq!(judged(list, mode), severity, "{list} {mode}");
    }
}
