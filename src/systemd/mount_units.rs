//! The mount unit of one kept path.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use dirfd::fault::change;
use dirfd::{Error, Result, TreePath};
use rustix::fs::{self, AtFlags, Mode, OFlags};

use crate::config::entry::{EntryKind, PlacementMethod};
use crate::host::{HostRoot, is_not_found};
use crate::persist::list::KeepEntry;
use crate::systemd::unit_file::{self, UnitText, Value};
use crate::systemd::unit_set::{ADOPT, APPLY, HELD, LINKED, PREPARE, Unit};

/// The unit; the error says why there can be none.
///
/// `how` is what was said of its placement, which is not a link: what its data is cannot be looked at, since its
/// storage may not be mounted yet. `homes` are directories whose owners may put links where they like.
pub(crate) fn mount_unit(
    entry: &KeepEntry,
    how: Option<PlacementMethod>,
    homes: &[TreePath],
    origin: &Value,
) -> Result<Unit, String> {
    let target = mount_path(&entry.path)?;
    let name = unit_file::of_mount(&entry.path).map_err(|why| format!("its path {why}"))?;
    let source = mount_path(&entry.source())?;
    let options = Value::new(&mount_options_text(entry))
        .map_err(|why| format!("the list of its options {why}"))?;
    let described = path_for_people(entry)?;

    let text = UnitText::new(origin)
        .section("Unit")
        .value("Description", &described.after(&format!("Kept {}", entry.kind.word())))
        .value("SourcePath", origin)
        .set("DefaultDependencies", "no")
        .value("RequiresMountsFor", &mount_path(&entry.storage)?.quoted())
        // Wanted, not required: it fails when one entry does, and the others are mounted still.
        .set("Wants", PREPARE)
        .set("After", &format!("local-fs-pre.target {PREPARE}"))
        // Both are named: an order that leads over a unit that failed does not hold at shutdown.
        .set("Before", &format!("{APPLY} {ADOPT} local-fs.target"));
    let text = until_shutdown(text, entry);
    let text = with_conditions(text, entry, how, homes)?
        .section("Mount")
        .value("What", &source)
        .value("Where", &target)
        .set("Type", "none")
        .value("Options", &options);
    Ok(Unit { name, text: text.finish() })
}

fn mount_path(path: &TreePath) -> Result<Value, String> {
    Value::path(path).map_err(|why| format!("the path {path} {why}"))
}

fn path_for_people(entry: &KeepEntry) -> Result<Value, String> {
    Value::new(&entry.path.to_string()).map_err(|why| format!("its path {why}"))
}

/// What the initrd has mounted stays until the very end, as systemd keeps all its mounts.
fn until_shutdown(text: UnitText, entry: &KeepEntry) -> UnitText {
    if entry.is_set_up_in_initrd() {
        text
    } else {
        text.set("Conflicts", "umount.target").set("Before", "umount.target")
    }
}

/// Both sides must be there: systemd would make what is missing, as root's and open to everyone.
fn with_conditions(
    text: UnitText,
    entry: &KeepEntry,
    how: Option<PlacementMethod>,
    homes: &[TreePath],
) -> Result<UnitText, String> {
    let mut text = text;
    let source = entry.source();
    for side in [&source, &entry.path] {
        text = text.value(condition_for(entry.kind), &mount_path(side)?);
    }
    let mut links: Vec<TreePath> = users_data(entry, homes)
        .iter()
        .filter_map(|data| path_within(&entry.storage, data))
        .collect();
    links.extend(below_homes(&entry.path, homes));
    // Where nothing was said, and its data is a file that is linked already.
    if how.is_none() && !links.contains(&entry.path) {
        links.push(entry.path.clone());
    }
    for link in &links {
        text = text.unless("ConditionPathIsSymbolicLink", &mount_path(link)?);
    }
    Ok(text.set("ConditionPathExists", &format!("!/{HELD}/%n")))
}

fn mount_options_text(entry: &KeepEntry) -> String {
    let flags = [
        (entry.hide_mounts, "x-gvfs-hide"),
        (entry.allow_trash, "x-gvfs-trash"),
        (entry.notrim, "X-fstrim.notrim"),
        (entry.is_set_up_in_initrd(), "x-initrd.mount"),
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

fn path_within(storage: &TreePath, data: &TreePath) -> Option<TreePath> {
    TreePath::parse(&[storage.as_bytes(), b"/", data.as_bytes()].concat()).ok()
}

// Which mounts are held back: a target with data that nothing else has must not be covered, and
// `apply` is what finds it, before the mount units start.

/// Holds the mounts on these paths back, and no others, until the next call or the next boot.
pub(crate) fn hold_back_mounts<'p>(
    host: &HostRoot,
    paths: impl IntoIterator<Item = &'p TreePath>,
) -> Result<()> {
    // A path without a unit has nothing to hold back.
    let names = paths.into_iter().filter_map(|path| unit_file::of_mount(path).ok());
    let wanted: BTreeSet<OsString> = names.map(OsString::from).collect();
    update_held(host, &wanted).map_err(|e| Error::io(format!("hold mounts back in /{HELD}"), e))
}

/// Notes that this boot has linked these paths, until the next boot.
pub(crate) fn add_linked<'p>(
    host: &HostRoot,
    paths: impl IntoIterator<Item = &'p TreePath>,
) -> Result<()> {
    let noted = || {
        let there = list_names(host, LINKED)?;
        let new = paths.into_iter().filter_map(|path| unit_file::of_mount(path).ok());
        let new: Vec<_> = new.map(OsString::from).filter(|name| !there.contains(name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let dir = host.make_dirs(LINKED)?;
        new.iter().try_for_each(|name| write_held(dir.as_fd(), name))
    };
    noted().map_err(|e| Error::io(format!("note links in /{LINKED}"), e))
}

/// Those of these paths of which that is noted.
pub(crate) fn noted_links<'p>(
    host: &HostRoot,
    paths: impl IntoIterator<Item = &'p TreePath>,
) -> Result<BTreeSet<TreePath>> {
    let there =
        list_names(host, LINKED).map_err(|e| Error::io(format!("look into /{LINKED}"), e))?;
    let is_there = |path: &&TreePath| {
        unit_file::of_mount(path).is_ok_and(|name| there.contains(OsStr::new(&name)))
    };
    Ok(paths.into_iter().filter(is_there).cloned().collect())
}

fn list_names(host: &HostRoot, dir: &str) -> io::Result<BTreeSet<OsString>> {
    match host.names(dir) {
        Ok(names) => Ok(names.into_iter().collect()),
        Err(error) if is_not_found(&error) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

fn update_held(host: &HostRoot, wanted: &BTreeSet<OsString>) -> io::Result<()> {
    let there = list_names(host, HELD)?;
    if there == *wanted {
        return Ok(());
    }
    let dir = host.make_dirs(HELD)?;
    wanted.difference(&there).try_for_each(|name| write_held(dir.as_fd(), name))?;
    there.difference(wanted).try_for_each(|name| {
        change("units: let go", || Ok(fs::unlinkat(&dir, name.as_os_str(), AtFlags::empty())?))
    })
}

fn write_held(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    change("units: hold", || Ok(fs::openat(dir, name, flags, mode).map(drop)?))
}

/// The condition that finds data of this kind.
pub(crate) fn condition_for(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Dir => "ConditionPathIsDirectory",
        EntryKind::File => "ConditionPathExists",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_call_says_what_is_held_back() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostRoot::open(dir.path()).unwrap();
        hold_back_mounts(&host, []).unwrap();
        assert!(!host.has("run").unwrap(), "nothing to hold back, nothing made");
        let paths = ["/var/log", "/a b", "/srv"].map(|path| TreePath::parse(path.as_bytes()));
        let [log, odd, srv] = paths.map(Result::unwrap);
        hold_back_mounts(&host, [&log, &odd]).unwrap();
        assert_eq!(host.names(HELD).unwrap(), ["a\\x20b.mount", "var-log.mount"]);
        hold_back_mounts(&host, [&log, &srv]).unwrap();
        assert_eq!(host.names(HELD).unwrap(), ["srv.mount", "var-log.mount"]);
        hold_back_mounts(&host, []).unwrap();
        assert!(host.names(HELD).unwrap().is_empty());
        // Of links it is noted until the next boot.
        assert!(noted_links(&host, [&log]).unwrap().is_empty());
        add_linked(&host, [&odd]).unwrap();
        add_linked(&host, [&log]).unwrap();
        assert_eq!(noted_links(&host, [&log, &odd, &srv]).unwrap(), BTreeSet::from([log, odd]));
    }
}
