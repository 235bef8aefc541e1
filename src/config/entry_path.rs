//! The path of an entry: checked, and resolved to where it is on the machine and in storage.

use backends::TreePath;

use super::entry::EntryKind;
use super::problem::{Problems, quoted};
use super::reader::Text;

/// One list of entries.
pub(super) struct Base<'b> {
    pub(super) kind: EntryKind,
    pub(super) lists: Lists<'b>,
}

/// Where the entries of both lists of a table lie, and what they inherit.
#[derive(Clone, Copy, Default)]
pub(super) struct Lists<'b> {
    /// The home that paths are relative to; `None` where they are absolute.
    pub(super) home: Option<&'b TreePath>,
    /// The directory in the storage that data is relative to; the storage itself for `None`.
    pub(super) data: Option<&'b TreePath>,
    /// Drop the first component at the destination, unless the entry says otherwise.
    pub(super) strip_prefix: bool,
    /// They stand in a user's own file, where nothing can need root.
    pub(super) own: bool,
}

/// Where the entry is on the machine, and where in storage.
///
/// `data` says where in storage; without it the data lies there as the path does in its home or on
/// the machine.
pub(super) fn resolve(
    Text { text, place }: Text<'_>,
    data: Option<Text<'_>>,
    base: &Base<'_>,
    strip: bool,
    problems: &mut Problems<'_>,
) -> Option<(TreePath, TreePath)> {
    let data = data.map(|data| read_data(data, base, problems));
    // What says where its data is has nothing to drop.
    match resolved(text, &base.lists, strip && data.is_none()) {
        Ok((path, same)) => Some((path, data.unwrap_or(Some(same))?)),
        Err((why, mend)) => {
            problems.add(place, format!("the path {} {why}", quoted(text)), mend);
            None
        }
    }
}

/// Checks the `data` of an entry, which names something below the storage.
fn read_data(data: Text<'_>, base: &Base<'_>, problems: &mut Problems<'_>) -> Option<TreePath> {
    let own = read_place(data, problems)?;
    if own == TreePath::root() {
        let mend = "name a file or directory below it, such as \"machine-id\"";
        problems.add(data.place, format!("the data {} is no entry's own", quoted(data.text)), mend);
        return None;
    }
    join(base.lists.data, own.as_bytes()).ok()
}

/// Checks a place in a storage: relative to it, `.` for the storage itself.
pub(super) fn read_place(
    Text { text, place }: Text<'_>,
    problems: &mut Problems<'_>,
) -> Option<TreePath> {
    let checked = match parse_path(text) {
        Ok(_) if text.is_empty() => {
            Err(("is empty", "write \".\" for the storage itself".to_string()))
        }
        Ok(_) if text.starts_with('/') || text.starts_with('~') => {
            let mend = "write it as seen from the storage, such as \"home/alice\", or \".\"";
            Err(("is not relative to the storage", mend.to_string()))
        }
        other => other,
    };
    checked
        .map_err(|(why, mend)| {
            problems.add(place, format!("the data {} {why}", quoted(text)), mend)
        })
        .ok()
}

type Wrong = (&'static str, String);

fn resolved(text: &str, lists: &Lists<'_>, strip: bool) -> Result<(TreePath, TreePath), Wrong> {
    let own = parse_path(text)?;
    match lists.home {
        None if !text.starts_with('/') => {
            return Err(("is not absolute", format!("write {}", quoted(&format!("/{text}")))));
        }
        Some(_) if text.starts_with('/') || text.starts_with('~') => {
            let mend = if lists.own {
                "write it as seen from there, such as \".ssh\"; other paths are for root to keep, \
                 in /etc/blankroot.toml"
            } else {
                "write it as seen from there, such as \".ssh\"; other paths belong to the lists of \
                 [[storage]] itself"
            };
            return Err(("is not relative to the user's home", mend.to_string()));
        }
        _ if own == TreePath::root() => {
            let (why, mend) = match lists.home {
                None => ("is the root itself", "keep what is below it, by name"),
                Some(_) if lists.own => ("is the whole home", "keep what is below it, by name"),
                Some(_) => ("is the whole home", "keep the home by its absolute path instead"),
            };
            return Err((why, mend.to_string()));
        }
        _ => {}
    }
    let below = if strip { without_first(&own)? } else { own.as_bytes() };
    Ok((join(lists.home, below)?, join(lists.data, own.as_bytes())?))
}

/// Checks an absolute path of the machine that is not its root; `whose` is "the storage" or alike.
pub(super) fn read_path(
    Text { text, place }: Text<'_>,
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
        .map_err(|(why, mend)| problems.add(place, format!("{whose} {} {why}", quoted(text)), mend))
        .ok()
}

/// Checks a path as TOML spells it.
pub(super) fn parse_path(text: &str) -> Result<TreePath, Wrong> {
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

fn without_first(path: &TreePath) -> Result<&[u8], Wrong> {
    let bytes = path.as_bytes();
    match bytes.iter().position(|&b| b == b'/') {
        Some(at) => Ok(&bytes[at + 1..]),
        None => Err((
            "has nothing left when `strip_prefix` drops its first component",
            "add `strip_prefix = false` to the entry".to_string(),
        )),
    }
}

fn join(dir: Option<&TreePath>, below: &[u8]) -> Result<TreePath, Wrong> {
    let dir = dir.map(TreePath::as_bytes).unwrap_or_default();
    TreePath::parse(&[dir, b"/", below].concat()).map_err(|why| (why, String::new()))
}
