//! What differs between two trees, found by walking both: slow, exact, and possible everywhere.

use std::cmp::Ordering;
use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;

use crate::boundary::Boundary;
use crate::changes::{ChangeKind, Changes, ChangesWriter, Facts, FileType};
use crate::compare::{self, Failure, Side};
use crate::descent::{self, Descent};
use crate::error::{Error, Result};
use crate::order::Waiting;
use crate::path::TreePath;
use crate::stat::{Place, Stat, is_gone};

/// How often a file is looked at that is another one each time.
const TRIES: u32 = 16;
/// Names between two reports of progress.
const REPORT_EVERY: u64 = 1024;

/// What differs in `newer` against `older`. `progress` is told how many names were looked at so far.
///
/// Both are the root directories of trees. What vanishes from a live tree meanwhile counts as not
/// there; whatever else cannot be read is an error.
pub fn walk(
    older: BorrowedFd<'_>,
    newer: BorrowedFd<'_>,
    progress: &dyn Fn(u64),
) -> Result<Changes> {
    let older = Source::new(older, Side::Older)?;
    let newer = Source::new(newer, Side::Newer)?;
    Walk::new(Some(older), newer, progress).run()
}

/// Everything in `newer`, as added; its root directory has no row.
pub fn walk_added(newer: BorrowedFd<'_>, progress: &dyn Fn(u64)) -> Result<Changes> {
    Walk::new(None, Source::new(newer, Side::Newer)?, progress).run()
}

/// Which of the trees have something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sides {
    older: bool,
    newer: bool,
}

/// One directory on the way: which sides have it, and what is left to do in it.
struct Frame {
    sides: Sides,
    names: std::iter::Peekable<std::vec::IntoIter<(CString, Sides)>>,
    waiting: Waiting<Sides>,
}

/// One of the trees.
struct Source<'r> {
    side: Side,
    boundary: Boundary,
    descent: Descent<'r>,
}

impl<'r> Source<'r> {
    fn new(root: BorrowedFd<'r>, side: Side) -> Result<Self> {
        let boundary =
            Boundary::of(root).map_err(|why| Failure::new("", side, why).at(&TreePath::root()))?;
        Ok(Self { side, boundary, descent: Descent::new(root) })
    }

    /// What has this name in the current directory; `None` if nothing does (any more).
    fn look(&mut self, name: &CStr) -> Result<Option<Stat>, Failure> {
        let looked = self.descent.current().and_then(|dir| self.boundary.stat(Place { dir, name }));
        match looked {
            Ok(stat) => Ok(Some(stat)),
            Err(why) if is_gone(&why) => Ok(None),
            Err(why) => Err(Failure::new("", self.side, why)),
        }
    }

    /// Goes into a directory and lists it; `None` if it is gone.
    fn enter(&mut self, name: &CStr) -> Result<Option<Vec<CString>>, Failure> {
        match self.descent.enter(name) {
            Ok(()) => self.list().map(Some),
            Err(why) if is_gone(&why) => Ok(None),
            Err(why) => Err(Failure::new("", self.side, why)),
        }
    }

    fn list(&mut self) -> Result<Vec<CString>, Failure> {
        match self.descent.current().and_then(descent::names) {
            Ok(names) => Ok(names),
            Err(why) if is_gone(&why) => Ok(Vec::new()),
            Err(why) => Err(Failure::new("", self.side, why)),
        }
    }
}

struct Walk<'a> {
    older: Option<Source<'a>>,
    newer: Source<'a>,
    writer: ChangesWriter,
    frames: Vec<Frame>,
    looked_at: u64,
    progress: &'a dyn Fn(u64),
}

impl<'a> Walk<'a> {
    fn new(older: Option<Source<'a>>, newer: Source<'a>, progress: &'a dyn Fn(u64)) -> Self {
        let writer = ChangesWriter::new();
        Self { older, newer, writer, frames: Vec::new(), looked_at: 0, progress }
    }

    fn run(mut self) -> Result<Changes> {
        self.start().map_err(|failure| failure.at(&TreePath::root()))?;
        while let Some(frame) = self.frames.last_mut() {
            let next = frame.names.peek().map(|(name, _)| name.to_bytes());
            if let Some((name, sides)) = frame.waiting.pop_before(next) {
                self.enter(&name, sides).map_err(|failure| failure.at(&self.path_of(&name)))?;
            } else if let Some((name, on)) = frame.names.next() {
                self.compare(name, on)?;
            } else {
                self.leave();
            }
        }
        (self.progress)(self.looked_at);
        Ok(self.writer.finish())
    }

    /// Compares the trees' root directories and lists them.
    fn start(&mut self) -> Result<(), Failure> {
        let newer = self.newer.list()?;
        let Some(older) = &mut self.older else {
            let sides = Sides { older: false, newer: true };
            self.frames.push(Frame::new(sides, Vec::new(), newer));
            return Ok(());
        };
        let (was, is) = (*older.boundary.root(), *self.newer.boundary.root());
        if was.is_same_file(&is) {
            return Ok(());
        }
        let names = older.list()?;
        if let Some((kind, facts)) = self.difference(c".", Some(was), Some(is))? {
            self.writer.record_root(kind, facts);
        }
        self.frames.push(Frame::new(Sides { older: true, newer: true }, names, newer));
        Ok(())
    }

    /// Writes the row of one name, and has what is below it wait for its turn.
    fn compare(&mut self, name: CString, on: Sides) -> Result<()> {
        self.looked_at += 1;
        if self.looked_at.is_multiple_of(REPORT_EVERY) {
            (self.progress)(self.looked_at);
        }
        for _ in 0..TRIES {
            match self.try_compare(&name, on) {
                Ok(sides) => {
                    if let (Some(frame), true) = (self.frames.last_mut(), sides.any()) {
                        frame.waiting.push(name, sides);
                    }
                    return Ok(());
                }
                Err(failure) if failure.is_gone() => {}
                Err(failure) => return Err(failure.at(&self.path_of(&name))),
            }
        }
        let path = self.path_of(&name);
        Err(Error::new(format!("compare {path}"), "it was another file each time it was looked at"))
    }

    /// One attempt; says on which sides it is a directory to go into.
    fn try_compare(&mut self, name: &CStr, on: Sides) -> Result<Sides, Failure> {
        let was = match &mut self.older {
            Some(older) if on.older => older.look(name)?,
            _ => None,
        };
        let is = if on.newer { self.newer.look(name)? } else { None };
        self.refuse_mount(was, is)?;
        if let Some((kind, facts)) = self.difference(name, was, is)? {
            self.writer.record(name.to_bytes(), kind, facts);
        }
        let is_dir = |stat: Option<Stat>| stat.is_some_and(|s| s.facts.file_type == FileType::Dir);
        let same = was.zip(is).is_some_and(|(was, is)| was.is_same_file(&is));
        Ok(Sides { older: is_dir(was) && !same, newer: is_dir(is) && !same })
    }

    /// What is mounted over a file hides it, and a guess is no answer.
    fn refuse_mount(&self, was: Option<Stat>, is: Option<Stat>) -> Result<(), Failure> {
        let older = self.older.as_ref().map(|older| (older, was));
        for (source, stat) in older.into_iter().chain([(&self.newer, is)]) {
            if stat.is_some_and(|stat| source.boundary.is_beyond_mount(&stat)) {
                return Err(Failure::mounted_over(source.side));
            }
        }
        Ok(())
    }

    fn difference(
        &mut self,
        name: &CStr,
        was: Option<Stat>,
        is: Option<Stat>,
    ) -> Result<Option<(ChangeKind, Facts)>, Failure> {
        let (was, is) = match (was, is) {
            (None, None) => return Ok(None),
            (Some(was), None) => return Ok(Some((ChangeKind::Removed, was.facts))),
            (None, Some(is)) => return Ok(Some((ChangeKind::Added, is.facts))),
            (Some(was), Some(is)) => (was, is),
        };
        let Some(older) = &mut self.older else { return Ok(None) };
        let a = older.descent.current().map_err(|why| Failure::new("", Side::Older, why))?;
        let b = self.newer.descent.current().map_err(|why| Failure::new("", Side::Newer, why))?;
        let kind =
            compare::difference((Place { dir: a, name }, &was), (Place { dir: b, name }, &is))?;
        Ok(kind.map(|kind| (kind, is.facts)))
    }

    fn enter(&mut self, name: &CStr, sides: Sides) -> Result<(), Failure> {
        let older = match &mut self.older {
            Some(older) if sides.older => older.enter(name)?,
            _ => None,
        };
        let newer = if sides.newer { self.newer.enter(name)? } else { None };
        let entered = Sides { older: older.is_some(), newer: newer.is_some() };
        if entered.any() {
            self.writer.descend(name.to_bytes());
            let names = (older.unwrap_or_default(), newer.unwrap_or_default());
            self.frames.push(Frame::new(entered, names.0, names.1));
        }
        Ok(())
    }

    fn leave(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        if let (Some(older), true) = (&mut self.older, frame.sides.older) {
            older.descent.leave();
        }
        if frame.sides.newer {
            self.newer.descent.leave();
        }
        self.writer.ascend();
    }

    fn path_of(&self, name: &CStr) -> TreePath {
        self.writer.current_path().join(name.to_bytes())
    }
}

impl Sides {
    fn any(self) -> bool {
        self.older || self.newer
    }
}

impl Frame {
    fn new(sides: Sides, older: Vec<CString>, newer: Vec<CString>) -> Self {
        let names = merge(older, newer).into_iter().peekable();
        Self { sides, names, waiting: Waiting::default() }
    }
}

/// The names of two sorted lists, each once.
fn merge(older: Vec<CString>, newer: Vec<CString>) -> Vec<(CString, Sides)> {
    let mut merged = Vec::with_capacity(older.len().max(newer.len()));
    let (mut older, mut newer) = (older.into_iter().peekable(), newer.into_iter().peekable());
    loop {
        let order = match (older.peek(), newer.peek()) {
            (None, None) => return merged,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.cmp(b),
        };
        let sides = Sides { older: order.is_le(), newer: order.is_ge() };
        let from_older = if sides.older { older.next() } else { None };
        let from_newer = if sides.newer { newer.next() } else { None };
        merged.extend(from_older.or(from_newer).map(|name| (name, sides)));
    }
}

#[cfg(test)]
mod tests;
