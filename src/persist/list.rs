//! The keep list as data: every kept path that is in force, merged over all storages and users.

use std::path::{Path, PathBuf};

use dirfd::TreePath;

use crate::catalogue::catalogue_entry::CatalogueEntry;
use crate::config::entry::{DeclaredEntry, EntryKind, PlacementMethod};
use crate::config::ownership::Ownership;
use crate::config::reader::Position;
use crate::config::storage::{Storage, UserEntries};
use crate::config::{Config, is_own_file};
use crate::persist::known_state;

/// One kept path, with the settings of its storage filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepEntry {
    /// Where it is on the machine.
    pub path: TreePath,
    /// A directory or a file.
    pub kind: EntryKind,
    /// The storage that holds its data, as seen on the machine.
    pub storage: TreePath,
    /// Where its data is, relative to the storage.
    pub data: TreePath,
    /// Whose home it is kept from, if it is a user's.
    pub home: Option<Home>,
    /// Its owner and mode, as far as declared. What is made in a home without a declared owner
    /// belongs to the user and the user's primary group.
    pub owner: Ownership,
    /// The same for parents that have to be made.
    pub parent: Ownership,
    /// What is known of its path.
    pub(crate) known: Option<&'static CatalogueEntry>,
    /// How the data comes to its place; `None` leaves the choice to `apply`.
    pub how: Option<PlacementMethod>,
    /// Make an empty target in storage where there is none.
    pub(crate) create: bool,
    /// Set up in the initrd already; `None` leaves it to the known early paths.
    pub(crate) in_initrd: Option<bool>,
    /// Keep `fstrim` from trimming the file system once more for this mount.
    pub(crate) notrim: bool,
    /// Hide the mount from file managers.
    pub hide_mounts: bool,
    /// Let file managers have a trash folder there.
    pub allow_trash: bool,
    /// Further mount options.
    pub options: Vec<String>,
    /// Where it was declared.
    pub(crate) place: Position,
}

/// A user's home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The user's name.
    pub user: String,
    /// Where it is on the machine.
    pub(crate) path: TreePath,
    /// The user's number, where that needs no lookup.
    pub(crate) uid: Option<u32>,
    /// The number of the primary group, where that needs no lookup.
    pub(crate) gid: Option<u32>,
    /// The directory that stands for it in the storage, relative to that; the root for the storage
    /// itself. What lies between it and an entry's data is the user's.
    pub(crate) data: TreePath,
}

impl KeepEntry {
    /// Where its data is on the machine, without a leading slash.
    pub fn source(&self) -> TreePath {
        let bytes = [self.storage.as_bytes(), b"/", self.data.as_bytes()].concat();
        // Both halves are clean paths, so that the whole is one.
        TreePath::parse(&bytes).unwrap_or_default()
    }
}

/// Every kept path that is in force, sorted by path; each path once.
pub fn keep_list(config: &Config) -> Vec<KeepEntry> {
    keep_list_of(&config.storages)
}

/// The same of some storages.
pub(crate) fn keep_list_of(storages: &[Storage]) -> Vec<KeepEntry> {
    let mut list: Vec<KeepEntry> = Vec::new();
    for storage in storages.iter().filter(|storage| storage.enable) {
        list.extend(
            enabled_entries(&storage.entries).map(|entry| resolve_settings(entry, storage, None)),
        );
        for user in &storage.users {
            list.extend(
                enabled_entries(&user.entries)
                    .map(|entry| resolve_settings(entry, storage, Some(user))),
            );
        }
    }
    list.sort_by(|a, b| a.path.cmp(&b.path));
    list
}

/// Where a storage has the configuration itself, if it is on the keep list and there already.
pub(crate) fn kept_configuration(config: &Config, root: &Path) -> Option<PathBuf> {
    let entry = keep_list(config).into_iter().find(|entry| is_own_file(&entry.path))?;
    let kept = root.join(entry.source().as_path());
    // Not there is not there, whatever the reason: then nothing but the first one is known.
    kept.symlink_metadata().is_ok_and(|kept| kept.is_file()).then_some(kept)
}

fn enabled_entries(entries: &[DeclaredEntry]) -> impl Iterator<Item = &DeclaredEntry> {
    entries.iter().filter(|entry| entry.enable)
}

fn resolve_settings(
    entry: &DeclaredEntry,
    storage: &Storage,
    user: Option<&UserEntries>,
) -> KeepEntry {
    let known = known_state::find_known_path(&entry.path, user.map(|user| &user.home));
    KeepEntry {
        path: entry.path.clone(),
        kind: entry.kind,
        storage: entry.storage.as_ref().map_or(&storage.path, |(path, _)| path).clone(),
        data: entry.data.clone(),
        home: user.map(|user| Home {
            user: user.name.clone(),
            path: user.home.clone(),
            uid: None,
            gid: None,
            data: user.data.clone(),
        }),
        owner: entry.owner.clone(),
        parent: entry.parent.clone(),
        // What a program renames over another is a file.
        known: known.filter(|known| entry.kind == EntryKind::File || !known.is_renamed_over()),
        how: entry.how,
        // An empty directory harms nobody; an empty file may be taken for a broken one.
        create: entry.create.unwrap_or(entry.kind == EntryKind::Dir),
        in_initrd: entry.in_initrd,
        notrim: entry.notrim,
        hide_mounts: entry.hide_mounts.unwrap_or(storage.hide_mounts),
        allow_trash: entry.allow_trash.unwrap_or(storage.allow_trash),
        options: storage.options.iter().chain(&entry.options).cloned().collect(),
        place: entry.place,
    }
}

#[cfg(test)]
pub(crate) mod fixture {

    use super::*;

    /// The list of a storage `/persist` whose lists, and more, are `text`.
    pub(crate) fn entries(text: &str) -> Vec<KeepEntry> {
        let text = format!("[root]\nbackend = \"tmpfs\"\n[[storage]]\npath = \"/persist\"\n{text}");
        keep_list(&Config::parse(Path::new("f"), text.as_bytes()).unwrap())
    }

    /// One directory.
    pub(crate) fn entry(text: &str) -> KeepEntry {
        entries(&format!("directories = [{text}]")).remove(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_keep_list(text: &str) -> Vec<KeepEntry> {
        let text = format!("[root]\nbackend = \"tmpfs\"\n{text}");
        keep_list(&Config::parse(Path::new("f"), text.as_bytes()).unwrap())
    }

    #[test]
    fn homes_are_resolved_and_prefixes_dropped_at_the_destination_alone() {
        let list = parse_keep_list(
            r#"
            [[storage]]
            path = "/persist"
            directories = ["/var/log", { path = "/a/b/c", strip_prefix = true }]
            [storage.users.alice]
            directories = [{ path = "Firefox/.mozilla", strip_prefix = true }, ".ssh"]
            [storage.users.root]
            files = [".netrc"]
            [storage.users.bob]
            home = "/srv/bob"
            strip_prefix = true
            files = ["x/y"]
            "#,
        );
        let shown: Vec<String> =
            list.iter().map(|entry| format!("{} <- {}", entry.path, entry.source())).collect();
        assert_eq!(
            shown,
            [
                "/b/c <- /persist/a/b/c",
                "/home/alice/.mozilla <- /persist/home/alice/Firefox/.mozilla",
                "/home/alice/.ssh <- /persist/home/alice/.ssh",
                "/root/.netrc <- /persist/root/.netrc",
                "/srv/bob/y <- /persist/srv/bob/x/y",
                "/var/log <- /persist/var/log",
            ]
        );
        assert_eq!(list[1].home.as_ref().unwrap().user, "alice");
    }

    #[test]
    fn what_is_not_enabled_is_not_on_the_list() {
        let list = parse_keep_list(
            r#"
            [[storage]]
            path = "/persist"
            hide_mounts = true
            files = [{ path = "/a", enable = false }, "/b", { path = "/c", hide_mounts = false }]
            [[storage]]
            path = "/other"
            enable = false
            files = ["/b"]
            "#,
        );
        let shown: Vec<_> =
            list.iter().map(|entry| (entry.path.to_string(), entry.hide_mounts)).collect();
        assert_eq!(shown, [("/b".to_string(), true), ("/c".to_string(), false)]);
    }
}
