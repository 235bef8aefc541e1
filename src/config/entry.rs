//! One entry of `directories` or `files`: a kept path with its options, resolved to where it is on
//! the machine and in storage.

use dirfd::TreePath;
use toml::Spanned;
use toml::de::DeValue;

use crate::config::ownership::Ownership;
use crate::config::reader::{PlacedText, Position, Problems, TableReader, quoted, type_words};
use crate::config::root_only_keys;

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
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Dir => "directory",
            Self::File => "file",
        }
    }

    /// The key of the list that holds such entries.
    pub(crate) fn list_key(self) -> &'static str {
        match self {
            Self::Dir => "directories",
            Self::File => "files",
        }
    }
}

/// How the data in storage comes to its place in live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementMethod {
    /// A bind mount.
    Bind,
    /// A symbolic link.
    Symlink,
}

impl PlacementMethod {
    /// The word for it in a configuration.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Symlink => "symlink",
        }
    }
}

/// One entry as it was declared; `None` where an option was not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredEntry {
    /// Where it is on the machine.
    pub(crate) path: TreePath,
    /// The storage that holds its data, where that is not the one that it is declared in.
    pub(crate) storage: Option<(TreePath, Position)>,
    /// Where its data is, relative to the storage.
    pub(crate) data: TreePath,
    /// A directory or a file.
    pub(crate) kind: EntryKind,
    /// `false` takes the entry out of force.
    pub(crate) enable: bool,
    /// Its own owner and mode.
    pub(crate) owner: Ownership,
    /// Owner and mode for parents that have to be made.
    pub(crate) parent: Ownership,
    /// How it comes to its place.
    pub(crate) how: Option<PlacementMethod>,
    /// Make an empty target in storage where there is none.
    pub(crate) create: Option<bool>,
    /// Set up in the initrd already.
    pub(crate) in_initrd: Option<bool>,
    /// Keep `fstrim` from trimming the file system once more for this mount.
    pub(crate) notrim: bool,
    /// Hide the mount from file managers.
    pub(crate) hide_mounts: Option<bool>,
    /// Let file managers have a trash folder there.
    pub(crate) allow_trash: Option<bool>,
    /// Further mount options, one a string.
    pub(crate) options: Vec<String>,
    /// Where it was declared.
    pub place: Position,
}

/// Reads `directories` or `files` of `table`.
pub(crate) fn read_list(
    table: &mut TableReader<'_>,
    base: &ListContext<'_>,
    problems: &mut Problems<'_>,
) -> Vec<DeclaredEntry> {
    let list = table.list(base.kind.list_key(), problems);
    list.iter().filter_map(|value| read_entry(value, base, problems)).collect()
}

fn read_entry(
    value: &Spanned<DeValue<'_>>,
    base: &ListContext<'_>,
    problems: &mut Problems<'_>,
) -> Option<DeclaredEntry> {
    let key = base.kind.list_key();
    let place = problems.place(&value.span());
    match value.get_ref() {
        DeValue::String(text) => {
            let (path, data) = resolve_path(
                PlacedText { text, place },
                None,
                base,
                base.lists.strip_prefix,
                problems,
            )?;
            Some(DeclaredEntry { place, ..entry_without_options(path, data, base.kind) })
        }
        DeValue::Table(table) => {
            let table = TableReader::new(format!("an entry of `{key}`"), place, table);
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

fn entry_without_options(path: TreePath, data: TreePath, kind: EntryKind) -> DeclaredEntry {
    DeclaredEntry {
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
        place: Position::default(),
    }
}

fn read_table(
    mut table: TableReader<'_>,
    base: &ListContext<'_>,
    problems: &mut Problems<'_>,
) -> Option<DeclaredEntry> {
    if base.lists.own {
        root_only_keys::refuse_in_entry(&mut table, problems);
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
    let ways = [PlacementMethod::Bind, PlacementMethod::Symlink].map(|how| (how.word(), how));
    let entry = DeclaredEntry {
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
        ..entry_without_options(TreePath::root(), TreePath::root(), base.kind)
    };
    if base.lists.own && entry.how == Some(PlacementMethod::Bind) {
        root_only_keys::refuse_bind(table.key_place("how", problems), problems);
    }
    table.finish(problems);
    let strip = strip.unwrap_or(base.lists.strip_prefix);
    let (path, data) = resolve_path(path?, data, base, strip, problems)?;
    Some(DeclaredEntry { path, data, ..entry })
}

fn read_parent(
    mut table: TableReader<'_>,
    base: &ListContext<'_>,
    problems: &mut Problems<'_>,
) -> Ownership {
    if base.lists.own {
        root_only_keys::refuse_owner(&mut table, problems);
    }
    let owner = Ownership::read(&mut table, problems);
    table.finish(problems);
    owner
}

/// Reads `options`: mount options, one a string.
pub(crate) fn read_options(
    table: &mut TableReader<'_>,
    problems: &mut Problems<'_>,
) -> Vec<String> {
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

/// One list of entries.
pub(crate) struct ListContext<'b> {
    pub(crate) kind: EntryKind,
    pub(crate) lists: ListDefaults<'b>,
}

/// Where the entries of both lists of a table lie, and what they inherit.
#[derive(Clone, Copy, Default)]
pub(crate) struct ListDefaults<'b> {
    /// The home that paths are relative to; `None` where they are absolute.
    pub(crate) home: Option<&'b TreePath>,
    /// The directory in the storage that data is relative to; the storage itself for `None`.
    pub(crate) data: Option<&'b TreePath>,
    /// Drop the first component at the destination, unless the entry says otherwise.
    pub(crate) strip_prefix: bool,
    /// They stand in a user's own file, where nothing can need root.
    pub(crate) own: bool,
}

/// Where the entry is on the machine, and where in storage.
///
/// `data` says where in storage; without it the data lies there as the path does in its home or on
/// the machine.
pub(crate) fn resolve_path(
    PlacedText { text, place }: PlacedText<'_>,
    data: Option<PlacedText<'_>>,
    base: &ListContext<'_>,
    strip: bool,
    problems: &mut Problems<'_>,
) -> Option<(TreePath, TreePath)> {
    let data = data.map(|data| read_data(data, base, problems));
    // What says where its data is has nothing to drop.
    match resolve_text(text, &base.lists, strip && data.is_none()) {
        Ok((path, same)) => Some((path, data.unwrap_or(Some(same))?)),
        Err((why, hint)) => {
            problems.add(place, format!("the path {} {why}", quoted(text)), hint);
            None
        }
    }
}

/// Checks the `data` of an entry, which names something below the storage.
fn read_data(
    data: PlacedText<'_>,
    base: &ListContext<'_>,
    problems: &mut Problems<'_>,
) -> Option<TreePath> {
    let own = read_place(data, problems)?;
    if own == TreePath::root() {
        let hint = "name a file or directory below it, such as \"machine-id\"";
        problems.add(data.place, format!("the data {} is no entry's own", quoted(data.text)), hint);
        return None;
    }
    join_paths(base.lists.data, own.as_bytes()).ok()
}

/// Checks a place in a storage: relative to it, `.` for the storage itself.
pub(crate) fn read_place(
    PlacedText { text, place }: PlacedText<'_>,
    problems: &mut Problems<'_>,
) -> Option<TreePath> {
    let checked = match parse_path(text) {
        Ok(_) if text.is_empty() => {
            Err(("is empty", "write \".\" for the storage itself".to_string()))
        }
        Ok(_) if text.starts_with('/') || text.starts_with('~') => {
            let hint = "write it as seen from the storage, such as \"home/alice\", or \".\"";
            Err(("is not relative to the storage", hint.to_string()))
        }
        other => other,
    };
    checked
        .map_err(|(why, hint)| {
            problems.add(place, format!("the data {} {why}", quoted(text)), hint)
        })
        .ok()
}

type PathProblem = (&'static str, String);

fn resolve_text(
    text: &str,
    lists: &ListDefaults<'_>,
    strip: bool,
) -> Result<(TreePath, TreePath), PathProblem> {
    let own = parse_path(text)?;
    match lists.home {
        None if !text.starts_with('/') => {
            return Err(("is not absolute", format!("write {}", quoted(&format!("/{text}")))));
        }
        Some(_) if text.starts_with('/') || text.starts_with('~') => {
            let hint = if lists.own {
                "write it as seen from there, such as \".ssh\"; other paths are for root to keep, \
                 in /etc/blankroot.toml"
            } else {
                "write it as seen from there, such as \".ssh\"; other paths belong to the lists of \
                 [[storage]] itself"
            };
            return Err(("is not relative to the user's home", hint.to_string()));
        }
        _ if own == TreePath::root() => {
            let (why, hint) = match lists.home {
                None => ("is the root itself", "keep what is below it, by name"),
                Some(_) if lists.own => ("is the whole home", "keep what is below it, by name"),
                Some(_) => ("is the whole home", "keep the home by its absolute path instead"),
            };
            return Err((why, hint.to_string()));
        }
        _ => {}
    }
    let below = if strip { without_first(&own)? } else { own.as_bytes() };
    Ok((join_paths(lists.home, below)?, join_paths(lists.data, own.as_bytes())?))
}

/// Checks an absolute path of the machine that is not its root; `whose` is "the storage" or alike.
pub(crate) fn read_path(
    PlacedText { text, place }: PlacedText<'_>,
    whose: &str,
    problems: &mut Problems<'_>,
) -> Option<TreePath> {
    let checked = match parse_path(text) {
        Ok(_) if !text.starts_with('/') => {
            Err(("is not an absolute path", "write the whole path, from `/` on".to_string()))
        }
        Ok(path) if path == TreePath::root() => {
            Err(("is the root itself", "write a directory below it".to_string()))
        }
        other => other,
    };
    checked
        .map_err(|(why, hint)| problems.add(place, format!("{whose} {} {why}", quoted(text)), hint))
        .ok()
}

/// Checks a path as TOML spells it.
pub(crate) fn parse_path(text: &str) -> Result<TreePath, PathProblem> {
    let path = TreePath::parse(text.as_bytes())
        .map_err(|why| (why, "write the path without it".to_string()))?;
    if path.as_bytes().split(|&b| b == b'/').any(|part| part.len() > 255) {
        return Err(("has a component of more than 255 bytes", "no file can have it".to_string()));
    }
    // PATH_MAX counts the leading slash and the NUL at the end.
    if path.as_bytes().len() > 4094 {
        return Err(("is longer than 4095 bytes", "no file can have it".to_string()));
    }
    Ok(path)
}

fn without_first(path: &TreePath) -> Result<&[u8], PathProblem> {
    let bytes = path.as_bytes();
    match bytes.iter().position(|&b| b == b'/') {
        Some(at) => Ok(&bytes[at + 1..]),
        None => Err((
            "has nothing left when `strip_prefix` drops its first component",
            "add `strip_prefix = false` to the entry".to_string(),
        )),
    }
}

fn join_paths(dir: Option<&TreePath>, below: &[u8]) -> Result<TreePath, PathProblem> {
    let dir = dir.map(TreePath::as_bytes).unwrap_or_default();
    TreePath::parse(&[dir, b"/", below].concat()).map_err(|why| (why, String::new()))
}
