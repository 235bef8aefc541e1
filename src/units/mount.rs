//! The mount unit of one kept path.

use backends::TreePath;

use super::text::{UnitText, Value};
use super::way::{self, Way};
use super::{ADOPT, APPLY, HELD, PREPARE, Unit, name};
use crate::keep::KeepEntry;

/// The unit; the error says why there can be none.
///
/// `homes` are directories whose owners may put links where they like.
pub fn unit(
    entry: &KeepEntry,
    way: Way,
    homes: &[TreePath],
    origin: &Value,
) -> Result<Unit, String> {
    let target = path(&entry.path)?;
    let name = name::of_mount(&entry.path).map_err(|why| format!("its path {why}"))?;
    let source = path(&entry.source())?;
    let options =
        Value::new(&options(entry)).map_err(|why| format!("the list of its options {why}"))?;
    let described = path_for_people(entry)?;

    let text = UnitText::new(origin)
        .section("Unit")
        .value("Description", &described.after(&format!("Kept {}", entry.kind.word())))
        .value("SourcePath", origin)
        .set("DefaultDependencies", "no")
        .value("RequiresMountsFor", &path(&entry.storage)?.quoted())
        // Wanted, not required: it fails when one entry does, and the others are mounted still.
        .set("Wants", PREPARE)
        .set("After", &format!("local-fs-pre.target {PREPARE}"))
        // Both are named: an order that leads over a unit that failed does not hold at shutdown.
        .set("Before", &format!("{APPLY} {ADOPT} local-fs.target"));
    let text = until_shutdown(text, entry);
    let text = conditions(text, entry, way, homes)?
        .section("Mount")
        .value("What", &source)
        .value("Where", &target)
        .set("Type", "none")
        .value("Options", &options);
    Ok(Unit { name, text: text.finish() })
}

fn path(path: &TreePath) -> Result<Value, String> {
    Value::path(path).map_err(|why| format!("the path {path} {why}"))
}

fn path_for_people(entry: &KeepEntry) -> Result<Value, String> {
    Value::new(&entry.path.to_string()).map_err(|why| format!("its path {why}"))
}

/// What the initrd has mounted stays until the very end, as systemd keeps all its mounts.
fn until_shutdown(text: UnitText, entry: &KeepEntry) -> UnitText {
    if way::in_initrd(entry) {
        text
    } else {
        text.set("Conflicts", "umount.target").set("Before", "umount.target")
    }
}

/// Both sides must be there: systemd would make what is missing, as root's and open to everyone.
fn conditions(
    text: UnitText,
    entry: &KeepEntry,
    way: Way,
    homes: &[TreePath],
) -> Result<UnitText, String> {
    let mut text = text;
    let source = entry.source();
    for side in [&source, &entry.path] {
        text = text.value(way::condition(entry.kind), &path(side)?);
    }
    let mut links: Vec<TreePath> =
        users_data(entry, homes).iter().filter_map(|data| within(&entry.storage, data)).collect();
    links.extend(below_homes(&entry.path, homes));
    if way == Way::BindIfThere && !links.contains(&entry.path) {
        links.push(entry.path.clone());
    }
    for link in &links {
        text = text.unless("ConditionPathIsSymbolicLink", &path(link)?);
    }
    Ok(text.set("ConditionPathExists", &format!("!/{HELD}/%n")))
}

fn options(entry: &KeepEntry) -> String {
    let flags = [
        (entry.hide_mounts, "x-gvfs-hide"),
        (entry.allow_trash, "x-gvfs-trash"),
        (entry.notrim, "X-fstrim.notrim"),
        (way::in_initrd(entry), "x-initrd.mount"),
    ];
    let flags = flags.iter().filter(|(set, _)| *set).map(|(_, option)| *option);
    let own = entry.options.iter().map(String::as_str);
    std::iter::once("bind").chain(own).chain(flags).collect::<Vec<_>>().join(",")
}

/// The steps in storage that a user can replace: those below where the data of the home lies, or
/// all of them, where the entry's own lies elsewhere.
fn users_data(entry: &KeepEntry, homes: &[TreePath]) -> Vec<TreePath> {
    match &entry.home {
        None => below_homes(&entry.data, homes),
        Some(home) if entry.data.is_within(&home.data) => {
            below_homes(&entry.data, std::slice::from_ref(&home.data))
        }
        Some(_) => below_homes(&entry.data, &[TreePath::root()]),
    }
}

/// Every step from the innermost home that `path` lies in down to `path` itself.
fn below_homes(path: &TreePath, homes: &[TreePath]) -> Vec<TreePath> {
    let bytes = path.as_bytes();
    let home = homes.iter().filter(|home| path.is_within(home)).map(|home| home.as_bytes().len());
    let Some(start) = home.max() else { return Vec::new() };
    let slashes = bytes.iter().enumerate().filter(|&(at, &byte)| byte == b'/' && at > start);
    let ends = slashes.map(|(at, _)| at).chain((bytes.len() > start).then_some(bytes.len()));
    ends.filter_map(|end| TreePath::parse(&bytes[..end]).ok()).collect()
}

fn within(storage: &TreePath, data: &TreePath) -> Option<TreePath> {
    TreePath::parse(&[storage.as_bytes(), b"/", data.as_bytes()].concat()).ok()
}
