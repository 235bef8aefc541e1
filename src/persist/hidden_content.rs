//! Whether anything would be lost from sight if kept data took the place of what is there.

use std::cell::OnceCell;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use backends::{Backend, Tree, View};
use dirfd::copy::temporary_copy;
use dirfd::stat::{self, Place};
use dirfd::{FileType, TreeName, TreePath, compare, mountinfo};
use rustix::fs::OFlags;

use crate::host::{Machine, is_not_found};
use crate::persist::create;
use crate::persist::observed::{FoundFile, HiddenContent, Observations, PathState};
use crate::persist::resolve::ResolvedEntry;

/// Opens what holds the root, if there is anything of that kind.
type Open<'b> = Box<dyn Fn() -> dirfd::Result<Option<Box<dyn Backend>>> + 'b>;

/// Blank, and live as far as it is what is mounted as the root: opened when first asked for.
pub(crate) struct Baseline<'b> {
    open: Open<'b>,
    opened: Option<Opened>,
    /// An old root of which data is taken.
    old_root: Option<BorrowedFd<'b>>,
}

struct Opened {
    backend: Option<Box<dyn Backend>>,
    live: Option<Tree>,
    blank: Option<(Tree, View)>,
    /// Every path at which live differs from blank, sorted, where the file system tells; asked once.
    changed: OnceCell<Option<Vec<TreePath>>>,
}

impl<'b> Baseline<'b> {
    /// `open` opens what holds the root, if there is anything of that kind.
    pub(crate) fn new(open: impl Fn() -> dirfd::Result<Option<Box<dyn Backend>>> + 'b) -> Self {
        Self { open: Box::new(open), opened: None, old_root: None }
    }

    /// What is missing is like what it was in this old root, before it is like in blank.
    pub(crate) fn take_from(&mut self, old_root: BorrowedFd<'b>) {
        self.old_root = Some(old_root);
    }

    /// The old root of which data is taken.
    pub(crate) fn old_root(&self) -> Option<BorrowedFd<'b>> {
        self.old_root
    }

    /// Whether anything restores the root at all.
    pub(crate) fn restores(&mut self) -> dirfd::Result<bool> {
        Ok(self.opened()?.backend.is_some())
    }

    /// The name of live, where there is one.
    pub(crate) fn live_name(&mut self) -> dirfd::Result<Option<TreeName>> {
        Ok(self.opened()?.live.as_ref().map(|live| live.name.clone()))
    }

    fn opened(&mut self) -> dirfd::Result<&Opened> {
        if self.opened.is_none() {
            self.opened = Some(self.open_trees()?);
        }
        match &self.opened {
            Some(opened) => Ok(opened),
            None => Err(dirfd::Error::new("open blank", "it is not open")),
        }
    }

    fn open_trees(&self) -> dirfd::Result<Opened> {
        let Some(backend) = (self.open)()? else {
            return Ok(Opened { backend: None, live: None, blank: None, changed: OnceCell::new() });
        };
        let (live, blank) = backend.live_and_blank()?;
        let view = |blank: &Tree| Ok((blank.clone(), backend.view(blank)?));
        let blank = blank.tree().map(view).transpose()?;
        let live = live.tree().cloned();
        Ok(Opened { live, blank, backend: Some(backend), changed: OnceCell::new() })
    }

    /// Whether a directory lies on live itself, so that it would go with it.
    pub(crate) fn holds(&mut self, machine: &Machine, dir: &TreePath) -> dirfd::Result<bool> {
        let opened = self.opened()?;
        let (Some(backend), Some(live)) = (&opened.backend, &opened.live) else {
            return Ok(false);
        };
        let dir = machine
            .open_at(dir, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|e| dirfd::Error::io(format!("open the storage {dir}"), e))?;
        Ok(backend.identify(dir.as_fd())?.is_some_and(|id| id == live.id))
    }

    /// Blank's root directory, if `root` shows live.
    pub(crate) fn blank_of(&mut self, machine: &Machine) -> dirfd::Result<Option<BorrowedFd<'_>>> {
        let opened = self.opened()?;
        let (Some(backend), Some(live)) = (&opened.backend, &opened.live) else {
            return Ok(None);
        };
        let top =
            machine.root().dir(".").map_err(|e| dirfd::Error::io("open the root directory", e))?;
        let same = backend.identify(top.as_fd())?.is_some_and(|id| id == live.id);
        Ok(opened.blank.as_ref().filter(|_| same).map(|(_, view)| view.as_fd()))
    }

    /// Whether what lies at a path of live is the very same in blank, without a look into any file of
    /// it; `None` where only comparing the two can tell.
    ///
    /// A rollback has copied live from blank a moment ago, so that hardly anything has changed, and
    /// the file system knows what.
    fn is_as_in_blank(
        &mut self,
        machine: &Machine,
        path: &TreePath,
        found: &FoundFile,
    ) -> dirfd::Result<Option<bool>> {
        let failed = |why| dirfd::Error::io(format!("look at {path}"), why);
        let Some(blank) = self.blank_of(machine)? else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let was = match create::open_beneath(blank, path.as_path(), flags) {
            Ok(was) => stat::of_open(was.as_fd()).map_err(failed)?,
            Err(why) if is_not_found(&why) => return Ok(Some(false)),
            // Whoever compares the two tells what is wrong.
            Err(_) => return Ok(None),
        };
        if compare::difference_at_sight(&was, &found.stat).is_some() {
            return Ok(Some(false));
        }
        // What is mounted on the way, or below, is no part of live; neither is a subvolume in it.
        let top = stat::of_open(machine.root().as_fd()).map_err(failed)?;
        if top.mount.is_none() || found.stat.mount != top.mount {
            return Ok(None);
        }
        let is_dir = found.stat.facts.file_type == FileType::Dir;
        let dir = if is_dir { path.clone() } else { path.parent().unwrap_or_default() };
        let dir = create::open_beneath(
            machine.root().as_fd(),
            if dir.depth() == 0 { Path::new(".") } else { dir.as_path() },
            OFlags::RDONLY | OFlags::DIRECTORY,
        );
        let dir = dir.map_err(failed)?;
        if is_dir && has_mounts_below(dir.as_fd()).map_err(failed)? {
            return Ok(None);
        }
        let opened = self.opened()?;
        let (Some(backend), Some(live)) = (&opened.backend, &opened.live) else {
            return Ok(None);
        };
        if backend.identify(dir.as_fd())?.is_none_or(|id| id != live.id) {
            return Ok(None);
        }
        // What goes wrong here is told by whoever compares, or does not matter.
        let Ok(Some(changed)) = opened.changed() else { return Ok(None) };
        Ok(Some(!is_any_within(changed, path)))
    }
}

impl Opened {
    /// Every path at which live differs from blank, if that can be told without walking both.
    fn changed(&self) -> dirfd::Result<Option<&[TreePath]>> {
        if self.changed.get().is_none() {
            let trees = self.backend.as_ref().zip(self.live.as_ref()).zip(self.blank.as_ref());
            let changes = match trees {
                Some(((backend, live), (blank, _))) => backend.changes_without_walk(blank, live)?,
                None => None,
            };
            let paths = changes.map(|changes| changes.iter().map(|row| row.path).collect());
            // Nobody else could have asked meanwhile.
            let _ = self.changed.set(paths);
        }
        Ok(self.changed.get().and_then(Option::as_deref))
    }
}

/// Whether any of these paths, which are sorted, is `path` or lies in it.
fn is_any_within(sorted: &[TreePath], path: &TreePath) -> bool {
    let below = [path.as_bytes(), b"/"].concat();
    let starts = |bytes: &[u8]| {
        let at = sorted.partition_point(|other| other.as_bytes() < bytes);
        sorted.get(at).is_some_and(|other| other.as_bytes().starts_with(bytes))
    };
    sorted.binary_search(path).is_ok() || starts(&below)
}

/// Whether something is mounted below an open directory.
fn has_mounts_below(dir: BorrowedFd<'_>) -> io::Result<bool> {
    let link = format!("/proc/thread-self/fd/{}", dir.as_raw_fd());
    let path = rustix::fs::readlink(link, Vec::new())?.into_bytes();
    let below = [path.strip_suffix(b"/").unwrap_or(&path), b"/"].concat();
    let mounts = mountinfo::read_mounts().map_err(io::Error::other)?;
    Ok(mounts.iter().any(|mount| mount.mount_point.starts_with(&below)))
}

/// What an entry's place has; the error completes "cannot look into …: ".
pub(crate) fn judge_content(
    machine: &Machine,
    one: &ResolvedEntry,
    path: &TreePath,
    found: &FoundFile,
    observed: &Observations,
    baseline: &mut Baseline<'_>,
) -> Result<HiddenContent, String> {
    let told = |why: io::Error| dirfd::error::describe(&why);
    if found.stat.facts.file_type == FileType::Dir {
        let opened = machine.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(told)?;
        if create::is_empty_dir(opened.as_fd()).map_err(told)? {
            return Ok(HiddenContent::Empty);
        }
    }
    let here = machine.parent_of(path).map_err(told)?;
    let Some(name) = path.name().and_then(name_as_c_string) else {
        return Ok(HiddenContent::Data);
    };
    let here = Place { dir: here.as_fd(), name: &name };
    // What lies in storage already, below a parent that is kept, is nothing that blank has.
    let may_be_blanks = *path == one.entry.path;
    // Of what the machine is known by it matters whether storage has it.
    let as_in_blank = match may_be_blanks && !one.is_identity() {
        true => baseline.is_as_in_blank(machine, path, found).map_err(|why| why.to_string())?,
        false => None,
    };
    if as_in_blank == Some(true) {
        return Ok(HiddenContent::AsInBlank);
    }
    let data = observed.data_of(&one.source);
    if observed.file_at(&data).is_some() {
        let stored = machine.parent_of(&data).map_err(told)?;
        let other = data.name().and_then(name_as_c_string).unwrap_or_default();
        if is_same_content(Place { dir: stored.as_fd(), name: &other }, here, path) {
            return Ok(HiddenContent::AsInStorage);
        }
    }
    if as_in_blank == Some(false) || !may_be_blanks {
        return Ok(HiddenContent::Data);
    }
    let blank = baseline.blank_of(machine).map_err(|why| why.to_string())?;
    let Some(blank) = blank else { return Ok(HiddenContent::Data) };
    let parent = path.parent().unwrap_or_default();
    match create::open_beneath(blank, parent.as_path(), OFlags::PATH | OFlags::DIRECTORY) {
        Ok(dir) if is_same_content(Place { dir: dir.as_fd(), name: &name }, here, path) => {
            Ok(HiddenContent::AsInBlank)
        }
        Ok(_) => Ok(HiddenContent::Data),
        Err(why) if is_not_found(&why) => Ok(HiddenContent::Data),
        Err(why) => Err(told(why)),
    }
}

/// A file that only says that the machine has no identity yet has nothing that could be lost
/// (machine-id(5), "First Boot Semantics").
pub(crate) fn judge_machine_id(
    machine: &Machine,
    one: &ResolvedEntry,
    observed: &mut Observations,
) {
    let data = observed.data_of(&one.source);
    for path in one.before.iter().chain([&data]) {
        let Some(PathState::Present(found)) = observed.places.get_mut(path) else { continue };
        let facts = &found.stat.facts;
        // What cannot be read is told by whoever compares it.
        if facts.file_type == FileType::File
            && facts.size <= 64
            && read_start(machine, path).is_ok_and(|text| text.trim_ascii() == b"uninitialized")
        {
            found.content = HiddenContent::Empty;
        }
    }
}

fn read_start(machine: &Machine, path: &TreePath) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let (file, mut text) = (File::from(machine.open_at(path, flags)?), Vec::new());
    file.take(64).read_to_end(&mut text)?;
    Ok(text)
}

fn name_as_c_string(name: &std::ffi::OsStr) -> Option<CString> {
    CString::new(name.as_encoded_bytes()).ok()
}

/// Whether both places have something, and the same: type, content, owners, modes, attributes, and
/// all below. What cannot be compared is not the same: one file of one user, which only looks
/// different or cannot be read, is no reason to leave out a path that is everybody's.
fn is_same_content(older: Place<'_>, newer: Place<'_>, shown: &TreePath) -> bool {
    temporary_copy::difference(older, newer, shown).is_ok_and(|differing| differing.is_none())
}
