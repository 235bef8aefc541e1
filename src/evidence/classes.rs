//! The class of each change: what the last old roots tell of it. Pure.
//!
//! A path that no boot had is somebody's data, or will be; one that each boot made again, the same in every
//! byte, comes back by itself; one that has several versions is identity, cache or a database. Identifiers in
//! paths are replaced first, so that a log below the id of the machine is the same path in each boot.

use std::borrow::Cow;
use std::collections::HashMap;

use dirfd::fingerprint::Content;
use dirfd::{ChangeKind, Changes, Facts, FileType};

use crate::evidence::digest::{Digest, DigestRow};
use crate::evidence::path_template::template_of;
use crate::ui::figures;
use crate::ui::json_value::HasWord;

/// What old roots tell of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// None of them had it.
    New,
    /// So many of them had it, and not all.
    Some(u16),
    /// All had it, in two versions at least, as far as anybody can know: what was not read counts as one of
    /// its own.
    Changing,
    /// All had it, the same in every byte.
    Same,
}

impl Class {
    /// The word for it in all output.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Some(_) => "some",
            Self::Changing => "changing",
            Self::Same => "same",
        }
    }

    /// How many old roots had it, of so many that were asked.
    pub(crate) fn boots(self, asked: u16) -> u16 {
        match self {
            Self::New => 0,
            Self::Some(boots) => boots,
            Self::Changing | Self::Same => asked,
        }
    }
}

/// How many changes there are of each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassCounts {
    counts: [u64; CLASSES.len()],
}

/// The words of all classes, in the order of all output: what needs eyes comes first.
pub(crate) const CLASSES: [&str; 4] = ["new", "some", "changing", "same"];

impl HasWord for Class {
    fn word(&self) -> &'static str {
        Class::word(*self)
    }

    #[cfg(test)]
    fn all_words() -> Vec<&'static str> {
        CLASSES.to_vec()
    }
}

impl ClassCounts {
    /// The count of one.
    pub(crate) fn one(class: Option<Class>) -> Self {
        let mut counts = Self::default();
        let slot = class.and_then(|class| CLASSES.iter().position(|word| *word == class.word()));
        if let Some(slot) = slot {
            counts.counts[slot] = 1;
        }
        counts
    }

    /// Adds others.
    pub(crate) fn add(&mut self, other: Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
    }

    /// `new` where all are, else `3 new, 2 changing`; `None` where there are none.
    pub(crate) fn describe(&self) -> Option<String> {
        let there: Vec<_> = self.iter().filter(|(_, count)| *count > 0).collect();
        match &there[..] {
            [] => None,
            [(word, _)] => Some((*word).to_string()),
            several => {
                let words = several.iter();
                let words = words.map(|(word, n)| format!("{} {word}", figures::format_count(*n)));
                Some(words.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Each word with its count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip(self.counts)
    }
}

/// One version of a file: all that two boots are compared by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version {
    kind: ChangeKind,
    facts: Facts,
    content: Content,
}

impl Version {
    /// The version that a tree has now; `target` is what it says if it is a link, else empty.
    pub(crate) fn new(kind: ChangeKind, facts: Facts, content: Content, target: &[u8]) -> Self {
        let content = match (facts.file_type, content) {
            (FileType::Symlink, Content::Nothing) => Content::of_parts(&[target]),
            (FileType::Symlink, Content::Whole(hash)) => Content::of_parts(&[&hash, target]),
            (_, content) => content,
        };
        Self { kind, facts, content }
    }

    fn of_row(row: &DigestRow<'_>) -> Self {
        Self::new(row.kind, row.facts, row.content, row.target)
    }

    /// Whether two are alike as far as looking at them tells, without reading.
    fn looks_like(&self, other: &Self) -> bool {
        let is_file = self.facts.file_type == FileType::File;
        self.has_facts_of(other) && (!is_file || self.facts.size == other.facts.size)
    }

    /// The same of all but what they hold.
    fn has_facts_of(&self, other: &Self) -> bool {
        let facts = |facts: &Facts| (facts.file_type, facts.mode, facts.uid, facts.gid);
        self.kind == other.kind && facts(&self.facts) == facts(&other.facts)
    }

    /// Whether two are the same in every byte. What was not read is the same as nothing.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let is_removed = self.kind == ChangeKind::Removed;
        self.looks_like(other) && (is_removed || self.content.is_same_as(other.content))
    }
}

/// What is known of one change, from the digests that were looked at so far.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// How many had it.
    boots: u16,
    /// The version of the youngest that had it.
    version: Option<Version>,
    /// Whether two of them differ, or cannot be compared.
    differs: bool,
    /// Whether two of them differ in more than what they hold: in kind, file type, owner or mode.
    facts_differ: bool,
    /// Whether two of them were written at different times.
    is_rewritten: bool,
    /// The last digest that had it, counted from one.
    last: u16,
    /// Whether the time of writing is what the file is there for: then the same bytes are not the same.
    mtime_counts: bool,
}

impl Track {
    fn add(&mut self, digest: u16, version: Version) {
        match &self.version {
            Some(first) => {
                self.differs |= !first.is_same_as(&version);
                self.facts_differ |= !first.has_facts_of(&version);
                self.is_rewritten |= first.facts.mtime != version.facts.mtime;
            }
            None => {
                let is_removed = version.kind == ChangeKind::Removed;
                self.differs |= !is_removed && !version.content.is_whole();
                self.version = Some(version);
            }
        }
        self.boots += 1;
        self.last = digest;
    }
}

/// The classes of all changes, in their order.
#[derive(Debug)]
pub struct Classes {
    /// How many old roots were looked at.
    boots: u16,
    tracks: Vec<Track>,
    /// The changes whose path carries an identifier, by the path's template.
    templated: Vec<(usize, Vec<u8>)>,
}

impl Classes {
    /// Of these changes, before any digest was looked at.
    pub(crate) fn new(changes: &Changes) -> Self {
        let mut templated = Vec::new();
        let mut cursor = changes.cursor();
        let mut at = 0;
        while let Some((path, ..)) = cursor.next_row() {
            if let Cow::Owned(template) = template_of(path) {
                templated.push((at, template));
            }
            at += 1;
        }
        Self { boots: 0, tracks: vec![Track::default(); changes.len()], templated }
    }

    /// Looks at the next digest, the youngest first. One that was cut tells nothing of what it has not, and must
    /// not be given.
    pub(crate) fn add(&mut self, changes: &Changes, digest: &Digest) {
        self.boots += 1;
        let number = self.boots;
        // Rows whose path carries an identifier, by template; the second of one template leaves none to compare.
        let mut by_template: HashMap<Vec<u8>, Option<Version>> = HashMap::new();
        let (mut cursor, mut at) = (changes.cursor(), 0);
        let mut here = cursor.next_row().map(|(path, ..)| path.to_vec());
        let mut rows = digest.cursor();
        while let Some(row) = rows.next_row() {
            while here.as_deref().is_some_and(|path| path < row.path) {
                at += 1;
                advance(&mut here, cursor.next_row().map(|(path, ..)| path));
            }
            if here.as_deref() == Some(row.path) {
                self.tracks[at].add(number, Version::of_row(&row));
            }
            if !self.templated.is_empty()
                && let Cow::Owned(template) = template_of(row.path)
            {
                let version = Version::of_row(&row);
                by_template
                    .entry(template)
                    .and_modify(|only| *only = None)
                    .or_insert(Some(version));
            }
        }
        for (at, template) in &self.templated {
            let track = &mut self.tracks[*at];
            match by_template.get(template) {
                Some(_) if track.last == number => {}
                Some(Some(version)) => track.add(number, *version),
                Some(None) => {
                    track.differs = true;
                    track.boots += 1;
                    track.last = number;
                }
                None => {}
            }
        }
    }

    /// How many old roots were looked at.
    pub(crate) fn boots(&self) -> u16 {
        self.boots
    }

    /// Says of which paths the time of writing is what they are there for, once all digests were looked at.
    pub(crate) fn regard_mtimes(
        &mut self,
        changes: &Changes,
        mtime_counts: impl Fn(&[u8]) -> bool,
    ) {
        let mut cursor = changes.cursor();
        for track in &mut self.tracks {
            let Some((path, ..)) = cursor.next_row() else { return };
            // Of all others the answer would change nothing.
            let is_same = track.boots == self.boots && !track.differs;
            track.mtime_counts = is_same && mtime_counts(path);
        }
    }

    /// The class of the change at this place; `None` where no old root was looked at.
    pub(crate) fn class(&self, at: usize) -> Option<Class> {
        let track = self.tracks.get(at).filter(|_| self.boots > 0)?;
        let differs = track.differs || (track.mtime_counts && track.is_rewritten);
        Some(match track.boots {
            0 => Class::New,
            some if some < self.boots => Class::Some(some),
            _ if differs => Class::Changing,
            _ => Class::Same,
        })
    }

    /// Whether no old root had the stray at this place as it is. Of one that several had in one version, and live has
    /// in another, that is certain; of one with several versions, if all were alike but for what they hold, and live is
    /// not. One old root alone tells of no file whether it changes at each boot.
    pub(crate) fn is_news(&self, at: usize, kind: ChangeKind, facts: &Facts) -> bool {
        let Some(track) = self.tracks.get(at) else { return true };
        let now = Version { kind, facts: *facts, content: Content::Nothing };
        // What is missing now was not put there; many a program removes when it starts what it wrote when it ended.
        let has_other_facts = kind != ChangeKind::Removed
            && !track.facts_differ
            && track.version.as_ref().is_some_and(|version| !version.has_facts_of(&now));
        match self.class(at) {
            None | Some(Class::New) => true,
            Some(Class::Same) => self.boots > 1 || has_other_facts,
            Some(Class::Some(_) | Class::Changing) => has_other_facts,
        }
    }

    /// The version that all of them had of the change at this place, if live looks the same today, so that
    /// reading it may show that it is. None where the time of writing counts.
    pub(crate) fn version_to_read_for(
        &self,
        at: usize,
        kind: ChangeKind,
        facts: &Facts,
    ) -> Option<&Version> {
        let track = self.tracks.get(at).filter(|track| !track.mtime_counts)?;
        let now = Version { kind, facts: *facts, content: Content::Nothing };
        let is_same = self.class(at) == Some(Class::Same);
        track.version.as_ref().filter(|version| is_same && version.looks_like(&now))
    }
}

/// Puts the next path in place of the last one, in the memory that is there.
fn advance(here: &mut Option<Vec<u8>>, next: Option<&[u8]>) {
    match (here.as_mut(), next) {
        (Some(path), Some(next)) => {
            path.clear();
            path.extend_from_slice(next);
        }
        (_, next) => *here = next.map(<[u8]>::to_vec),
    }
}

#[cfg(test)]
#[path = "classes_tests.rs"]
mod tests;
