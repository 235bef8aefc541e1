//! What a configuration means.

use std::path::PathBuf;

use backends::Layout;
use dirfd::TreeName;

use crate::config::entry::{EntryKind, PlacementMethod};
use crate::config::ownership::{Account, Mode, Ownership};
use crate::config::rollback_options::{OnFailure, Retention, Strategy};
use crate::config::tests::*;

fn layout(live: &str, blank: &str, old: &str) -> Layout {
    let name = |text| TreeName::new(text).unwrap();
    Layout { live: name(live), blank: name(blank), old: name(old) }
}

#[test]
fn the_example_means_what_it_says() {
    let config = parse(EXAMPLE).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        config.root,
        RootConfig::Btrfs {
            device: PathBuf::from("/dev/disk/by-label/os"),
            layout: layout("root", "root-blank", "old-roots"),
        }
    );
    assert_eq!(config.rollback, RollbackOptions::default());
    let [storage] = config.storages.as_slice() else { panic!("one storage") };
    assert_eq!((storage.path.to_string().as_str(), storage.hide_mounts), ("/persist", true));
    let [_, colord, machine_id, key] = storage.entries.as_slice() else { panic!("four entries") };
    assert_eq!(colord.owner.user, Some(Account::Name("colord".to_string())));
    assert_eq!(colord.owner.mode.map(Mode::bits), Some(0o750));
    assert_eq!(machine_id.kind, EntryKind::File);
    assert_eq!(machine_id.place, Position { line: 20, column: 3 });
    assert_eq!(key.owner, Ownership::default());
    assert_eq!(key.parent.mode.map(Mode::bits), Some(0o700));
    assert_eq!(config.source(key.place), "(/etc/blankroot.toml:21)");
    let [alice] = storage.users.as_slice() else { panic!("one user") };
    assert_eq!(alice.home.to_string(), "/home/alice");
    assert_eq!(alice.entries[1].path.to_string(), "/home/alice/.mozilla");
    assert_eq!(alice.entries[1].data.to_string(), "/home/alice/Firefox/.mozilla");
    assert_eq!(config.forget.patterns().len(), 2);
}

#[test]
fn every_backend_has_its_own_keys() {
    let defaults = || layout("root", "root-blank", "old-roots");
    for (text, root) in [
        ("backend = \"tmpfs\"", RootConfig::Tmpfs),
        (
            "backend = \"zfs\"\ndataset = \"pool/os\"\nlive = \"a b\"",
            RootConfig::Zfs {
                dataset: "pool/os".to_string(),
                layout: layout("a b", "a b@blank", "old-roots"),
            },
        ),
        (
            "backend = \"directory\"\npath = \"/srv/n\\nl\"",
            RootConfig::Directory { path: PathBuf::from("/srv/n\nl"), layout: defaults() },
        ),
        (
            "device = '/dev/vda'\nbackend = \"btrfs\"",
            RootConfig::Btrfs { device: PathBuf::from("/dev/vda"), layout: defaults() },
        ),
    ] {
        let config = parse(&format!("[root]\n{text}\n")).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(config.root, root);
    }
}

#[test]
fn every_option_of_an_entry_is_read() {
    let config = parse(
        r#"
        [root]
        backend = "zfs"
        dataset = "rpool/os"
        [rollback]
        on_failure = "halt"
        strategy = "rollback"
        retention = { days = 0 }
        [[storage]]
        path = "/persist"
        allow_other = true
        allow_trash = true
        [[storage.directories]]
        path = "/var/lib/x"
        user = 1000
        group = "1001"
        mode = "1777"
        how = "symlink"
        create = false
        in_initrd = true
        notrim = false
        hide_mounts = true
        allow_trash = false
        enable = false
        options = ["noexec", "nosuid"]
        strip_prefix = false
        parent = { user = "a", group = "b", mode = "0700" }
        "#,
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.rollback.on_failure, OnFailure::Halt);
    assert_eq!(config.rollback.strategy, Strategy::Rollback);
    assert_eq!(config.rollback.retention, Retention { days: 0, ..Retention::default() });
    let entry = &config.storages[0].entries[0];
    assert_eq!(entry.owner.user, Some(Account::Id(1000)));
    assert_eq!(entry.owner.group, Some(Account::Id(1001)));
    assert_eq!(entry.how, Some(PlacementMethod::Symlink));
    assert_eq!((entry.create, entry.in_initrd), (Some(false), Some(true)));
    assert_eq!((entry.hide_mounts, entry.allow_trash), (Some(true), Some(false)));
    assert_eq!((entry.enable, entry.notrim), (false, false));
    assert_eq!(entry.options, ["noexec", "nosuid"]);
    assert_eq!(entry.parent.user, Some(Account::Name("a".to_string())));
}

#[test]
fn entries_may_lie_in_entries_and_disabled_ones_contradict_nothing() {
    parse(
        r#"
        [root]
        backend = "tmpfs"
        [[storage]]
        path = "/persist"
        directories = ["/var/lib", "/var/lib/x", { path = "/var/log", enable = false }]
        files = ["/var/lib/x/y"]
        [[storage]]
        path = "/persist/more"
        directories = ["/var/log"]
        [[storage]]
        path = "/persist"
        enable = false
        directories = ["/var/log"]
        [forget]
        paths = ["/var/log/**"]
        "#,
    )
    .unwrap_or_else(|error| panic!("{error}"));
}
