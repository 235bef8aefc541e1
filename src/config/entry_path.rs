//! The path of an entry: checked, and resolved to where it is on the machine and in storage.

use backends::TreePath;

use super::entry::EntryKind;
use super::problem::{Problems, quoted};
use super::reader::Text;

/// Where the entries of one list lie and what they inherit.
pub(super) struct Base<'b> {
    pub(super) kind: EntryKind,
    /// The home that paths are relative to; `None` where they are absolute.
    pub(super) home: Option<&'b TreePath>,
    /// Drop the first component at the destination, unless the entry says otherwise.
    pub(super) strip_prefix: bool,
}

/// Where the entry is on the machine, and where in storage.
pub(super) fn resolve(
    Text { text, place }: Text<'_>,
    base: &Base<'_>,
    strip: bool,
    problems: &mut Problems<'_>,
) -> Option<(TreePath, TreePath)> {
    match resolved(text, base, strip) {
        Ok(both) => Some(both),
        Err((why, mend)) => {
            problems.add(place, format!("the path {} {why}", quoted(text)), mend);
            None
        }
    }
}

type Wrong = (&'static str, String);

fn resolved(text: &str, base: &Base<'_>, strip: bool) -> Result<(TreePath, TreePath), Wrong> {
    let own = parse_path(text)?;
    match base.home {
        None if !text.starts_with('/') => {
            return Err(("is not absolute", format!("write {}", quoted(&format!("/{text}")))));
        }
        Some(_) if text.starts_with('/') || text.starts_with('~') => {
            let mend = "write it as seen from there, such as \".ssh\"; other paths belong to the \
                        lists of [[storage]] itself";
            return Err(("is not relative to the user's home", mend.to_string()));
        }
        _ if own == TreePath::root() => {
            let (why, mend) = match base.home {
                None => ("is the root itself", "keep what is below it, by name"),
                Some(_) => ("is the whole home", "keep the home by its absolute path instead"),
            };
            return Err((why, mend.to_string()));
        }
        _ => {}
    }
    let below = if strip { without_first(&own)? } else { own.as_bytes() };
    Ok((join(base.home, below)?, join(base.home, own.as_bytes())?))
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

fn join(home: Option<&TreePath>, below: &[u8]) -> Result<TreePath, Wrong> {
    let home = home.map(TreePath::as_bytes).unwrap_or_default();
    TreePath::parse(&[home, b"/", below].concat()).map_err(|why| (why, String::new()))
}
