//! Whether anything would be lost from sight if kept data took the place of what is there.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use backends::copy::aside;
use backends::stat::Place;
use backends::{Backend, FileType, Tree, TreePath, View};
use rustix::fs::OFlags;

use super::{Content, Found, Observed, Seen};
use crate::host::{Machine, beneath, is_not_found, making};
use crate::plan::apply::Arranged;

/// Opens what holds the root, if there is anything of that kind.
type Open<'b> = Box<dyn Fn() -> backends::Result<Option<Box<dyn Backend>>> + 'b>;

/// Blank, and live as far as it is what is mounted as the root: opened when first asked for.
pub struct Baseline<'b> {
    open: Open<'b>,
    opened: Option<Opened>,
}

struct Opened {
    backend: Option<Box<dyn Backend>>,
    live: Option<Tree>,
    blank: Option<View>,
}

impl<'b> Baseline<'b> {
    /// `open` opens what holds the root, if there is anything of that kind.
    pub fn new(open: impl Fn() -> backends::Result<Option<Box<dyn Backend>>> + 'b) -> Self {
        Self { open: Box::new(open), opened: None }
    }

    /// Whether anything restores the root at all.
    pub fn restores(&mut self) -> backends::Result<bool> {
        Ok(self.opened()?.backend.is_some())
    }

    fn opened(&mut self) -> backends::Result<&Opened> {
        if self.opened.is_none() {
            self.opened = Some(self.look()?);
        }
        match &self.opened {
            Some(opened) => Ok(opened),
            None => Err(backends::Error::new("open blank", "it is not open")),
        }
    }

    fn look(&self) -> backends::Result<Opened> {
        let Some(backend) = (self.open)()? else {
            return Ok(Opened { backend: None, live: None, blank: None });
        };
        let (live, blank) = backend.live_and_blank()?;
        let blank = blank.tree().map(|blank| backend.view(blank)).transpose()?;
        Ok(Opened { live: live.tree().cloned(), blank, backend: Some(backend) })
    }

    /// Whether a directory lies on live itself, so that it would go with it.
    pub fn holds(&mut self, machine: &Machine, dir: &TreePath) -> backends::Result<bool> {
        let opened = self.opened()?;
        let (Some(backend), Some(live)) = (&opened.backend, &opened.live) else {
            return Ok(false);
        };
        let dir = machine
            .open_at(dir, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|e| backends::Error::io(format!("open the storage {dir}"), e))?;
        Ok(backend.identify(dir.as_fd())?.is_some_and(|id| id == live.id))
    }

    /// Blank's root directory, if `root` shows live.
    pub(super) fn blank_of(
        &mut self,
        machine: &Machine,
    ) -> backends::Result<Option<BorrowedFd<'_>>> {
        let opened = self.opened()?;
        let (Some(backend), Some(live)) = (&opened.backend, &opened.live) else {
            return Ok(None);
        };
        let top = machine
            .root()
            .dir(".")
            .map_err(|e| backends::Error::io("open the root directory", e))?;
        let same = backend.identify(top.as_fd())?.is_some_and(|id| id == live.id);
        Ok(opened.blank.as_ref().filter(|_| same).map(AsFd::as_fd))
    }
}

/// What an entry's place has; the error completes "cannot look into …: ".
pub(super) fn of(
    machine: &Machine,
    one: &Arranged,
    path: &TreePath,
    found: &Found,
    observed: &Observed,
    baseline: &mut Baseline<'_>,
) -> Result<Content, String> {
    let told = |why: io::Error| backends::error::describe(&why);
    if found.stat.facts.file_type == FileType::Dir {
        let opened = machine.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(told)?;
        if making::is_empty(opened.as_fd()).map_err(told)? {
            return Ok(Content::Empty);
        }
    }
    let here = machine.parent_of(path).map_err(told)?;
    let Some(name) = path.name().and_then(c_string) else {
        return Ok(Content::Data);
    };
    let here = Place { dir: here.as_fd(), name: &name };
    if observed.found(&one.source).is_some() {
        let stored = machine.parent_of(&one.source).map_err(told)?;
        let other = one.source.name().and_then(c_string).unwrap_or_default();
        if same(Place { dir: stored.as_fd(), name: &other }, here, path)? {
            return Ok(Content::AsInStorage);
        }
    }
    let blank = baseline.blank_of(machine).map_err(|why| why.to_string())?;
    // What lies in storage already, below a parent that is kept, is nothing that blank has.
    let Some(blank) = blank.filter(|_| *path == one.entry.path) else { return Ok(Content::Data) };
    let parent = path.parent().unwrap_or_default();
    match beneath::open(blank, parent.as_path(), OFlags::PATH | OFlags::DIRECTORY) {
        Ok(dir) if same(Place { dir: dir.as_fd(), name: &name }, here, path)? => {
            Ok(Content::AsInBlank)
        }
        Ok(_) => Ok(Content::Data),
        Err(why) if is_not_found(&why) => Ok(Content::Data),
        Err(why) => Err(told(why)),
    }
}

/// A file that only says that the machine has no identity yet has nothing that could be lost
/// (machine-id(5), "First Boot Semantics").
pub(super) fn judge_identity(machine: &Machine, one: &Arranged, observed: &mut Observed) {
    for path in one.before.iter().chain([&one.source]) {
        let Some(Seen::There(found)) = observed.places.get_mut(path) else { continue };
        let facts = &found.stat.facts;
        // What cannot be read is told by whoever compares it.
        if facts.file_type == FileType::File
            && facts.size <= 64
            && read(machine, path).is_ok_and(|text| text.trim_ascii() == b"uninitialized")
        {
            found.content = Content::Empty;
        }
    }
}

fn read(machine: &Machine, path: &TreePath) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let (file, mut text) = (File::from(machine.open_at(path, flags)?), Vec::new());
    file.take(64).read_to_end(&mut text)?;
    Ok(text)
}

fn c_string(name: &std::ffi::OsStr) -> Option<CString> {
    CString::new(name.as_encoded_bytes()).ok()
}

/// Whether both places have something, and the same: type, content, owners, modes, attributes, and
/// all below.
fn same(older: Place<'_>, newer: Place<'_>, shown: &TreePath) -> Result<bool, String> {
    for place in [older, newer] {
        match place.stat() {
            Ok(_) => {}
            Err(why) if is_not_found(&why) => return Ok(false),
            Err(why) => return Err(backends::error::describe(&why)),
        }
    }
    let differing = aside::difference(older, newer, shown).map_err(|why| why.to_string())?;
    Ok(differing.is_none())
}
