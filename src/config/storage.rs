//! `[[storage]]`: a directory that survives, and what is kept in it, for the system and for users.

use dirfd::TreePath;
use dirfd::path::Escaped;
use toml::de::DeValue;

use crate::config::entry::{
    DeclaredEntry, EntryKind, ListContext, ListDefaults, read_list, read_options, read_path,
    read_place,
};
use crate::config::ownership::check_name;
use crate::config::reader::{PlacedText, Position, Problems, TableReader, quoted, type_words};

/// One storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Where it is mounted.
    pub(crate) path: TreePath,
    /// `false` takes it and all its entries out of force.
    pub(crate) enable: bool,
    /// Hide its mounts from file managers.
    pub(crate) hide_mounts: bool,
    /// Let file managers have a trash folder in its mounts.
    pub(crate) allow_trash: bool,
    /// Accepted for those who come from FUSE mounts; with bind mounts it is always true.
    pub(crate) allow_other: Option<bool>,
    /// Mount options of all its entries, one a string.
    pub(crate) options: Vec<String>,
    /// Kept paths of the system.
    pub entries: Vec<DeclaredEntry>,
    /// Kept paths of users.
    pub users: Vec<UserEntries>,
    /// Where it was declared.
    pub place: Position,
}

impl Storage {
    /// The entries of the system and of all users, enabled or not.
    pub(crate) fn all_entries(&self) -> impl Iterator<Item = &DeclaredEntry> {
        self.entries.iter().chain(self.users.iter().flat_map(|user| &user.entries))
    }
}

/// What is kept of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntries {
    /// The user's name.
    pub(crate) name: String,
    /// The user's home.
    pub(crate) home: TreePath,
    /// The directory in the storage that stands for the home; the storage itself for the root.
    pub(crate) data: TreePath,
    /// Entries that do not say otherwise lose their first component at the destination.
    pub(crate) strip_prefix: bool,
    /// Kept paths, resolved to whole paths already.
    pub entries: Vec<DeclaredEntry>,
}

/// Reads all storages, each with `read`.
pub(crate) fn read_storage_list(
    root: &mut TableReader<'_>,
    problems: &mut Problems<'_>,
    read: impl Fn(TableReader<'_>, &mut Problems<'_>) -> Option<Storage>,
) -> Vec<Storage> {
    let tables = root.tables("storage", "a storage", problems);
    tables.into_iter().filter_map(|table| read(table, problems)).collect()
}

/// The `path` of a storage, which it must say.
pub(crate) fn path_text<'a>(
    table: &mut TableReader<'a>,
    example: &str,
    problems: &mut Problems<'_>,
) -> Option<PlacedText<'a>> {
    if table.key_place("path", problems).is_none() {
        let what = "[[storage]] does not say its `path`";
        problems.add(table.place, what, format!("add `path = \"{example}\"`"));
    }
    table.string("path", problems)
}

/// Reads one storage of the system's configuration.
pub(crate) fn read_storage(
    mut table: TableReader<'_>,
    problems: &mut Problems<'_>,
) -> Option<Storage> {
    let text = path_text(&mut table, "/persist", problems);
    let path = text.and_then(|text| read_path(text, "the storage", problems));
    let strip_prefix = table.boolean("strip_prefix", problems).unwrap_or_default();
    let storage = Storage {
        path: path.clone().unwrap_or_default(),
        enable: table.boolean("enable", problems).unwrap_or(true),
        hide_mounts: table.boolean("hide_mounts", problems).unwrap_or_default(),
        allow_trash: table.boolean("allow_trash", problems).unwrap_or_default(),
        allow_other: read_allow_other(&mut table, problems),
        options: read_options(&mut table, problems),
        // HM1's `removePrefixDirectory` is of homes: the storage's setting is for its users alone.
        entries: read_entries(&mut table, ListDefaults::default(), problems),
        users: read_users(&mut table, strip_prefix, problems),
        place: text.map_or(table.place, |text| text.place),
    };
    table.finish(problems);
    path.map(|_| storage)
}

/// FUSE shows its mounts to nobody else unless told so. A bind mount cannot hide that way, and a
/// wish that nothing fulfils is no setting.
fn read_allow_other(table: &mut TableReader<'_>, problems: &mut Problems<'_>) -> Option<bool> {
    let allow = table.boolean("allow_other", problems);
    if let (Some(false), Some(place)) = (allow, table.key_place("allow_other", problems)) {
        let what = "`allow_other` is always true: what is kept is bound, and only its mode decides \
                    who may look";
        problems.add(place, what, "remove it, and give what others must not see a `mode`");
    }
    allow
}

/// Reads `directories` and `files`.
pub(crate) fn read_entries(
    table: &mut TableReader<'_>,
    lists: ListDefaults<'_>,
    problems: &mut Problems<'_>,
) -> Vec<DeclaredEntry> {
    [EntryKind::Dir, EntryKind::File]
        .into_iter()
        .flat_map(|kind| read_list(table, &ListContext { kind, lists }, problems))
        .collect()
}

fn read_users(
    table: &mut TableReader<'_>,
    strip_prefix: bool,
    problems: &mut Problems<'_>,
) -> Vec<UserEntries> {
    let Some(users) = table.table("users", "`users` of [[storage]]", problems) else {
        return Vec::new();
    };
    let mut read = Vec::new();
    for (name, span, value) in users.entries() {
        let place = problems.place(&span);
        let title = format!("[storage.users.{}]", Escaped(name.as_bytes()));
        if let Err(why) = check_name(name) {
            let what = format!("the user {} {why}", quoted(name));
            problems.add(place, what, "write the user's name, as in [storage.users.alice]");
            continue;
        }
        match value.get_ref() {
            DeValue::Table(user) => {
                let user = TableReader::new(title, place, user);
                read.extend(read_user(name, user, strip_prefix, problems));
            }
            other => {
                let what = format!("{title} must be a table, but is {}", type_words(other));
                problems.add(place, what, format!("write `{title}` and its lists below it"));
            }
        }
    }
    read
}

fn read_user(
    name: &str,
    mut table: TableReader<'_>,
    strip_prefix: bool,
    problems: &mut Problems<'_>,
) -> Option<UserEntries> {
    let given = table.key_place("home", problems).is_some();
    let place = table.place;
    let home = match table.string("home", problems) {
        Some(text) => read_path(text, "the home", problems),
        None if given => None,
        None => {
            let home = if name == "root" { "/root".to_string() } else { format!("/home/{name}") };
            read_path(PlacedText { text: &home, place }, "the home", problems)
        }
    };
    let strip_prefix = table.boolean("strip_prefix", problems).unwrap_or(strip_prefix);
    let given = table.key_place("data", problems).is_some();
    let data = match table.string("data", problems) {
        Some(text) => read_place(text, problems),
        None if given => None,
        None => home.clone(),
    };
    // With an unknown home the entries still show their own problems.
    let fallback = TreePath::root();
    let both = [&home, &data].map(|dir| dir.as_ref().unwrap_or(&fallback));
    let lists = ListDefaults { home: Some(both[0]), data: Some(both[1]), strip_prefix, own: false };
    let entries = read_entries(&mut table, lists, problems);
    table.finish(problems);
    Some(UserEntries { name: name.to_string(), home: home?, data: data?, strip_prefix, entries })
}
