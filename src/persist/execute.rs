//! Does the steps that put a keep list in force, and decides nothing: a step that fails takes those
//! that need it along, and every other one is done.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use dirfd::cause::Cause;
use dirfd::copy::Copied;
use dirfd::copy::temporary_copy::Aside;
use dirfd::fault::change;
use dirfd::path_set::Told;
use dirfd::stat::{Place, SET_ID, Stat, of_open};
use dirfd::{Error, FileType, Result, TreePath, xattrs};
use rustix::fs::{self, Mode, OFlags};

use crate::host::Machine;
use crate::persist::create::{self, InodeAttributes, NewAttributes};
use crate::persist::mount_options::MountOptions;
use crate::persist::mounting;
use crate::persist::resolve::ancestors;
use crate::persist::step::{ApplyStep, ExpectedFile, FileFingerprint, FileSpec, Owner};
use crate::persist::unsafe_transition::{AncestorChain, UnsafeTransition};

/// Told of names and bytes.
type Progress<'p> = &'p mut dyn FnMut(u64, u64);

/// What became of a plan.
#[derive(Debug, Default)]
pub struct ApplyOutcome {
    /// The positions of the steps that took effect.
    pub(crate) done: Vec<usize>,
    /// The steps that failed, and why.
    pub failed: Vec<(usize, Error)>,
    /// The steps that were not tried, and the path that they would have needed.
    pub not_tried: Vec<(usize, TreePath)>,
    /// What was set aside, and under which name.
    pub(crate) set_aside: Vec<(TreePath, TreePath)>,
    /// Nested subvolumes that hold something, and were not copied with what is around them.
    pub(crate) left_out: Told<TreePath>,
    /// What the owner may want to know of what was copied.
    pub notes: Vec<String>,
}

impl ApplyOutcome {
    fn tell_of(&mut self, copied: Copied) {
        self.notes.extend(notes_of_copy(&copied));
        self.left_out.extend(copied.left_out);
    }

    /// Whether everything took effect.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.not_tried.is_empty()
    }
}

/// Does the steps; `progress` is told of names and bytes that are copied.
pub(crate) fn apply_steps(
    steps: &[ApplyStep],
    machine: &Machine,
    progress: &mut dyn FnMut(u64, u64),
) -> ApplyOutcome {
    let mut outcome = ApplyOutcome::default();
    let mut broken: Vec<TreePath> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let missing = step
            .needs()
            .find_map(|path| broken.iter().find(|broken| path.is_within(broken)).cloned());
        if let Some(missing) = missing {
            broken.push(step.path().clone());
            outcome.not_tried.push((at, missing));
            continue;
        }
        let done = match step {
            ApplyStep::Adopt { path, source, sets_aside: false } => {
                let copied = copy_to_unused(machine, path, source, progress);
                copied.map(|copied| outcome.tell_of(copied))
            }
            ApplyStep::Adopt { path, source, sets_aside: true } => {
                let set_aside = &mut |aside| outcome.set_aside.push((source.clone(), aside));
                let copied = copy_and_exchange(machine, path, source, set_aside, progress);
                copied.map(|copied| outcome.tell_of(copied))
            }
            ApplyStep::Replace { path, spec, removable } => {
                replace_target(machine, path, spec, *removable, &mut outcome)
                    .map_err(|why| step_error(step, why))
            }
            step => apply_step(step, machine),
        };
        match done {
            Ok(()) => outcome.done.push(at),
            Err(error) => {
                broken.push(step.path().clone());
                outcome.failed.push((at, error));
            }
        }
    }
    outcome
}

/// What a copy does not have of its original.
pub(crate) fn notes_of_copy(copied: &Copied) -> Vec<String> {
    let unlisted = copied.unlisted.lines(|path| {
        format!(
            "{path} has more extended attributes than can be listed; the copy has its access \
             control lists alone"
        )
    });
    let refused = copied.refused_flags.lines(|(path, letters)| {
        format!("{path} has flags that the copy's file system does not take: +{letters}")
    });
    let privileges = copied.privileges.lines(|path| {
        format!(
            "{path} has set-user-ID or set-group-ID bits or capabilities on a mount with `nosuid`; \
             the copy has none"
        )
    });
    unlisted.chain(refused).chain(privileges).collect()
}

fn apply_step(step: &ApplyStep, machine: &Machine) -> Result<()> {
    let done = match step {
        ApplyStep::Make { path, spec, attributes } => {
            let (base, attributes) = (machine.base_of(path), attributes.as_ref());
            in_parent(machine, path, |dir, name| match spec {
                FileSpec::Link { .. } => make_spec((dir, base), name, spec, None),
                _ => create::make_whole(dir, name, |aside| {
                    make_spec((dir, base), aside, spec, attributes)
                }),
            })
        }
        ApplyStep::Name { path, source } => in_parent(machine, source, |dir, name| {
            let left = path.name().unwrap_or_default();
            change("apply: name what was left", || create::rename_to_unused(dir, left, name))?;
            change("apply: sync directory", || create::sync_dir(dir))
        }),
        ApplyStep::Unlink { path, target, .. } => {
            in_parent(machine, path, |dir, name| create::remove_link(dir, name, target))
        }
        ApplyStep::Enforce { path, found, owner, mode } => {
            set_owner_and_mode(machine, path, found, *owner, *mode)
        }
        ApplyStep::Remember { source, .. } => {
            open_to_mark(machine, source).and_then(|file| xattrs::mark_as_replaced(file.as_fd()))
        }
        ApplyStep::Bind { source, path, options } => bind_mount(machine, source, path, options),
        ApplyStep::Cover { link, target, spec, source, path, options } => {
            in_parent(machine, link, |dir, name| {
                let base = machine.base_of(link);
                let place = |aside: &OsStr| make_spec((dir, base), aside, spec, None);
                let cover = || bind_mount(machine, source, path, options);
                create::replace_link_by_mount(dir, name, target, place, cover)
            })
        }
        ApplyStep::SetOptions { path, options } => machine
            .open_at(path, OFlags::PATH | OFlags::NOFOLLOW)
            .and_then(|mount| mounting::set_attributes(mount.as_fd(), options.kernel)),
        ApplyStep::Adopt { .. } | ApplyStep::Replace { .. } => Ok(()),
    };
    done.map_err(|why| step_error(step, why))
}

fn bind_mount(
    machine: &Machine,
    source: &TreePath,
    path: &TreePath,
    options: &MountOptions,
) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    let source = machine.open_at(source, flags)?;
    let place = machine.open_at(path, flags)?;
    mounting::bind_open(source.as_fd(), place.as_fd(), options.kernel)
}

fn step_error(step: &ApplyStep, why: io::Error) -> Error {
    let hint = why.get_ref().and_then(|why| why.downcast_ref::<UnsafeTransition>());
    if let Some(UnsafeTransition { why, hint }) = hint {
        return Error::new(step.to_string(), why.as_str()).hint(hint.as_str());
    }
    let error = Error::io(step.to_string(), why);
    match error.cause() {
        Cause::Link => error.hint(
            "a link has come to lie on the way, or in the place: see who made it, and remove it",
        ),
        Cause::NotPermitted | Cause::Denied if rustix::process::geteuid().is_root() => error
            .hint(
                "`lsattr -d` of it, and of the directory that it is in, shows whether `i` or `a` forbids \
                 it; `chattr -i -a` takes them away",
            ),
        Cause::NotPermitted | Cause::Denied => error.hint("run this as root"),
        Cause::Unsupported if matches!(step, ApplyStep::Remember { .. }) => {
            error.hint("write `how = \"symlink\"` in its entry: this storage cannot note it")
        }
        Cause::ReadOnly => error.hint(
            "boot with `rw` on the kernel command line, or make the place in blank, where it is \
             mounted over as it is",
        ),
        _ => error,
    }
}

fn in_parent(
    machine: &Machine,
    path: &TreePath,
    run: impl FnOnce(BorrowedFd<'_>, &OsStr) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.name().ok_or_else(|| io::Error::other("it is the root itself"))?;
    let parent = machine.parent_of(path)?;
    run(parent.as_fd(), name)
}

fn make_spec(
    (dir, base): (BorrowedFd<'_>, BorrowedFd<'_>),
    name: &OsStr,
    what: &FileSpec,
    attributes: Option<&InodeAttributes>,
) -> io::Result<()> {
    let given =
        |owner: &Owner, mode| NewAttributes { owner: (owner.uid, owner.gid), mode, attributes };
    match what {
        FileSpec::Dir(owner, mode) => create::make_dir(dir, base, name, given(owner, *mode)),
        FileSpec::File(owner, mode) => create::make_file(dir, name, given(owner, *mode)),
        FileSpec::Link { target, .. } => create::make_link(dir, name, target),
    }
}

/// Opens what is to get a mark. A file with a second name might be somebody else's.
fn open_to_mark(machine: &Machine, path: &TreePath) -> io::Result<OwnedFd> {
    // Its path alone first: opening a device that has come to lie there could have effects.
    let found = machine.open_at(path, OFlags::PATH | OFlags::NOFOLLOW)?;
    let found = check_single_link(&found)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = machine.open_at(path, flags)?;
    if !check_single_link(&opened)?.is_same_file(&found) {
        return Err(changed_meanwhile());
    }
    Ok(opened)
}

fn check_single_link(opened: &OwnedFd) -> io::Result<Stat> {
    let stat = of_open(opened.as_fd())?;
    match stat.facts.file_type {
        FileType::Dir => Ok(stat),
        FileType::File if stat.links == 1 => Ok(stat),
        FileType::File => Err(io::Error::other("it has another name somewhere")),
        _ => Err(io::Error::other("it is neither a file nor a directory")),
    }
}

fn replace_target(
    machine: &Machine,
    path: &TreePath,
    spec: &FileSpec,
    removable: Option<FileFingerprint>,
    outcome: &mut ApplyOutcome,
) -> io::Result<()> {
    let may_remove = |stat: &Stat| removable == Some(FileFingerprint::of(stat));
    let mut aside = None;
    in_parent(machine, path, |dir, name| {
        let make = |aside: &OsStr| make_spec((dir, machine.base_of(path)), aside, spec, None);
        aside = create::replace_with_new(dir, name, make, may_remove)?;
        Ok(())
    })?;
    if let (Some(name), Some(parent)) = (aside, path.parent()) {
        outcome.set_aside.push((path.clone(), parent.join(name.as_encoded_bytes())));
    }
    Ok(())
}

/// Copies `path` to `source`, which nothing must have; returns the nested subvolumes that hold
/// something, which are no part of the copy.
pub(crate) fn copy_to_unused(
    machine: &Machine,
    path: &TreePath,
    source: &TreePath,
    progress: Progress<'_>,
) -> Result<Copied> {
    copy_aside(machine, path, source, progress)?.name()
}

/// Copies `path` to `source`. What has that name is told to `set_aside` under its next one as soon
/// as it has it. Returns the same as [`copy_to_unused`].
pub(crate) fn copy_and_exchange(
    machine: &Machine,
    path: &TreePath,
    source: &TreePath,
    set_aside: &mut dyn FnMut(TreePath),
    progress: Progress<'_>,
) -> Result<Copied> {
    let copy = copy_aside(machine, path, source, progress)?;
    let failed = |why| Error::io(format!("put the copy of {path} in the place of {source}"), why);
    match create::exchange_with_backup(copy.place(), copy.dir(), source.name().unwrap_or_default())
    {
        Ok(aside) => {
            set_aside(source.parent().unwrap_or_default().join(aside.as_bytes()));
            change("apply: sync directory", || create::sync_dir(copy.dir())).map_err(failed)?;
            copy.finish()
        }
        Err(why) => {
            // Best effort: nobody else can enter the directory that it is in.
            let _ = copy.discard();
            Err(failed(why))
        }
    }
}

/// A finished copy, durable and compared, which has no name yet.
fn copy_aside(
    machine: &Machine,
    path: &TreePath,
    source: &TreePath,
    progress: Progress<'_>,
) -> Result<Aside> {
    let failed = |why: io::Error| Error::io(format!("copy {path} to {source}"), why);
    let name_of = |path: &TreePath| {
        let name = path.name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
        CString::new(name).map_err(|why| failed(why.into()))
    };
    let (from_name, to_name) = (name_of(path)?, name_of(source)?);
    let from = machine.parent_of(path).map_err(failed)?;
    let parent = source.parent().unwrap_or_default();
    // Open for reading, so that it can be made durable.
    let dir = machine.base_of(source);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let to = create::open_beneath(dir, parent.as_path(), flags).map_err(failed)?;
    let from = Place { dir: from.as_fd(), name: &from_name };
    let place = Place { dir: to.as_fd(), name: &to_name };
    let copy = Aside::make(from, place, dir, (path, source), progress);
    copy.map_err(|why| with_space_hint(why, &parent))
}

/// The two sides may be on two file systems: it is told which one has no room.
pub(crate) fn with_space_hint(why: Error, parent: &TreePath) -> Error {
    match why.cause() {
        Cause::Full => why.hint(format!(
            "make room on the file system of {parent}, and run this again; until then all is as it \
             was"
        )),
        _ => why,
    }
}

/// Gives `path` this owner and mode, by one descriptor, if it is still what was `found` there and nobody
/// else than root can have put it there since.
pub(crate) fn set_owner_and_mode(
    machine: &Machine,
    path: &TreePath,
    found: &ExpectedFile,
    owner: Option<Owner>,
    mode: Option<u16>,
) -> io::Result<()> {
    let (chain, parent) = open_parent(machine, path)?;
    let opened = open_to_enforce(parent, path, found)?;
    let stat = of_open(opened.as_fd())?;
    chain.check_owner(path, stat.facts.uid).map_err(transition_error)?;
    chain.check_set_id(path, &stat, owner, mode).map_err(transition_error)?;
    if let Some(Owner { uid, gid }) = owner {
        create::set_owner(opened.as_fd(), (uid, gid))?;
        // Whatever the kernel does by itself (chown(2)).
        let kept = of_open(opened.as_fd())?.facts.mode;
        if stat.facts.file_type == FileType::File && kept & SET_ID != 0 && mode.is_none() {
            create::set_mode(opened.as_fd(), kept & !SET_ID)?;
        }
    }
    mode.map_or(Ok(()), |mode| create::set_mode(opened.as_fd(), mode))
}

/// The directory that holds `path`, opened from the root on, one by one: each was looked at before
/// what is in it.
fn open_parent(machine: &Machine, path: &TreePath) -> io::Result<(AncestorChain, OwnedFd)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut dirs: Vec<TreePath> = ancestors(path).collect();
    dirs.reverse();
    let mut opened = fs::openat(machine.base_of(path), c".", flags, Mode::empty())?;
    let mut chain = AncestorChain::default();
    enter_dir(&mut chain, TreePath::root(), &opened)?;
    for dir in dirs {
        let name = dir.name().unwrap_or_default();
        opened = create::open_beneath(opened.as_fd(), name.as_ref(), flags)?;
        enter_dir(&mut chain, dir, &opened)?;
    }
    Ok((chain, opened))
}

fn enter_dir(chain: &mut AncestorChain, dir: TreePath, opened: &OwnedFd) -> io::Result<()> {
    let facts = of_open(opened.as_fd())?.facts;
    chain.enter(dir, facts.uid, facts.mode).map_err(transition_error)
}

/// Opens what was `found`. A file with a second name might be somebody else's.
fn open_to_enforce(parent: OwnedFd, path: &TreePath, found: &ExpectedFile) -> io::Result<OwnedFd> {
    let name = path.name().ok_or_else(|| io::Error::other("it is the root itself"))?;
    let open =
        |flags| create::open_beneath(parent.as_fd(), name.as_ref(), flags | OFlags::NOFOLLOW);
    // Its path alone first: opening a device that has come to lie there could have effects.
    let there = check_expected(&open(OFlags::PATH)?, found)?;
    let opened = open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    match check_expected(&opened, found)?.is_same_file(&there) {
        true => Ok(opened),
        false => Err(changed_meanwhile()),
    }
}

fn check_expected(opened: &OwnedFd, found: &ExpectedFile) -> io::Result<Stat> {
    let stat = check_single_link(opened)?;
    if found.matches(&stat) { Ok(stat) } else { Err(changed_meanwhile()) }
}

fn changed_meanwhile() -> io::Error {
    io::Error::other("somebody else changed it at the same moment")
}

fn transition_error(why: UnsafeTransition) -> io::Error {
    io::Error::other(why)
}
