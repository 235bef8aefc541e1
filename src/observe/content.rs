//! Whether anything would be lost from sight if kept data took the place of what is there.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use backends::compare;
use backends::descent::open_dir;
use backends::stat::Place;
use backends::{Backend, FileType, Tree, TreePath, View};

use rustix::fs::OFlags;

use super::look::is_empty;
use super::{Content, Found, Observed};
use crate::host::{Machine, beneath};
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
    fn blank_of(&mut self, machine: &Machine) -> backends::Result<Option<BorrowedFd<'_>>> {
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
    if found.stat.facts.file_type == FileType::Dir && is_empty(machine, path).map_err(told)? {
        return Ok(Content::Empty);
    }
    let here = machine.parent_of(path).map_err(told)?;
    let Some(name) = path.name().and_then(c_string) else {
        return Ok(Content::Data);
    };
    if observed.found(&one.source).is_some() {
        let stored = machine.parent_of(&one.source).map_err(told)?;
        let other = one.source.name().and_then(c_string).unwrap_or_default();
        if same((stored.as_fd(), &other), (here.as_fd(), &name))? {
            return Ok(Content::AsInStorage);
        }
    }
    let blank = baseline.blank_of(machine).map_err(|why| why.to_string())?;
    // What lies in storage already, below a parent that is kept, is nothing that blank has.
    let Some(blank) = blank.filter(|_| *path == one.entry.path) else { return Ok(Content::Data) };
    let parent = path.parent().unwrap_or_default();
    match beneath::open(blank, parent.as_path(), OFlags::PATH | OFlags::DIRECTORY) {
        Ok(dir) if same((dir.as_fd(), &name), (here.as_fd(), &name))? => Ok(Content::AsInBlank),
        Ok(_) => Ok(Content::Data),
        Err(why) if crate::host::is_not_found(&why) => Ok(Content::Data),
        Err(why) => Err(told(why)),
    }
}

fn c_string(name: &std::ffi::OsStr) -> Option<CString> {
    CString::new(name.as_encoded_bytes()).ok()
}

/// Whether two names lead to the same: type, content, owners, modes, attributes, and all below.
fn same(
    older: (BorrowedFd<'_>, &CString),
    newer: (BorrowedFd<'_>, &CString),
) -> Result<bool, String> {
    let place =
        |side: (BorrowedFd<'_>, &CString)| match (Place { dir: side.0, name: side.1.as_c_str() })
            .stat()
        {
            Ok(stat) => Ok(Some(stat)),
            Err(why) if crate::host::is_not_found(&why) => Ok(None),
            Err(why) => Err(backends::error::describe(&why)),
        };
    let (Some(was), Some(is)) = (place(older)?, place(newer)?) else { return Ok(false) };
    let root = TreePath::root();
    let sides = (
        (Place { dir: older.0, name: older.1 }, &was),
        (Place { dir: newer.0, name: newer.1 }, &is),
    );
    let differs = compare::difference(sides.0, sides.1).map_err(|why| why.at(&root).to_string())?;
    if differs.is_some() || is.facts.file_type != FileType::Dir {
        return Ok(differs.is_none());
    }
    let open = |side: (BorrowedFd<'_>, &CString)| {
        open_dir(side.0, side.1).map_err(|why| backends::error::describe(&why))
    };
    let (older, newer) = (open(older)?, open(newer)?);
    let changes = backends::walk::walk(older.as_fd(), newer.as_fd(), &|_| {});
    Ok(changes.map_err(|why| why.to_string())?.is_empty())
}
