//! The example that most users start from, the page "Impermanence" of the NixOS wiki, means in TOML
//! what it means there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use blankroot::config::Config;
use blankroot::config::entry::EntryKind;
use blankroot::config::ownership::{Account, Mode};
use blankroot::persist::list::{self, KeepEntry};

const TOML: &str = include_str!("blankroot.toml");
/// What the page says, one entry a line: kind, destination, source.
const PAGE: &str = include_str!("expected.txt");

fn list() -> Vec<KeepEntry> {
    let config = Config::parse(Path::new("tests/wiki/blankroot.toml"), TOML.as_bytes());
    list::keep_list(&config.map_err(|error| error.to_string()).unwrap())
}

fn entry<'l>(list: &'l [KeepEntry], path: &str) -> &'l KeepEntry {
    list.iter().find(|entry| entry.path.to_string() == path).unwrap()
}

#[test]
fn every_entry_has_the_source_and_the_destination_that_the_page_says() {
    let line = |entry: &KeepEntry| {
        let kind = match entry.kind {
            EntryKind::Dir => "dir ",
            EntryKind::File => "file",
        };
        format!("{kind}  {}  {}", entry.path, entry.source())
    };
    let found: Vec<String> = list().iter().map(line).collect();
    assert_eq!(found, PAGE.lines().collect::<Vec<_>>());
    assert_eq!(found.len(), 6 + 2 + 4 + 2 + 18 + 57);
}

#[test]
fn owners_modes_and_settings_are_those_of_the_page() {
    let list = list();
    let colord = entry(&list, "/var/lib/colord");
    let name = Some(Account::Name("colord".to_string()));
    assert_eq!((&colord.owner.user, &colord.owner.group), (&name, &name));
    assert_eq!(colord.owner.mode.map(Mode::bits), Some(0o750));
    let key = entry(&list, "/etc/nix/id_rsa");
    assert_eq!((key.owner.mode, key.parent.mode.map(Mode::bits)), (None, Some(0o700)));
    for entry in &list {
        let in_home = entry.path.to_string().starts_with("/home/username/");
        assert_eq!(entry.home.as_ref().map(|home| home.user == "username").is_some(), in_home);
        assert_eq!(entry.hide_mounts, !in_home, "{}", entry.path);
    }
}
