//! Each check has a story in which it fires and one, as near as can be, in which it is silent.

pub mod stories;

use std::collections::BTreeSet;
use std::path::Path;

use dirfd::{FileType, TreePath};

use super::checks::ALL;
use super::run_checks;
use crate::config::Config;
use crate::config::entry::EntryKind;
use crate::doctor::checks::By;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Severity::{Danger, Note, Warning};
use crate::doctor::machine_facts::*;
use crate::doctor::shadow::Shadow;
use crate::doctor::tests::stories::{STORIES, Story, after, file, kernel, shadow, storage};
use crate::persist::accounts::Accounts;
use crate::persist::list;

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
    let facts = |entry: list::KeepEntry| EntryFacts {
        data: Data::Present(Node {
            file_type: match entry.kind {
                EntryKind::Dir => FileType::Dir,
                EntryKind::File => FileType::File,
            },
            uid: if entry.home.is_some() { 1000 } else { 0 },
            ..NODE
        }),
        noted_as_replaced: false,
        target: Some(Target::RightMount),
        in_blank: false,
        entry,
    };
    list::keep_list(&config).into_iter().map(facts).collect()
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
        by_hand: None,
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
            to_change_it: Some(["run `x`".to_string(), "`y`".to_string()]),
            root: NODE,
            secrets: Vec::new(),
            machine_id: false,
            random_seed: None,
            older_initrd: None,
        }),
        own_config: Some(OwnConfig::Same),
        place_for_swap: "make a new one elsewhere".to_string(),
        ..Facts::default()
    }
}

type Change = fn(&mut Facts);

fn told(change: Change) -> Vec<Finding> {
    let mut facts = healthy();
    change(&mut facts);
    run_checks(&facts)
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

/// Every text is one line, printable, and each hint says something to do.
#[test]
fn findings_print_on_one_line_and_have_a_hint() {
    for story in STORIES {
        for finding in told(story.2) {
            for text in [&finding.what, &finding.why, &finding.hint] {
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
    assert!(only.hint.contains("hashedPasswordFile"), "{only:#?}");
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
    let stored = Data::Present(Node { file_type: FileType::File, ..NODE });
    for (target, data, says, hint) in [
        (Target::Absent, stored, "although its data is in storage", "apply"),
        (Target::Absent, Data::Absent, "nothing is at /persist/etc/app.conf in storage", "apply"),
        (Target::Absent, Data::Unnamed, "beside /persist/etc/app.conf, without its name", "apply"),
        (Target::Dir { empty: false }, stored, "beside that at /persist", "--adopt"),
        (Target::File { empty: false }, Data::Absent, "is still in live", "--adopt"),
        (Target::OtherMount, stored, "something else is mounted there", "umount /etc/app.conf"),
        (Target::Odd(FileType::Fifo), stored, "it is a fifo", "remove it"),
    ] {
        let mut facts = healthy();
        facts.entries[0].target = Some(target.clone());
        facts.entries[0].data = data;
        let found = run_checks(&facts);
        let [only] = &found[..] else { panic!("{target:?}: {found:#?}") };
        assert_eq!(only.id, "not-in-place");
        assert!(only.what.contains(says) && only.hint.contains(hint), "{only:#?}");
    }
}

#[test]
fn a_file_in_the_place_of_a_link_to_a_link_is_a_link_replaced() {
    // `apply` links what is a link itself, and mounts a file.
    for (stored, id) in [(FileType::Symlink, "link-replaced"), (FileType::File, "not-in-place")] {
        let mut facts = healthy();
        facts.entries[0].target = Some(Target::File { empty: false });
        facts.entries[0].data = Data::Present(Node { file_type: stored, ..NODE });
        let found = run_checks(&facts);
        assert!(found.iter().any(|finding| finding.id == id), "{stored:?}: {found:#?}");
    }
}

#[test]
fn the_right_data_by_another_way_than_declared_is_a_note() {
    let found = told(|f| file(f, "how = \"symlink\"", Target::RightMount));
    assert_eq!((found[0].id, found[0].severity), ("not-in-place", Note));
    let found = told(|f| file(f, "how = \"bind\"", Target::RightLink));
    assert!(found.iter().any(|f| f.severity == Note && f.hint.contains("rm ")), "{found:#?}");
}

#[test]
fn a_mode_in_storage_is_judged_where_none_was_declared() {
    let open = Data::Present(Node { mode: 0o777, ..NODE });
    let judged = |list: &str| {
        let mut facts = healthy();
        facts.entries = entries(list);
        facts.entries[0].data = open;
        run_checks(&facts).iter().map(|finding| finding.what.clone()).collect::<Vec<_>>()
    };
    let expected = ["the mode 0777 of /persist/a lets every user write"];
    assert_eq!(judged("directories = [\"/a\"]"), expected);
    assert_eq!(judged("directories = [{ path = \"/a\", mode = \"0755\" }]"), [""; 0]);
}

#[test]
fn a_number_that_the_next_boot_changes_is_told() {
    let found = told(|f| f.now = people(&PASSWD.replace("daemon:x:1", "daemon:x:2"), SHADOW));
    let [only] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(only.what, "daemon has the number 2 now, and 1 after the next boot");
}

#[test]
fn a_nologin_file_keeps_everybody_out_but_root() {
    let ids = |shadow: &str| {
        let mut facts = healthy();
        (facts.now, facts.after) = (None, people(PASSWD, shadow));
        facts.after.as_mut().unwrap().nologin = true;
        run_checks(&facts).iter().map(|finding| finding.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(SHADOW), ["no-login"]);
    assert_eq!(ids("root:$6$s$h:1::::::\n"), [""; 0]);
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
fn the_running_kernel_is_judged_by_what_it_does_and_by_what_else_is_seen() {
    let judged = |change: Change| {
        told(change).iter().map(|finding| finding.what.clone()).collect::<Vec<_>>()
    };
    // After the reboot: it runs without them.
    let found = judged(|f| {
        f.kernels.running = Some(kernel("6.13", false, false));
        f.kernels.loads_modules = true;
        f.kernels.in_blank = vec!["6.12".to_string()];
    });
    let [only] = &found[..] else { panic!("{found:#?}") };
    assert!(only.ends_with("6.13, in this root: blank has those of 6.12"), "{only}");
    // One that was built without modules has none, and loads none.
    assert_eq!(judged(|f| f.kernels.running = Some(kernel("6.13", false, false))), [""; 0]);
    // An upgrade took the modules of the running kernel away; blank has them.
    let upgraded: Change = |f| {
        f.kernels.running = Some(kernel("6.12", false, true));
        f.kernels.loads_modules = true;
    };
    assert_eq!(judged(upgraded), [""; 0]);
    // Where no kernel is seen, the one that runs is started again; else only what is seen counts.
    assert_eq!(judged(|f| f.kernels.running = Some(kernel("6.13", true, false))).len(), 1);
    let found = judged(|f| {
        f.kernels.running = Some(kernel("6.13", true, false));
        f.kernels.installed = vec![kernel("6.12", true, true)];
    });
    assert_eq!(found, [""; 0]);
}

#[test]
fn declared_modes_are_judged_by_what_they_do() {
    let judged = |list: &str, mode: &str| {
        let mut facts = healthy();
        facts.entries = entries(&format!("{list} = [{{ path = \"/a\", mode = \"{mode}\" }}]"));
        run_checks(&facts).first().map(|finding| finding.severity)
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
