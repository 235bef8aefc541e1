//! What differs between two trees, found by walking both: slow, exact, and possible everywhere.

use std::cmp::Ordering;
use std::ffi::{CStr, CString};
use std::iter::Peekable;
use std::os::fd::BorrowedFd;
use std::vec::IntoIter;

use crate::boundary::Boundary;
use crate::changes::{ChangesWriter, Waiting};
use crate::compare::{self, Failure, Side};
use crate::directory_walker::{self, Descent, Entry};
use crate::error::look_until_whole;
use crate::stat::{Place, Stat, is_gone};
use crate::{ChangeKind, Changes, Error, Facts, FileType, Result, TreePath};

/// How often a file is looked at that is another one each time.
const TRIES: u32 = 16;
/// Names between two reports of progress.
const REPORT_EVERY: u64 = 1024;

/// What differs in `newer` against `older`. `progress` is told how many names were looked at so far.
///
/// Both are the root directories of trees. What vanishes from a live tree meanwhile counts as not
/// there; whatever else cannot be read is an error. Where directories are moved into each other meanwhile,
/// both are walked again.
pub fn compare_by_walk(
    older: BorrowedFd<'_>,
    newer: BorrowedFd<'_>,
    progress: &dyn Fn(u64),
) -> Result<Changes> {
    look_until_whole(|| {
        let older = Source::new(older, Side::Older)?;
        let newer = Source::new(newer, Side::Newer)?;
        Walk::new(Some(older), newer, None, progress).run()
    })
}

/// The same, and as exact, where the file system tells beforehand of most files that they are the same.
pub fn walk_knowing(
    older: BorrowedFd<'_>,
    newer: BorrowedFd<'_>,
    known: &dyn Known,
    progress: &dyn Fn(u64),
) -> Result<Changes> {
    let older = Source::new(older, Side::Older)?;
    let newer = Source::new(newer, Side::Newer)?;
    Walk::new(Some(older), newer, Some(known), progress).run()
}

/// A path at which `newer` differs from `older`, if there is one: the walk ends there, and what is in
/// files is read only if nothing differs at sight.
pub fn first_difference(older: BorrowedFd<'_>, newer: BorrowedFd<'_>) -> Result<Option<TreePath>> {
    for at_sight in [true, false] {
        let sources = (Source::new(older, Side::Older)?, Source::new(newer, Side::Newer)?);
        let mut walk = Walk::new(Some(sources.0), sources.1, None, &|_| {});
        walk.at_sight = at_sight;
        if let Some(path) = walk.until_first()? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Everything in `newer`, as added; its root directory has no row.
pub fn walk_added(newer: BorrowedFd<'_>, progress: &dyn Fn(u64)) -> Result<Changes> {
    look_until_whole(|| Walk::new(None, Source::new(newer, Side::Newer)?, None, progress).run())
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
    fn enter(&mut self, name: &CStr) -> Result<Option<Vec<Entry>>, Failure> {
        match self.descent.enter(name) {
            Ok(()) => self.list().map(Some),
            Err(why) if is_gone(&why) => Ok(None),
            Err(why) => Err(Failure::new("", self.side, why)),
        }
    }

    fn list(&mut self) -> Result<Vec<Entry>, Failure> {
        match self.descent.current().and_then(directory_walker::list_entries) {
            Ok(mut entries) => {
                entries.retain(|entry| !self.boundary.is_no_file(entry.inode));
                Ok(entries)
            }
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
    known: Option<&'a dyn Known>,
    /// Nothing is read, be it that a difference is missed.
    at_sight: bool,
    looked_at: u64,
    progress: &'a dyn Fn(u64),
}

impl<'a> Walk<'a> {
    fn new(
        older: Option<Source<'a>>,
        newer: Source<'a>,
        known: Option<&'a dyn Known>,
        progress: &'a dyn Fn(u64),
    ) -> Self {
        let writer = ChangesWriter::new();
        Self {
            older,
            newer,
            writer,
            frames: Vec::new(),
            known,
            at_sight: false,
            looked_at: 0,
            progress,
        }
    }

    fn run(mut self) -> Result<Changes> {
        self.start().map_err(|failure| failure.at(&TreePath::root()))?;
        while self.step()? {}
        (self.progress)(self.looked_at);
        Ok(self.writer.finish())
    }

    /// Goes on until the first row.
    fn until_first(mut self) -> Result<Option<TreePath>> {
        self.start().map_err(|failure| failure.at(&TreePath::root()))?;
        while self.writer.is_empty() && self.step()? {}
        Ok(self.writer.finish().iter().next().map(|row| row.path))
    }

    /// Does what comes next; false if that was all.
    fn step(&mut self) -> Result<bool> {
        let Some(frame) = self.frames.last_mut() else { return Ok(false) };
        let next = frame.names.peek().map(|(name, _)| name.to_bytes());
        if let Some((name, way)) = frame.waiting.pop_before(next) {
            self.enter(&name, way).map_err(|failure| failure.at(&self.path_of(&name)))?;
        } else if let Some((name, way)) = frame.names.next() {
            match way {
                Way::Into(on) => self.compare(name, on)?,
                Way::Unchanged(_) => frame.waiting.push(name, way),
            }
        } else {
            self.leave();
        }
        Ok(true)
    }

    /// Compares the trees' root directories and lists them.
    fn start(&mut self) -> Result<(), Failure> {
        let newer = self.newer.list()?;
        let Some(older) = &mut self.older else {
            let sides = Sides { older: false, newer: true };
            self.frames.push(Frame::new(sides, Vec::new(), newer, None));
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
        self.push(Frame::new(Sides::BOTH, names, newer, self.known));
        Ok(())
    }

    /// Writes the row of one name, and has what is below it wait for its turn.
    fn compare(&mut self, name: CString, on: Sides) -> Result<()> {
        self.count(1);
        for _ in 0..TRIES {
            match self.try_compare(&name, on) {
                Ok(sides) => {
                    if let (Some(frame), true) = (self.frames.last_mut(), sides.any()) {
                        frame.waiting.push(name, Way::Into(sides));
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
        if self.at_sight {
            let kind = compare::difference_at_sight(&was, &is);
            return Ok(kind.map(|kind| (kind, is.facts)));
        }
        let Some(older) = &mut self.older else { return Ok(None) };
        let a = older.descent.current().map_err(|why| Failure::new("", Side::Older, why))?;
        let b = self.newer.descent.current().map_err(|why| Failure::new("", Side::Newer, why))?;
        let (older, newer) = ((Place { dir: a, name }, &was), (Place { dir: b, name }, &is));
        let kind = match self.known.is_some_and(|known| known.is_same_but_for_flags(&was, &is)) {
            true => compare::flags_differ(older, newer)?.then_some(ChangeKind::Metadata),
            false => compare::find_difference(older, newer)?,
        };
        Ok(kind.map(|kind| (kind, is.facts)))
    }

    fn enter(&mut self, name: &CStr, way: Way) -> Result<(), Failure> {
        let frame = match (way, &mut self.older) {
            (Way::Unchanged(inode), Some(older)) => {
                let Some(entries) = self.newer.enter(name)? else { return Ok(()) };
                older.descent.enter_unopened(name, (inode, older.boundary.root().device));
                Frame::unchanged(entries, self.known)
            }
            (Way::Unchanged(_), None) => return Ok(()),
            (Way::Into(sides), older) => {
                let older = match older {
                    Some(older) if sides.older => older.enter(name)?,
                    _ => None,
                };
                let newer = if sides.newer { self.newer.enter(name)? } else { None };
                let entered = Sides { older: older.is_some(), newer: newer.is_some() };
                if !entered.any() {
                    return Ok(());
                }
                let (older, newer) = (older.unwrap_or_default(), newer.unwrap_or_default());
                Frame::new(entered, older, newer, self.known)
            }
        };
        self.writer.descend(name.to_bytes());
        self.push(frame);
        Ok(())
    }

    fn push(&mut self, frame: Frame) {
        self.count(frame.equal);
        self.frames.push(frame);
    }

    /// Counts names that were looked at, and reports now and then.
    fn count(&mut self, names: u64) {
        let before = self.looked_at;
        self.looked_at += names;
        if before / REPORT_EVERY != self.looked_at / REPORT_EVERY {
            (self.progress)(self.looked_at);
        }
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

// The names of one directory in both trees, each once, and what is left to do with them.

/// Which of the trees have something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    pub(crate) older: bool,
    pub(crate) newer: bool,
}

impl Sides {
    pub(crate) const BOTH: Self = Self { older: true, newer: true };

    pub(crate) fn any(self) -> bool {
        self.older || self.newer
    }
}

/// How to go into a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On these sides.
    Into(Sides),
    /// It is the same in both trees, and has this inode number: one list is enough.
    Unchanged(u64),
}

/// One directory on the way: which sides have it, and what is left to do in it.
pub struct Frame {
    pub(crate) sides: Sides,
    /// Each name, and how to go into what is there if that is known without a look.
    pub names: Peekable<IntoIter<(CString, Way)>>,
    pub(crate) waiting: Waiting<Way>,
    /// How many names are in it of which nothing has to be said.
    pub equal: u64,
}

impl Frame {
    /// A directory that is listed in each of the trees that have it.
    pub fn new(
        sides: Sides,
        older: Vec<Entry>,
        newer: Vec<Entry>,
        known: Option<&dyn Known>,
    ) -> Self {
        Self::of(sides, merge_names(older, newer), known)
    }

    /// A directory that is the same in both trees.
    pub fn unchanged(entries: Vec<Entry>, known: Option<&dyn Known>) -> Self {
        let merged = entries.into_iter().map(|entry| (entry, Sides::BOTH, true)).collect();
        Self::of(Sides::BOTH, merged, known)
    }

    fn of(sides: Sides, merged: Vec<(Entry, Sides, bool)>, known: Option<&dyn Known>) -> Self {
        let mut names = Vec::new();
        let mut equal = 0;
        for (entry, sides, same_inode) in merged {
            let unchanged = same_inode && known.is_some_and(|k| k.is_unchanged(entry.inode));
            match entry.is_dir {
                Some(false) if unchanged => equal += 1,
                Some(true) if unchanged => names.push((entry.name, Way::Unchanged(entry.inode))),
                _ => names.push((entry.name, Way::Into(sides))),
            }
        }
        Self { sides, names: names.into_iter().peekable(), waiting: Waiting::default(), equal }
    }
}

/// The names of two sorted lists, each once, and whether both trees have the same inode number there.
fn merge_names(older: Vec<Entry>, newer: Vec<Entry>) -> Vec<(Entry, Sides, bool)> {
    let mut merged = Vec::with_capacity(older.len().max(newer.len()));
    let (mut older, mut newer) = (older.into_iter().peekable(), newer.into_iter().peekable());
    loop {
        let order = match (older.peek(), newer.peek()) {
            (None, None) => return merged,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.name.cmp(&b.name),
        };
        let sides = Sides { older: order.is_le(), newer: order.is_ge() };
        let from_older = if sides.older { older.next() } else { None };
        let from_newer = if sides.newer { newer.next() } else { None };
        let inodes = from_older.as_ref().zip(from_newer.as_ref());
        let same_inode = inodes.is_some_and(|(a, b)| a.inode == b.inode && a.is_dir == b.is_dir);
        merged.extend(from_newer.or(from_older).map(|entry| (entry, sides, same_inode)));
    }
}

// What a file system tells of two trees beforehand, so that a walk need not look at every file.

/// Knowledge of two trees in which a copied file keeps its inode number.
///
/// Who has it promises that nothing is mounted over a file of either.
pub trait Known {
    /// Whether the inode of this number is the same in both trees, bit for bit: what is in the file, or
    /// which names the directory has and where each leads, and all attributes.
    fn is_unchanged(&self, inode: u64) -> bool;

    /// Whether the two files of one name, now looked at, are the same for certain, but for their flags
    /// (chattr(1)) and project ids: no time need tell when those were set.
    fn is_same_but_for_flags(&self, was: &Stat, is: &Stat) -> bool;
}

#[cfg(test)]
#[path = "compare_trees_tests.rs"]
mod tests;
