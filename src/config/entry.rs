//! One entry of `directories` or `files`: a kept path with its options, resolved to where it is on
//! the machine and in storage.

use backends::TreePath;
use toml::Spanned;
use toml::de::DeValue;

use super::account::Ownership;
use super::entry_path::{Base, read_path, resolve};
use super::own;
use super::problem::{Place, Problems, quoted};
use super::reader::{Reader, Text, type_words};

/// Whether a kept path is a directory with all that is in it, or one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// An entry of `directories`.
    Dir,
    /// An entry of `files`.
    File,
}

impl EntryKind {
    /// The word for it in all output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dir => "directory",
            Self::File => "file",
        }
    }

    /// The key of the list that holds such entries.
    pub fn list_key(self) -> &'static str {
        match self {
            Self::Dir => "directories",
            Self::File => "files",
        }
    }
}

/// How the data in storage comes to its place in live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A bind mount.
    Bind,
    /// A symbolic link.
    Symlink,
}

impl How {
    /// The word for it in a configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Symlink => "symlink",
        }
    }
}

/// One entry as it was declared; `None` where an option was not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is on the machine.
    pub path: TreePath,
    /// The storage that holds its data, where that is not the one that it is declared in.
    pub storage: Option<(TreePath, Place)>,
    /// Where its data is, relative to the storage.
    pub data: TreePath,
    /// A directory or a file.
    pub kind: EntryKind,
    /// `false` takes the entry out of force.
    pub enable: bool,
    /// Its own owner and mode.
    pub owner: Ownership,
    /// Owner and mode for parents that have to be made.
    pub parent: Ownership,
    /// How it comes to its place.
    pub how: Option<How>,
    /// Make an empty target in storage where there is none.
    pub create: Option<bool>,
    /// Set up in the initrd already.
    pub in_initrd: Option<bool>,
    /// Keep `fstrim` from trimming the file system once more for this mount.
    pub notrim: bool,
    /// Hide the mount from file managers.
    pub hide_mounts: Option<bool>,
    /// Let file managers have a trash folder there.
    pub allow_trash: Option<bool>,
    /// Further mount options, one a string.
    pub options: Vec<String>,
    /// Where it was declared.
    pub place: Place,
}

/// Reads `directories` or `files` of `table`.
pub(super) fn read_list(
    table: &mut Reader<'_>,
    base: &Base<'_>,
    problems: &mut Problems<'_>,
) -> Vec<Entry> {
    let list = table.list(base.kind.list_key(), problems);
    list.iter().filter_map(|value| read(value, base, problems)).collect()
}

fn read(
    value: &Spanned<DeValue<'_>>,
    base: &Base<'_>,
    problems: &mut Problems<'_>,
) -> Option<Entry> {
    let key = base.kind.list_key();
    let place = problems.place(&value.span());
    match value.get_ref() {
        DeValue::String(text) => {
            let (path, data) =
                resolve(Text { text, place }, None, base, base.lists.strip_prefix, problems)?;
            Some(Entry { place, ..plain(path, data, base.kind) })
        }
        DeValue::Table(table) => {
            let table = Reader::new(format!("an entry of `{key}`"), place, table);
            read_table(table, base, problems)
        }
        other => {
            let what = format!(
                "an entry of `{key}` must be a path or a table, but is {}",
                type_words(other)
            );
            problems.add(place, what, "write it as \"/path\" or { path = \"/path\", … }");
            None
        }
    }
}

fn plain(path: TreePath, data: TreePath, kind: EntryKind) -> Entry {
    Entry {
        path,
        storage: None,
        data,
        kind,
        enable: true,
        owner: Ownership::default(),
        parent: Ownership::default(),
        how: None,
        create: None,
        in_initrd: None,
        notrim: true,
        hide_mounts: None,
        allow_trash: None,
        options: Vec::new(),
        place: Place::default(),
    }
}

fn read_table(
    mut table: Reader<'_>,
    base: &Base<'_>,
    problems: &mut Problems<'_>,
) -> Option<Entry> {
    if base.lists.own {
        own::refuse_in_entry(&mut table, problems);
    }
    let given = table.key_place("path", problems).is_some();
    let path = table.string("path", problems);
    if !given {
        let what = format!("{} does not say its `path`", table.title);
        problems.add(table.place, what, "add `path = \"…\"`");
    }
    let strip = table.boolean("strip_prefix", problems);
    let data_given = table.key_place("data", problems);
    let data = table.string("data", problems);
    if let (Some(place), Some(true)) = (data_given, strip) {
        let what = "`data` and `strip_prefix` both say where the data is";
        problems.add(place, what, "remove one of the two");
    }
    let ways = [How::Bind, How::Symlink].map(|how| (how.word(), how));
    let entry = Entry {
        enable: table.boolean("enable", problems).unwrap_or(true),
        owner: Ownership::read(&mut table, problems),
        parent: table
            .table("parent", "`parent` of an entry", problems)
            .map(|parent| read_parent(parent, base, problems))
            .unwrap_or_default(),
        how: table.choice("how", &ways, problems),
        create: table.boolean("create", problems),
        in_initrd: table.boolean("in_initrd", problems),
        notrim: table.boolean("notrim", problems).unwrap_or(true),
        hide_mounts: table.boolean("hide_mounts", problems),
        allow_trash: table.boolean("allow_trash", problems),
        options: read_options(&mut table, problems),
        storage: table
            .string("storage", problems)
            .and_then(|text| Some((read_path(text, "the storage", problems)?, text.place))),
        place: path.map_or(table.place, |text| text.place),
        ..plain(TreePath::root(), TreePath::root(), base.kind)
    };
    if base.lists.own && entry.how == Some(How::Bind) {
        own::refuse_bind(table.key_place("how", problems), problems);
    }
    table.finish(problems);
    let strip = strip.unwrap_or(base.lists.strip_prefix);
    let (path, data) = resolve(path?, data, base, strip, problems)?;
    Some(Entry { path, data, ..entry })
}

fn read_parent(mut table: Reader<'_>, base: &Base<'_>, problems: &mut Problems<'_>) -> Ownership {
    if base.lists.own {
        own::refuse_owner(&mut table, problems);
    }
    let owner = Ownership::read(&mut table, problems);
    table.finish(problems);
    owner
}

/// Reads `options`: mount options, one a string.
pub(super) fn read_options(table: &mut Reader<'_>, problems: &mut Problems<'_>) -> Vec<String> {
    let mut options = Vec::new();
    for value in table.list("options", problems) {
        let place = problems.place(&value.span());
        match value.get_ref() {
            DeValue::String(text)
                if !text.is_empty() && !text.contains(|c: char| c == ',' || c.is_control()) =>
            {
                options.push(text.to_string());
            }
            DeValue::String(text) => problems.add(
                place,
                format!("{} is not one mount option", quoted(text)),
                "write one option a string: [\"noexec\", \"nosuid\"]",
            ),
            other => problems.add(
                place,
                format!("a mount option must be a string, but is {}", type_words(other)),
                "put quotes around it",
            ),
        }
    }
    options
}
