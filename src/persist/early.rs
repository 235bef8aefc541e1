//! `apply --in-initrd`: mounts the storages of early kept paths below the root that is about to start,
//! which takes them over, and then puts the paths in their places.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use dirfd::cause::Cause;
use dirfd::path::Escaped;
use dirfd::stat::of_open;
use dirfd::{Error, Result, TreePath};
use rustix::fs::OFlags;

use crate::boot::fstab;
use crate::cli::arguments::{Apply, Cli};
use crate::cli::invocation::{Failure, load_config};
use crate::host::{Machine, is_not_found};
use crate::persist::early_plan::{
    EarlyPlan, MountPointState, MountSource, StorageMount, early_entries, plan_early,
};
use crate::persist::list::{self, KeepEntry};
use crate::persist::mounting::{self, NewFileSystem};
use crate::persist::persistence::{INCOMPLETE, Persistence, exit_code, open_backend, put_in_force};
use crate::ui;

pub(crate) fn run(cli: &Cli, args: &Apply) -> Result<ExitCode, Failure> {
    // The root's own may be in a storage that is not there yet, and need not be newer.
    let config = load_config(cli, &args.host.host)?;
    let list = early_entries(&list::keep_list(&config));
    let machine = Machine::open(&args.root.root)?;
    let plan = plan_storage_mounts(&machine, &list)?;
    plan.refusals.iter().for_each(ui::report_problem);
    let (complete, list) = if args.dry_run {
        print_planned(&plan, list)?
    } else {
        mount_planned(&plan, &machine, args, list)?
    };
    if list.is_empty() {
        if complete && plan.mounts.is_empty() {
            writeln!(io::stdout(), "nothing to do: no kept path has to be there so early")?;
        }
        return Ok(ExitCode::from(if complete { 0 } else { INCOMPLETE }));
    }
    // Nothing that programs read of mounts is written here: they have other paths in the initrd, and
    // the system's own run tells of them.
    let open = || open_backend(&config, &args.root.root);
    let mut persistence = Persistence::new(&machine, &list, open)?;
    let (plan, done) = put_in_force(&mut persistence, args)?;
    Ok(if complete { exit_code(&plan, done.as_ref()) } else { ExitCode::from(INCOMPLETE) })
}

/// Mounts, and returns whether all of it worked, and the entries whose storages are there.
fn mount_planned(
    plan: &EarlyPlan,
    machine: &Machine,
    args: &Apply,
    list: Vec<KeepEntry>,
) -> Result<(bool, Vec<KeepEntry>), Failure> {
    let mounted = mount_storages_of_plan(machine, &args.host.host, plan);
    let mut out = io::stdout().lock();
    for new in &mounted.done {
        writeln!(out, "done: {new}")?;
    }
    out.flush()?;
    mounted.failed.iter().for_each(ui::report_problem);
    let (lost, rest) = split_by_storage(list, &mounted.missing);
    for (entry, missing) in lost {
        ui::report_problem(format_args!("not tried, because of {missing}: keep {}", entry.path));
    }
    Ok((mounted.missing.is_empty(), rest))
}

/// What lies in a mount to come is not there to be looked at.
fn print_planned(
    plan: &EarlyPlan,
    list: Vec<KeepEntry>,
) -> Result<(bool, Vec<KeepEntry>), Failure> {
    let missing = plan.refusals.iter().map(|refusal| &refusal.point);
    let places: Vec<&TreePath> =
        plan.mounts.iter().map(|mount| &mount.point).chain(missing).collect();
    let (later, now) = split_by_storage(list, &places);
    let mut out = io::stdout().lock();
    write!(out, "{plan}")?;
    for (entry, place) in later {
        writeln!(out, "then, with {place} in place: keep {}", entry.path)?;
    }
    out.flush()?;
    Ok((plan.refusals.is_empty(), now))
}

/// What became of the mounts of storages.
#[derive(Debug, Default)]
pub(crate) struct EarlyMountOutcome<'p> {
    /// What was mounted.
    pub(crate) done: Vec<&'p StorageMount>,
    /// What could not be, and why.
    pub(crate) failed: Vec<Error>,
    /// Where something that was needed is missing, by refusal, failure or since a parent is.
    pub(crate) missing: Vec<&'p TreePath>,
}

/// Plans the mounts that the storages of `list` need, as the machine's fstab has them.
pub(crate) fn plan_storage_mounts(machine: &Machine, list: &[KeepEntry]) -> Result<EarlyPlan> {
    let text = fstab::read_fstab(machine.root().as_fd())
        .map_err(|e| Error::io("read etc/fstab of the root", e))?;
    Ok(plan_early(list, &fstab::parse_entries(&text), |point| probe_mount_point(machine, point)))
}

/// Mounts them. Devices are found below `host`.
pub(crate) fn mount_storages_of_plan<'p>(
    machine: &Machine,
    host: &Path,
    plan: &'p EarlyPlan,
) -> EarlyMountOutcome<'p> {
    let mut mounted = EarlyMountOutcome::default();
    mounted.missing.extend(plan.refusals.iter().map(|refusal| &refusal.point));
    for new in &plan.mounts {
        if mounted.missing.iter().any(|missing| new.point.is_within(missing)) {
            continue;
        }
        match mount_storage(machine, host, new) {
            Ok(()) => mounted.done.push(new),
            Err(error) => {
                mounted.failed.push(error);
                mounted.missing.push(&new.point);
            }
        }
    }
    mounted
}

/// Parts a list into what these places matter to, and the rest.
pub(crate) fn split_by_storage<'p>(
    list: Vec<KeepEntry>,
    places: &[&'p TreePath],
) -> (Vec<(KeepEntry, &'p TreePath)>, Vec<KeepEntry>) {
    let (mut there, mut rest) = (Vec::new(), Vec::new());
    for entry in list {
        match places.iter().find(|place| entry.storage.is_within(place)) {
            Some(place) => there.push((entry, *place)),
            None => rest.push(entry),
        }
    }
    (there, rest)
}

fn probe_mount_point(machine: &Machine, point: &TreePath) -> MountPointState {
    let mount = |path: &TreePath| {
        let opened = machine.open_at(path, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok::<_, io::Error>(of_open(opened.as_fd())?.mount)
    };
    let both = mount(point).and_then(|own| Ok((own, mount(&point.parent().unwrap_or_default())?)));
    match both {
        Ok((own, parent)) if own == parent => MountPointState::Free,
        Ok(_) => MountPointState::Mounted,
        Err(why) if Cause::of(&why) == Cause::Link => {
            let why = "a link lies on the way to it".to_string();
            MountPointState::Unusable(
                why,
                "name the real path, in fstab and in the configuration".to_string(),
            )
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => MountPointState::Missing,
        Err(why) => {
            let why = dirfd::error::describe(&why);
            MountPointState::Unusable(why, "see that its mount point is a directory".to_string())
        }
    }
}

/// Mounts one of them. Devices are found below `host`.
pub(crate) fn mount_storage(machine: &Machine, host: &Path, new: &StorageMount) -> Result<()> {
    let source = match &new.source {
        MountSource::Device(path) => host.join(path.as_path()),
        MountSource::Name(name) => Path::new(OsStr::from_bytes(name)).to_path_buf(),
    };
    if matches!(new.source, MountSource::Device(_))
        && let Err(why) = source.symlink_metadata()
    {
        let error = Error::io(new.to_string(), why);
        return Err(if error.cause() == Cause::NotFound { no_such_device(new) } else { error });
    }
    let new_one = NewFileSystem {
        fs_type: &new.fs_type,
        source: &source,
        options: &new.options,
        attributes: new.attributes,
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let done = machine
        .open_at(&new.point, flags)
        .and_then(|place| mounting::mount_file_system(new_one, place.as_fd()));
    done.map_err(|why| {
        let missing = is_not_found(&why);
        let error = Error::io(new.to_string(), why);
        match error.cause() {
            Cause::NoDevice => error.hint(format!(
                "see that the initrd has the kernel module of {}",
                Escaped(new.fs_type.as_bytes())
            )),
            Cause::Link => {
                error.hint("a link lies on the way to it: put a directory in its place, in blank")
            }
            _ if missing => {
                error.hint("see that its mount point is there, and what its options name")
            }
            _ => error.hint(format!("correct line {} of /etc/fstab", new.line)),
        }
    })
}

fn no_such_device(new: &StorageMount) -> Error {
    Error::new(new.to_string(), "there is no such device yet").hint(format!(
        "add `x-initrd.mount` to line {} of /etc/fstab, so that the initrd waits for it, or correct \
         the device there",
        new.line
    ))
}
