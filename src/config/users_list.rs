//! A user's own file for `apply --user`: the grammar of `[[storage]]` with paths relative to the home,
//! without whatever only root could do. What it keeps comes to its place by symlinks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use dirfd::TreePath;
use toml::de::DeTable;

use crate::config::entry::{ListDefaults, PlacementMethod, parse_path};
use crate::config::pattern_list::PatternList;
use crate::config::reader::{ConfigError, PlacedText, Position, Problems, TableReader, quoted};
use crate::config::root_only_keys::{key_place_if_given, refuse_keys};
use crate::config::storage::{Storage, UserEntries, path_text, read_entries, read_storage_list};
use crate::config::{DEFAULT_FILE, parse_document, read_file, validate};
use crate::persist::list::{self, KeepEntry};

/// The parts of the system's configuration that a user's own file cannot have.
const SYSTEM_TABLES: &[&str] = &["root", "rollback", "forget", "catalogue"];
/// The keys of a storage that are about mounts or about other users.
const MOUNT_KEYS: &[&str] = &["hide_mounts", "allow_trash", "allow_other", "options", "users"];
/// Where a user's own file is unless the command line says otherwise: `blankroot.toml` in
/// `$XDG_CONFIG_HOME`, or in `.config` of the home where that says nothing.
pub(crate) fn default_file(home: &Path, xdg_config_home: Option<&OsStr>) -> PathBuf {
    // "All paths set in these environment variables must be absolute. If an implementation
    // encounters a relative path […] it should consider the path invalid and ignore it": the XDG
    // base directory specification.
    let set = xdg_config_home.map(Path::new).filter(|path| path.is_absolute());
    set.map_or_else(|| home.join(".config"), Path::to_path_buf).join("blankroot.toml")
}

/// Reads and checks the own `file` of `user`, whose home is `home`: the kept paths, sorted; each is a
/// symlink.
pub(crate) fn load_users_list(
    file: &Path,
    home: &TreePath,
    user: &str,
) -> Result<Vec<KeepEntry>, ConfigError> {
    let missing = "write one, or name it with `--config FILE`";
    let other = "make it readable, or name another file with `--config FILE`";
    parse_users_list(file, &read_file(file, missing, other)?.0, home, user)
}

/// The same from a text; `file` is only named in messages. All problems come back at once.
pub fn parse_users_list(
    file: &Path,
    text: &[u8],
    home: &TreePath,
    user: &str,
) -> Result<Vec<KeepEntry>, ConfigError> {
    let storages = parse_document(file, text, |table, problems| {
        Some(read_storages(table, home, user, problems))
    })?;
    let mut list = list::keep_list_of(&storages);
    for entry in &mut list {
        entry.how = Some(PlacementMethod::Symlink);
    }
    Ok(list)
}

fn read_storages(
    table: &DeTable<'_>,
    home: &TreePath,
    user: &str,
    problems: &mut Problems<'_>,
) -> Vec<Storage> {
    let mut top = TableReader::new("a user's own file", Position { line: 1, column: 1 }, table);
    for key in SYSTEM_TABLES {
        if let Some(place) = key_place_if_given(key, &mut top, problems) {
            let what = format!("[{key}] needs root, and this is a user's own file");
            problems.add(place, what, format!("remove it; its place is {DEFAULT_FILE}"));
        }
    }
    let storages = read_storage_list(&mut top, problems, |table, problems| {
        read_storage(table, home, user, problems)
    });
    top.finish(problems);
    validate::check_contradictions(&storages, &PatternList::default(), problems);
    storages
}

fn read_storage(
    mut table: TableReader<'_>,
    home: &TreePath,
    user: &str,
    problems: &mut Problems<'_>,
) -> Option<Storage> {
    refuse_keys(MOUNT_KEYS, &mut table, problems);
    let text = path_text(&mut table, "~/dotfiles", problems);
    let path = text.and_then(|text| read_path(text, home, problems));
    let enable = table.boolean("enable", problems).unwrap_or(true);
    let strip_prefix = table.boolean("strip_prefix", problems).unwrap_or_default();
    let lists = ListDefaults { home: Some(home), data: None, strip_prefix, own: true };
    let entries = read_entries(&mut table, lists, problems);
    let place = text.map_or(table.place, |text| text.place);
    table.finish(problems);
    let (name, data) = (user.to_string(), TreePath::root());
    Some(Storage {
        path: path?,
        enable,
        hide_mounts: false,
        allow_trash: false,
        allow_other: None,
        options: Vec::new(),
        entries: Vec::new(),
        users: vec![UserEntries { name, home: home.clone(), data, strip_prefix, entries }],
        place,
    })
}

/// The path of a storage: absolute, or below the home by `~/`.
fn read_path(
    PlacedText { text, place }: PlacedText<'_>,
    home: &TreePath,
    problems: &mut Problems<'_>,
) -> Option<TreePath> {
    let below_home = text.strip_prefix("~/");
    let checked = match parse_path(below_home.unwrap_or(text)) {
        Ok(_) if below_home.is_none() && !text.starts_with('/') => {
            Err(("is not an absolute path", "write it from `/` or from `~/` on".to_string()))
        }
        Ok(path) if path == TreePath::root() => {
            let why = if below_home.is_some() { "is the whole home" } else { "is the root itself" };
            Err((why, "write a directory below it".to_string()))
        }
        Ok(path) if below_home.is_some() => parse_path_below(home, &path),
        other => other,
    };
    checked
        .map_err(|(why, hint)| {
            problems.add(place, format!("the storage {} {why}", quoted(text)), hint);
        })
        .ok()
}

fn parse_path_below(home: &TreePath, path: &TreePath) -> Result<TreePath, (&'static str, String)> {
    TreePath::parse(&[home.as_bytes(), b"/", path.as_bytes()].concat())
        .map_err(|why| (why, String::new()))
}
