//! The whole example of the page that most users start from, applied on a real Btrfs: after three
//! rollbacks everything that it keeps is the same to the byte, owner, mode and extended attribute.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use blankroot::config::Config;
use blankroot::config::entry::EntryKind;
use blankroot::persist::list::{self, KeepEntry};
use dirfd::compare_trees::compare_by_walk;
use dirfd::private_namespace::MountPoint;
use support::kernel::{create_subvolume, snapshot};

use crate::machine::{Machine, on_machine};

const WIKI: &str = include_str!("../wiki/blankroot.toml");
const USER: u32 = 1000;
const ENTRIES: usize = 6 + 2 + 4 + 2 + 18 + 57;

/// The page's lists below the `[root]` that `init` wrote.
fn configure(machine: &Machine<'_>) -> Vec<KeepEntry> {
    let lists = &WIKI[WIKI.find("[[storage]]").unwrap()..];
    let file = machine.live().join("etc/blankroot.toml");
    let text = fs::read_to_string(&file).unwrap() + lists;
    fs::write(&file, &text).unwrap();
    fs::write(machine.config(), &text).unwrap();
    list::keep_list(&Config::parse(&file, text.as_bytes()).unwrap())
}

fn mount_storage(machine: &Machine<'_>) -> MountPoint {
    machine.mount_at("nix", &machine.live().join("nix"))
}

/// What the programs of the page's user write to each kept path.
fn use_all(machine: &Machine<'_>, list: &[KeepEntry]) {
    for (number, entry) in list.iter().enumerate() {
        let path = machine.live().join(entry.path.as_path());
        let file = match entry.kind {
            EntryKind::Dir => path.join("a b\nc"),
            EntryKind::File => path,
        };
        fs::write(&file, format!("content number {number} of {}\n", entry.path)).unwrap();
        if entry.home.is_some() {
            chown(&file, Some(USER), Some(USER)).unwrap();
        }
        support::apply::set_xattr(
            &file.canonicalize().unwrap(),
            "user.number",
            number.to_string().as_bytes(),
        )
        .unwrap();
    }
}

/// Every kept path leads to its data.
fn expect_all(machine: &Machine<'_>, list: &[KeepEntry]) {
    for entry in list {
        let seen = fs::metadata(machine.live().join(entry.path.as_path())).unwrap();
        let data = fs::metadata(machine.live().join(entry.source().as_path())).unwrap();
        assert_eq!((seen.ino(), seen.dev()), (data.ino(), data.dev()), "{}", entry.path);
    }
}

fn open(path: &Path) -> fs::File {
    fs::File::open(path).unwrap()
}

#[test]
fn the_wikis_example_survives_three_rollbacks_to_the_byte() {
    on_machine(|machine| {
        create_subvolume(&machine.top().join("nix")).unwrap();
        for storage in ["persist/system", "dotfiles/Plasma"] {
            fs::create_dir_all(machine.top().join("nix").join(storage)).unwrap();
        }
        let etc: PathBuf = machine.live().join("etc");
        fs::create_dir(machine.live().join("nix")).unwrap();
        let passwd = format!(
            "root:x:0:0::/root:/bin/sh\nusername:x:{USER}:{USER}::/home/username:/bin/sh\n\
             colord:x:33:44::/:/bin/false\n"
        );
        fs::write(etc.join("passwd"), passwd).unwrap();
        fs::write(etc.join("group"), format!("root:x:0:\nusername:x:{USER}:\ncolord:x:44:\n"))
            .unwrap();
        machine.run(&["init"]).expect(0);
        let list = configure(machine);
        assert_eq!(list.len(), ENTRIES);
        let mut storage = mount_storage(machine);

        machine.run(&["apply"]).expect(0);
        machine.run(&["apply"]).expect(0).says("nothing to do: all 89 kept paths");
        use_all(machine, &list);
        expect_all(machine, &list);
        let colord = fs::metadata(machine.live().join("var/lib/colord")).unwrap();
        assert_eq!((colord.uid(), colord.gid(), colord.mode() & 0o7777), (33, 44, 0o750));
        snapshot(&machine.top().join("nix"), &machine.top().join("as it was"), true).unwrap();

        for boot in 1..=3 {
            support::sandbox::unmount_below(machine.live(), &[machine.live().join("nix")]);
            drop(storage);
            machine.unmount();
            machine.boot(&format!("3f2a1c9e-7a01-4b6e-9d0a-00000000010{boot}"));
            machine.run(&["rollback"]).expect(0).says("rolled back in ");
            machine.mount();
            storage = mount_storage(machine);
            assert!(!machine.live().join("home/username").exists(), "not rolled back");
            // Blank's configuration has no lists: the one that knows them stands for a kept one.
            fs::copy(machine.config(), etc.join("blankroot.toml")).unwrap();
            machine.run(&["apply"]).expect(0);
            machine.run(&["apply"]).expect(0).says("nothing to do");
            expect_all(machine, &list);
            let was = open(&machine.top().join("as it was"));
            let is = open(&machine.top().join("nix"));
            let changes = compare_by_walk(was.as_fd(), is.as_fd(), &|_| {}).unwrap();
            let changes: Vec<_> = changes.iter().collect();
            assert!(changes.is_empty(), "after boot {boot}: {changes:?}");
        }
        support::sandbox::unmount_below(machine.live(), &[machine.live().join("nix")]);
        drop(storage);
    });
}
