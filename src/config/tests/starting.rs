//! The configuration that `init` writes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use backends::Layout;
use dirfd::TreeName;
use proptest::prelude::*;

use crate::config::rollback_options::Retention;
use crate::config::starter::starter_text;
use crate::config::tests::*;

fn btrfs(device: impl Into<PathBuf>, live: impl Into<Vec<u8>>) -> RootConfig {
    let name = |name: Vec<u8>| TreeName::new(name).unwrap();
    let layout = Layout {
        live: name(live.into()),
        blank: name(b"snapshots of it/blank".to_vec()),
        old: name(b"old\nroots".to_vec()),
    };
    RootConfig::Btrfs { device: device.into(), layout }
}

#[test]
fn the_starter_declares_the_root_and_nothing_else() {
    let zfs = RootConfig::Zfs {
        dataset: "rpool/my os".to_string(),
        layout: btrfs("/d", "r").layout().unwrap().clone(),
    };
    let directory = RootConfig::Directory {
        path: PathBuf::from("/srv/\"quoted\""),
        layout: btrfs("/d", "r").layout().unwrap().clone(),
    };
    for root in [btrfs("/dev/disk/by-label/o\\s '\"", "@/r t"), zfs, directory, RootConfig::Tmpfs] {
        let text = starter_text(&root).unwrap();
        let config = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(config.root, root);
        assert_eq!(config.rollback.retention, Retention::default());
        assert!(config.storages.is_empty() && config.forget.patterns().is_empty());
        assert!(config.catalogue_entries.is_empty());
    }
}

#[test]
fn the_examples_of_the_starter_are_valid_too() {
    let text = starter_text(&btrfs("/dev/vda", "root")).unwrap();
    let (declared, examples) = text.split_once("# [[storage]]").unwrap();
    let mut whole = format!("{declared}[[storage]]\n");
    // The prose between the examples has none of these characters.
    for line in examples.lines().filter(|line| line.contains(['[', ']', '=', '"'])) {
        whole.push_str(line.trim_start_matches("# "));
        whole.push('\n');
    }
    let config = parse(&whole).unwrap_or_else(|error| panic!("{error}\n{whole}"));
    assert_eq!(config.storages.len(), 1);
    assert_eq!(config.forget.patterns().len(), 3);
    assert_eq!(config.catalogue_entries.len(), 1);
    assert_eq!(config.audit.fail_paths.patterns().len(), 2);
}

#[test]
fn a_name_that_toml_cannot_hold_is_refused_with_the_hint() {
    let device = PathBuf::from(OsStr::from_bytes(b"/dev/\xff"));
    for (root, key, shown) in [
        (btrfs("/dev/vda", *b"\xffroot"), "live", "\\xffroot"),
        (btrfs(device, "r"), "device", "/dev/\\xff"),
    ] {
        assert_eq!(
            starter_text(&root).unwrap_err().to_string(),
            format!(
                "cannot write `{key}` into the configuration: `{shown}` is not UTF-8, as TOML \
                 must be\n  hint: give it a name in UTF-8, or reach it through a link that has one"
            )
        );
    }
}

proptest! {
    #[test]
    fn any_name_comes_back(device in "/[^\0]{0,40}", live in "[^\0/]{1,40}") {
        prop_assume!(TreeName::new(live.as_str()).is_ok() && !live.starts_with("old\nroots"));
        let root = btrfs(device, live);
        let text = starter_text(&root).unwrap();
        let config = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        prop_assert_eq!(config.root, root);
    }
}
