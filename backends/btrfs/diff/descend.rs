//! Goes down both trees at once, only where something was written, and records what differs.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags, statx};

use super::Side;
use super::files::{Contents, Files};
use super::listing::{Entry, Listing};
use crate::btrfs::items::{InodeItem, Target};
use crate::btrfs::search::Searcher;
use crate::btrfs::top::{ROOT_INODE, Top};
use crate::changes::{ChangeKind, Changes, ChangesWriter, Facts, FileType};

/// The changes from `older` to `newer`.
pub fn changes(top: &Top, older: &Side<'_>, newer: &Side<'_>) -> io::Result<Changes> {
    let mut descent = Descent {
        older: Half::new(top, older),
        newer: Half::new(top, newer),
        files: Files::new(older.subvolume.fd.as_fd(), newer.subvolume.fd.as_fd()),
        writer: ChangesWriter::new(),
    };
    descent.root()?;
    let mut stack = vec![descent.frame(Some(ROOT_INODE), Some(ROOT_INODE))?];
    while let Some(frame) = stack.last_mut() {
        let Some(event) = frame.events.get(frame.next).copied() else {
            stack.pop();
            descent.writer.ascend();
            continue;
        };
        frame.next += 1;
        let newer = event.newer.map(|at| frame.newer.entry(at));
        let older = event.older.map(|at| frame.older.entry(at));
        let name = frame.name(&event);
        if event.descend {
            descent.writer.descend(name);
            let next = descent.frame(directory(newer), directory(older))?;
            stack.push(next);
        } else {
            descent.row(name, newer, older)?;
        }
    }
    Ok(descent.writer.finish())
}

fn directory(entry: Option<&Entry>) -> Option<u64> {
    match entry?.target {
        Target::Inode(ino) if entry?.file_type == FileType::Dir => Some(ino),
        _ => None,
    }
}

/// One of the trees with what reading it needs.
struct Half<'a> {
    side: &'a Side<'a>,
    search: Searcher<'a>,
}

impl<'a> Half<'a> {
    fn new(top: &Top, side: &'a Side<'a>) -> Self {
        Self { side, search: Searcher::subvolume(side.subvolume.fd.as_fd(), top) }
    }

    fn inode(&mut self, ino: u64) -> io::Result<Option<InodeItem>> {
        match self.side.touched.inode(ino) {
            Some(item) => Ok(Some(*item)),
            None => self.search.inode(ino),
        }
    }

    fn listing(&mut self, dir: Option<u64>) -> io::Result<Names<'a>> {
        let Some(ino) = dir else { return Ok(Names::Own(Listing::default())) };
        let touched = &self.side.touched;
        if touched.is_new(ino) {
            let (listing, entries) = touched.new_entries(ino);
            return Ok(Names::Scanned(listing, entries));
        }
        let mut listing = Listing::default();
        self.search.each_entry(ino, |item| listing.push_items(item, 0))?;
        Ok(Names::Own(listing))
    }
}

/// The entries of one directory in one tree.
enum Names<'a> {
    /// Found by the scan, of a new directory.
    Scanned(&'a Listing, &'a [Entry]),
    /// Read for this frame.
    Own(Listing),
}

impl Names<'_> {
    fn entries(&self) -> &[Entry] {
        match self {
            Self::Scanned(_, entries) => entries,
            Self::Own(listing) => listing.entries(),
        }
    }

    fn entry(&self, at: u32) -> &Entry {
        &self.entries()[at as usize]
    }

    fn name(&self, at: u32) -> &[u8] {
        match self {
            Self::Scanned(listing, entries) => listing.name(&entries[at as usize]),
            Self::Own(listing) => listing.name(&listing.entries()[at as usize]),
        }
    }
}

/// A directory that is being compared.
struct Frame<'a> {
    newer: Names<'a>,
    older: Names<'a>,
    /// In the order of paths: a row has the key `name`, the descent into it the key `name/`.
    events: Vec<Event>,
    next: usize,
}

impl<'a> Frame<'a> {
    fn new(newer: Names<'a>, older: Names<'a>, events: Vec<Event>) -> Self {
        let mut frame = Self { newer, older, events: Vec::new(), next: 0 };
        let mut events = events;
        events.sort_unstable_by(|a, b| frame.compare_keys(a, b));
        frame.events = events;
        frame
    }

    fn compare_keys(&self, a: &Event, b: &Event) -> std::cmp::Ordering {
        let slash = |event: &Event| event.descend.then_some(&b'/');
        let (name_a, name_b) = (self.name(a).iter(), self.name(b).iter());
        name_a.chain(slash(a)).cmp(name_b.chain(slash(b)))
    }

    fn name(&self, event: &Event) -> &[u8] {
        match (event.newer, event.older) {
            (Some(at), _) => self.newer.name(at),
            (None, Some(at)) => self.older.name(at),
            (None, None) => &[],
        }
    }
}

/// A row to write or a directory to enter; positions in the frame's listings.
#[derive(Clone, Copy, Debug)]
struct Event {
    newer: Option<u32>,
    older: Option<u32>,
    descend: bool,
}

struct Descent<'a> {
    older: Half<'a>,
    newer: Half<'a>,
    files: Files<'a>,
    writer: ChangesWriter,
}

impl<'a> Descent<'a> {
    fn root(&mut self) -> io::Result<()> {
        if self.is_untouched(ROOT_INODE) {
            return Ok(());
        }
        if let (Some(newer), Some(older)) =
            (self.newer.inode(ROOT_INODE)?, self.older.inode(ROOT_INODE)?)
            && self.metadata_differs((ROOT_INODE, &newer), (ROOT_INODE, &older))?
        {
            self.writer.record_root(ChangeKind::Metadata, facts(FileType::Dir, &newer));
        }
        Ok(())
    }

    /// The same inode in both trees, and not written to in either.
    fn is_untouched(&self, ino: u64) -> bool {
        self.newer.side.touched.inode(ino).is_none() && self.older.side.touched.inode(ino).is_none()
    }

    fn leads_on(&self, ino: u64) -> bool {
        [&self.newer, &self.older].iter().any(|half| half.side.touched.leads.has(ino))
    }

    fn frame(&mut self, newer: Option<u64>, older: Option<u64>) -> io::Result<Frame<'a>> {
        if let (Some(ino), true) = (newer, newer == older)
            && self.lost_nothing(ino)?
        {
            return Ok(self.frame_of_news(ino));
        }
        let (newer_names, older_names) = (self.newer.listing(newer)?, self.older.listing(older)?);
        let events = if newer == older {
            self.pair_by_index(&newer_names, &older_names)
        } else {
            let all = |names: &Names<'_>| (0..names.entries().len() as u32).collect();
            let (new, old) = (all(&newer_names), all(&older_names));
            self.pair_by_name(&newer_names, new, &older_names, old)
        };
        Ok(Frame::new(newer_names, older_names, events))
    }

    /// Whether a directory that both trees have kept every entry that it had: either it was not
    /// touched, or its size grew by just what its new entries add. A directory's size is the sum of
    /// its names, which the kernel itself relies on to tell whether it is empty.
    fn lost_nothing(&mut self, ino: u64) -> io::Result<bool> {
        if self.is_untouched(ino) {
            return Ok(true);
        }
        if !self.older.side.touched.is_empty() {
            return Ok(false);
        }
        let (Some(newer), Some(older)) = (self.newer.inode(ino)?, self.older.inode(ino)?) else {
            return Ok(false);
        };
        let (_, news) = self.newer.side.touched.new_entries(ino);
        let added: u64 = news.iter().map(Entry::directory_bytes).sum();
        Ok(newer.size == older.size.saturating_add(added))
    }

    /// A directory that lost nothing: only its new entries matter, and the old ones that lead on.
    fn frame_of_news(&self, ino: u64) -> Frame<'a> {
        let (listing, news) = self.newer.side.touched.new_entries(ino);
        let mut newer = Listing::default();
        for entry in news {
            newer.push_entry(listing, entry);
        }
        let news_end = newer.len();
        let mut news: Vec<&[u8]> = news.iter().map(|entry| listing.name(entry)).collect();
        news.sort_unstable();
        let mut older = Listing::default();
        let mut leads: Vec<_> = [&self.newer, &self.older]
            .iter()
            .flat_map(|half| half.side.touched.leads.of(ino))
            .filter(|(name, _)| news.binary_search(name).is_err())
            .collect();
        leads.sort_unstable();
        leads.dedup();
        for (name, child) in leads {
            let file_type = self.type_of(child);
            newer.push(name, 0, file_type, Target::Inode(child));
            older.push(name, 0, file_type, Target::Inode(child));
        }
        let mut events = Vec::new();
        for (at, entry) in newer.entries().iter().enumerate() {
            let same = at.checked_sub(news_end).and_then(|at| Some((at, older.entries().get(at)?)));
            let same = same.map(|(at, entry)| (at as u32, entry));
            self.push_events(&mut events, Some((at as u32, entry)), same);
        }
        Frame::new(Names::Own(newer), Names::Own(older), events)
    }

    /// What a lead goes to: something touched, or a directory on the way to it.
    fn type_of(&self, ino: u64) -> FileType {
        let touched =
            self.newer.side.touched.inode(ino).or_else(|| self.older.side.touched.inode(ino));
        touched.and_then(|item| FileType::from_mode(item.mode)).unwrap_or(FileType::Dir)
    }

    /// Pairs the entries of one directory in its two states. An entry that was not touched kept its
    /// index, so that most pairs are found without comparing names.
    fn pair_by_index(&self, newer: &Names<'_>, older: &Names<'_>) -> Vec<Event> {
        let (new, old) = (newer.entries(), older.entries());
        let (mut i, mut j) = (0, 0);
        let (mut rest_new, mut rest_old) = (Vec::new(), Vec::new());
        let mut events = Vec::new();
        while i < new.len() || j < old.len() {
            let order = match (new.get(i), old.get(j)) {
                (Some(a), Some(b)) => a.index.cmp(&b.index),
                (Some(_), None) => std::cmp::Ordering::Less,
                _ => std::cmp::Ordering::Greater,
            };
            if order.is_eq() {
                let (at_new, at_old) = (i as u32, j as u32);
                if newer.name(at_new) == older.name(at_old) {
                    let pair = (Some((at_new, &new[i])), Some((at_old, &old[j])));
                    self.push_events(&mut events, pair.0, pair.1);
                } else {
                    rest_new.push(at_new);
                    rest_old.push(at_old);
                }
            }
            if order.is_lt() {
                rest_new.push(i as u32);
            }
            if order.is_gt() {
                rest_old.push(j as u32);
            }
            i += usize::from(order.is_le());
            j += usize::from(order.is_ge());
        }
        events.append(&mut self.pair_by_name(newer, rest_new, older, rest_old));
        events
    }

    fn pair_by_name(
        &self,
        newer: &Names<'_>,
        mut new: Vec<u32>,
        older: &Names<'_>,
        mut old: Vec<u32>,
    ) -> Vec<Event> {
        new.sort_unstable_by(|a, b| newer.name(*a).cmp(newer.name(*b)));
        old.sort_unstable_by(|a, b| older.name(*a).cmp(older.name(*b)));
        let (mut new, mut old) = (new.into_iter().peekable(), old.into_iter().peekable());
        let mut events = Vec::new();
        loop {
            let (take_new, take_old) = match (new.peek(), old.peek()) {
                (None, None) => return events,
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some(&a), Some(&b)) => {
                    let order = newer.name(a).cmp(older.name(b));
                    (order.is_le(), order.is_ge())
                }
            };
            let a = if take_new { new.next() } else { None };
            let b = if take_old { old.next() } else { None };
            let (a, b) = (a.map(|at| (at, newer.entry(at))), b.map(|at| (at, older.entry(at))));
            self.push_events(&mut events, a, b);
        }
    }

    /// Adds what has to be done for one name.
    fn push_events(
        &self,
        events: &mut Vec<Event>,
        newer: Option<(u32, &Entry)>,
        older: Option<(u32, &Entry)>,
    ) {
        let (new_dir, old_dir) =
            (directory(newer.map(|(_, e)| e)), directory(older.map(|(_, e)| e)));
        let event = Event {
            newer: newer.map(|(at, _)| at),
            older: older.map(|(at, _)| at),
            descend: false,
        };
        let same = match (newer, older) {
            (Some((_, new)), Some((_, old))) => match (new.target, old.target) {
                // The stub that a snapshot leaves of a subvolume counts as the subvolume.
                (Target::Subvolume(_), Target::Subvolume(_)) => true,
                (Target::Inode(a), Target::Inode(b)) => a == b && self.is_untouched(a),
                _ => false,
            },
            _ => false,
        };
        if !same {
            events.push(event);
        }
        let enter = match new_dir.or(old_dir) {
            Some(ino) => !same || self.leads_on(ino),
            None => false,
        };
        if enter {
            events.push(Event { descend: true, ..event });
        }
    }

    fn row(&mut self, name: &[u8], newer: Option<&Entry>, older: Option<&Entry>) -> io::Result<()> {
        let new = match newer {
            Some(entry) => self.facts_of(true, name, entry)?,
            None => None,
        };
        match (newer.zip(new), older) {
            (Some((_, (facts, _))), None) => self.writer.record(name, ChangeKind::Added, facts),
            (Some((a, (facts, _))), Some(b)) if a.file_type != b.file_type => {
                self.writer.record(name, ChangeKind::Replaced, facts);
            }
            (Some((a, (facts, new))), Some(b)) => {
                if let (Some(new), Target::Inode(new_ino), Target::Inode(old_ino)) =
                    (new, a.target, b.target)
                    && let Some(old) = self.older.inode(old_ino)?
                    && let Some(kind) = self.compare(name, a, (new_ino, &new), (old_ino, &old))?
                {
                    self.writer.record(name, kind, facts);
                }
            }
            (None, Some(b)) => {
                if let Some((facts, _)) = self.facts_of(false, name, b)? {
                    self.writer.record(name, ChangeKind::Removed, facts);
                }
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// `None` if it is gone since its directory was read.
    fn facts_of(
        &mut self,
        newer: bool,
        name: &[u8],
        entry: &Entry,
    ) -> io::Result<Option<(Facts, Option<InodeItem>)>> {
        let half = if newer { &mut self.newer } else { &mut self.older };
        match entry.target {
            Target::Inode(ino) => Ok(half.inode(ino)?.map(|item| {
                let facts = facts(entry.file_type, &item);
                (facts, Some(item))
            })),
            Target::Subvolume(_) => {
                let path = self.writer.current_path().join(name);
                let dir = half.side.subvolume.fd.as_fd();
                Ok(subvolume_facts(dir, &path)?.map(|facts| (facts, None)))
            }
        }
    }

    fn compare(
        &mut self,
        name: &[u8],
        entry: &Entry,
        newer: (u64, &InodeItem),
        older: (u64, &InodeItem),
    ) -> io::Result<Option<ChangeKind>> {
        let contents = match entry.file_type {
            FileType::File => {
                let path = self.writer.current_path().join(name);
                let (new, old) = (&mut self.newer.search, &mut self.older.search);
                self.files.contents(
                    &path,
                    (new, newer.0, newer.1.size),
                    (old, older.0, older.1.size),
                )?
            }
            FileType::Symlink => {
                let path = self.writer.current_path().join(name);
                self.files.link_targets(&path)?
            }
            FileType::Block | FileType::Char if newer.1.rdev != older.1.rdev => Contents::Differ,
            _ => Contents::Same,
        };
        Ok(match contents {
            Contents::NewerGone => Some(ChangeKind::Removed),
            Contents::Differ => Some(ChangeKind::Modified),
            Contents::Same if self.metadata_differs(newer, older)? => Some(ChangeKind::Metadata),
            Contents::Same => None,
        })
    }

    fn metadata_differs(
        &mut self,
        (new_ino, new): (u64, &InodeItem),
        (old_ino, old): (u64, &InodeItem),
    ) -> io::Result<bool> {
        Ok((new.mode, new.uid, new.gid) != (old.mode, old.uid, old.gid)
            || self.newer.search.xattrs(new_ino)? != self.older.search.xattrs(old_ino)?)
    }
}

fn facts(file_type: FileType, item: &InodeItem) -> Facts {
    Facts {
        file_type,
        mode: (item.mode & 0o7777) as u16,
        uid: item.uid,
        gid: item.gid,
        size: item.size,
        mtime: item.mtime,
        mtime_nanos: item.mtime_nanos,
    }
}

/// What the root of a nested subvolume is; a stub has no time of its own, so it gets none.
fn subvolume_facts(
    dir: std::os::fd::BorrowedFd<'_>,
    path: &crate::TreePath,
) -> io::Result<Option<Facts>> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match statx(dir, path.as_path(), flags, StatxFlags::BASIC_STATS) {
        Ok(stat) => Ok(Some(Facts {
            file_type: FileType::Subvolume,
            mode: stat.stx_mode & 0o7777,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            size: 0,
            mtime: if stat.stx_ino == ROOT_INODE { stat.stx_mtime.tv_sec } else { 0 },
            mtime_nanos: if stat.stx_ino == ROOT_INODE { stat.stx_mtime.tv_nsec } else { 0 },
        })),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
