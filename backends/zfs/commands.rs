//! The room in which ZFS is asked and told: every `zfs` and `zpool` that is started, with what it prints
//! read by `output`, and the calls of the kernel that are quicker than those.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;

use dirfd::fault::change;
use dirfd::process::Program;
use dirfd::{Error, Result};

use crate::sys::zfs_ioctls::{Closed, Door};
use crate::zfs::dataset_name::ZfsName;
use crate::zfs::delegations;
use crate::zfs::output::{self, COLUMNS, POOL_COLUMNS, Pool, Row};

const ZFS: Program = Program::new("zfs", "zfsutils-linux");
const ZPOOL: Program = Program::new("zpool", "zfsutils-linux");

/// Bytes with which a full pool can be put right again.
const LEAST_RESERVE: u64 = 16 << 20;

/// A property and its value.
pub type Property = (String, Vec<u8>);

/// What a pool is that is imported.
pub fn pool(name: &str) -> Result<Pool> {
    let printed = ZPOOL.run(["list", "-Hp", "-o", POOL_COLUMNS, name]).map_err(|error| {
        if error.hint_text().is_some() {
            return error;
        }
        error.hint(format!("import the pool with `zpool import -N {name}`, or run it later"))
    })?;
    output::pool(&printed).map_err(|why| unreadable("zpool list", &why))
}

/// Writes out what is still in memory, so that what is asked for next is true of the disk.
pub fn sync(pool: &str) -> Result<()> {
    change_by(&ZPOOL, "zfs: sync pool", ["sync", pool])
}

/// Lists these, and what is directly below each: datasets, snapshots and bookmarks. Of those that are not
/// there, nothing is listed. `since` is what bytes written are counted from.
pub fn list_below(names: &[&ZfsName], since: &ZfsName) -> Result<Vec<Row>> {
    list(&["-d", "1", "-t", "filesystem,volume,snapshot,bookmark"], names, since)
}

/// Lists these alone, as far as they are there.
pub fn look(names: &[&ZfsName], since: &ZfsName) -> Result<Vec<Row>> {
    list(&["-t", "filesystem,volume,snapshot"], names, since)
}

/// The names of all snapshots and bookmarks of the datasets directly below `name`.
pub fn hanging_below(name: &ZfsName) -> Result<Vec<String>> {
    let args = ["list", "-H", "-o", "name", "-d", "2", "-t", "snapshot,bookmark", name.as_str()];
    let printed = ZFS.run_for_what_is_there(args, output::is_absence)?;
    output::names(&printed).map_err(|why| unreadable("zfs list", &why))
}

/// The identity of what has this name. The kernel tells it alone, where its answer is understood; `zfs list`
/// also asks for all clones of a snapshot, which takes the longer the more old roots there are.
pub fn guid(name: &ZfsName) -> Result<Option<u64>> {
    let Ok(door) = Door::open() else {
        return Ok(look(&[name], name)?.first().map(|row| row.guid));
    };
    match door.guid(name.as_str()) {
        Ok(guid) => Ok(Some(guid)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("ask ZFS for {name}"), error)),
    }
}

/// Whether something has this name.
pub fn is_there(name: &ZfsName) -> Result<bool> {
    Ok(guid(name)?.is_some())
}

fn list(what: &[&str], names: &[&ZfsName], since: &ZfsName) -> Result<Vec<Row>> {
    let columns = format!("{COLUMNS},written@{since}");
    let mut args = vec!["list", "-Hp", "-o", &columns];
    args.extend(what);
    args.extend(names.iter().map(|name| name.as_str()));
    let printed = ZFS.run_for_what_is_there(args, output::is_absence)?;
    output::rows(&printed).map_err(|why| unreadable("zfs list", &why))
}

/// The value of one property, whatever is in it.
pub fn value(property: &str, name: &ZfsName) -> Result<Vec<u8>> {
    let mut printed = ZFS.run(["get", "-Hp", "-o", "value", property, name.as_str()])?;
    if printed.last() == Some(&b'\n') {
        printed.pop();
    }
    Ok(printed)
}

/// Whether something keeps a dataset from taking all of its pool.
pub fn has_limit(name: &ZfsName) -> Result<bool> {
    let limits = ZFS.run(["get", "-Hp", "-o", "value", "quota,refquota", name.as_str()])?;
    Ok(output::numbers(&limits).any(|limit| limit > 0))
}

/// Whether a dataset of the pool holds room back that nothing is in; what a volume has is for itself.
pub fn has_reserve(pool: &str) -> Result<bool> {
    let what = ["list", "-Hp", "-t", "filesystem", "-o", "usedbyrefreservation", "-r", pool];
    Ok(output::numbers(&ZFS.run(what)?).any(|bytes| bytes >= LEAST_RESERVE))
}

/// The properties that were set on `name` itself, or received with it.
pub fn own_properties(name: &ZfsName) -> Result<Vec<Property>> {
    let get = |what: &[&str]| ZFS.run(["get", "-Hp"].iter().chain(what).chain([&name.as_str()]));
    let sources = get(&["-o", "property,source", "all"])?;
    let set = output::set(&sources).map_err(|why| unreadable("zfs get", &why))?;
    let own = get(&["-s", "local,received", "-o", "property,value", "all"])?;
    let values = match output::values(&own, &set.own) {
        Some(values) => values,
        None => set.own.iter().map(|property| value(property, name)).collect::<Result<_>>()?,
    };
    let mut properties: Vec<Property> = set.own.into_iter().zip(values).collect();
    if !set.quotas.is_empty() {
        let limits = get(&["-o", "property,value", &set.quotas.join(",")])?;
        let limits = output::values(&limits, &set.quotas)
            .ok_or_else(|| unreadable("zfs get", "a limit has no number"))?;
        let limits = set.quotas.into_iter().zip(limits);
        properties.extend(limits.filter(|(_, limit)| limit != b"0"));
    }
    Ok(properties)
}

/// Snapshots, if the name is free.
pub fn snapshot(name: &ZfsName) -> Result<()> {
    change_by(&ZFS, "zfs: snapshot", ["snapshot", name.as_str()])
}

/// Makes a dataset and those above it, which nothing mounts by itself, no boot menu offers, and which can be
/// written to, whatever those above it are.
pub fn create(name: &ZfsName) -> Result<()> {
    let own = ["mountpoint=legacy", "sync=standard", "readonly=off", "org.zfsbootmenu:active=off"];
    let args = ["create", "-pu"].into_iter().chain(own.into_iter().flat_map(|own| ["-o", own]));
    change_by(&ZFS, "zfs: create", args.into_iter().chain([name.as_str()]))
}

/// Clones a snapshot with properties of its own.
pub fn clone(snapshot: &ZfsName, name: &ZfsName, properties: &[Property]) -> Result<()> {
    let mut args: Vec<OsString> = vec!["clone".into()];
    for property in properties {
        args.extend(["-o".into(), assignment(property)]);
    }
    args.extend([snapshot.as_str().into(), name.as_str().into()]);
    change_by(&ZFS, "zfs: clone", args)
}

/// Gives a dataset another name; nothing is unmounted or mounted. The program looks at every clone of its
/// snapshots first, which takes the longer the more old roots there are: the kernel is asked where its call is
/// known.
pub fn rename(point: &'static str, from: &ZfsName, to: &ZfsName) -> Result<()> {
    let Ok(door) = Door::open() else {
        return change_by(&ZFS, point, ["rename", "-u", from.as_str(), to.as_str()]);
    };
    change(point, || door.rename(from.as_str(), to.as_str()))
        .map_err(|why| Error::io(format!("rename {from} to {to}"), why))
}

/// The delegations of a dataset itself, packed by the kernel, if it has any; none where the release of ZFS is not
/// known.
pub fn delegations(name: &ZfsName) -> Result<Option<Vec<u8>>> {
    let action = || format!("ask for the delegations of {name}");
    let door = match Door::open() {
        Ok(door) => door,
        Err(Closed::Unknown(_)) => return Ok(None),
        Err(Closed::Failed(why)) => return Err(Error::io(action(), why)),
    };
    let packed = door.delegations(name.as_str()).map_err(|why| Error::io(action(), why))?;
    delegations::cut_out(&packed, name.as_str()).map_err(|why| Error::new(action(), why))
}

/// Delegates the same on another dataset.
pub fn delegate(name: &ZfsName, packed: &[u8]) -> Result<()> {
    let failed = |why| {
        let error = Error::io(format!("delegate on {name} what is delegated on live"), why);
        error.hint("look at `zfs allow` of live: an older release of ZFS does not know all that a newer one allows")
    };
    let door = Door::open().map_err(|_| failed(ErrorKind::NotFound.into()))?;
    change("zfs: delegate", || door.delegate(name.as_str(), packed)).map_err(failed)
}

/// Gives a snapshot another name in its dataset.
pub fn rename_snapshot(from: &ZfsName, to: &ZfsName) -> Result<()> {
    change_by(&ZFS, "zfs: name snapshot", ["rename", from.as_str(), to.as_str()])
}

/// Makes a clone the dataset that its origin is a snapshot of.
pub fn promote(name: &ZfsName) -> Result<()> {
    change_by(&ZFS, "zfs: promote", ["promote", name.as_str()])
}

/// Sets properties, all in one.
pub fn set(name: &ZfsName, properties: &[Property]) -> Result<()> {
    let args = properties.iter().map(assignment);
    let args = ["set".into()].into_iter().chain(args).chain([name.as_str().into()]);
    change_by(&ZFS, "zfs: set", args.collect::<Vec<OsString>>())
}

/// What the pool boots where nothing else is asked for.
pub fn set_bootfs(name: &ZfsName) -> Result<()> {
    change_by(&ZPOOL, "zfs: set bootfs", ["set", &format!("bootfs={name}"), name.pool()])
}

/// Takes a property of its own from a dataset.
pub fn inherit(property: &str, name: &ZfsName) -> Result<()> {
    change_by(&ZFS, "zfs: inherit", ["inherit", property, name.as_str()])
}

/// Runs a channel program (zfs-program(8)): all of it in one transaction, or nothing. The text that it
/// returns is why it did nothing.
pub fn program(point: &'static str, text: &str, name: &ZfsName, args: &[&str]) -> Result<()> {
    let command = ["program", "-j", name.pool(), "-", name.as_str()];
    let command = command.into_iter().chain(args.iter().copied());
    let run = || ZFS.run_with_input(command, text.as_bytes());
    let printed = changed(point, run)?;
    match output::answer(&printed).map_err(|why| unreadable("zfs program", &why))? {
        None => Ok(()),
        Some(why) => Err(Error::new(format!("change {name}"), why)),
    }
}

fn assignment((name, value): &Property) -> OsString {
    OsString::from_vec([name.as_bytes(), b"=", value].concat())
}

fn change_by<S: AsRef<std::ffi::OsStr>>(
    program: &Program,
    point: &'static str,
    args: impl IntoIterator<Item = S>,
) -> Result<()> {
    changed(point, || program.run(args)).map(drop)
}

fn changed<T>(point: &'static str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    change(point, || Ok(run())).map_err(|e| Error::io(point, e))?
}

fn unreadable(what: &str, why: &str) -> Error {
    Error::new(format!("understand what `{what}` printed"), why)
        .hint("look whether this release of ZFS is one that blankroot knows; report it if it is")
}
