//! Well-known state: what a path is, and what to do with it. The data is `well_known.toml`; users add to it in
//! their configuration. Pure: nothing here looks at a disk.

pub mod catalogue_entry;
pub(crate) mod path_pattern;
pub(crate) mod pattern_tree;
mod well_known;

use std::collections::HashSet;
use std::sync::LazyLock;

use dirfd::TreePath;

use crate::catalogue::catalogue_entry::CatalogueEntry;
use crate::catalogue::path_pattern::PathPattern;
use crate::catalogue::pattern_tree::{PatternMatch, PatternTree};

/// Entries, and the way from a path to the one that says most of it.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: Vec<CatalogueEntry>,
    /// Patterns from the root on.
    absolute: PatternTree,
    /// Patterns from a home on.
    below_home: PatternTree,
}

/// What the catalogue says of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'c> {
    /// The entry that says most of it.
    pub entry: &'c CatalogueEntry,
    /// The length in bytes of what the entry names: the path, or the parent of it that it lies in.
    pub named_bytes: usize,
    /// The entry names the path itself.
    pub names_path: bool,
}

/// The directories that `~` stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Homes {
    /// `/root`, and each directory in `/home`.
    #[default]
    Usual,
    /// These, without their leading slash.
    Given(HashSet<Vec<u8>>),
}

impl Homes {
    /// These homes and no other.
    pub fn given<'h>(homes: impl IntoIterator<Item = &'h TreePath>) -> Self {
        Self::Given(homes.into_iter().map(|home| home.as_bytes().to_vec()).collect())
    }

    /// Where the part of `path` below its home begins; `None` where no home holds it.
    fn start_below(&self, path: &[u8]) -> Option<usize> {
        match self {
            Self::Usual if path.starts_with(b"root/") => Some(b"root/".len()),
            Self::Usual => {
                let user = path.strip_prefix(b"home/")?;
                let end = user.iter().position(|&b| b == b'/').filter(|&end| end > 0)?;
                Some(path.len() - user.len() + end + 1)
            }
            // The innermost, where one home lies in another.
            Self::Given(homes) => {
                let slashes = path.iter().enumerate().rev().filter(|&(_, &b)| b == b'/');
                let mut ends = slashes.map(|(at, _)| at);
                Some(ends.find(|&end| homes.contains(&path[..end]))? + 1)
            }
        }
    }
}

impl Catalogue {
    /// What comes with the program.
    pub fn well_known() -> &'static Self {
        static WELL_KNOWN: LazyLock<Catalogue> =
            LazyLock::new(|| Catalogue::default().with_more(well_known::read_entries()));
        &WELL_KNOWN
    }

    /// The same with more entries. Of two paths that say equally much, a user's own comes first, and then the
    /// earlier one. An entry whose path is no pattern is left out: the configuration has refused it.
    pub fn with_more(&self, more: impl IntoIterator<Item = CatalogueEntry>) -> Self {
        let mut with_more = self.clone();
        for entry in more {
            let Ok(patterns) = PathPattern::parse(&entry.path) else { continue };
            for pattern in patterns {
                let tree = match pattern.in_home {
                    true => &mut with_more.below_home,
                    false => &mut with_more.absolute,
                };
                tree.insert(&pattern, with_more.entries.len(), entry.line.is_some());
            }
            with_more.entries.push(entry);
        }
        with_more
    }

    /// All entries, in the order of their files.
    pub fn entries(&self) -> &[CatalogueEntry] {
        &self.entries
    }

    /// What is known of `path`, which is given without its leading slash.
    pub fn find(&self, path: &[u8]) -> Option<Found<'_>> {
        self.find_in_homes(path, &Homes::Usual)
    }

    /// Whether what has this very path is there only while the machine runs. In a directory that all may write in,
    /// root's alone is.
    pub(crate) fn is_of_running(&self, path: &[u8], uid: u32) -> bool {
        let is_shared = path.starts_with(b"var/tmp/") || path.starts_with(b"tmp/");
        let found = self.find(path).filter(|_| uid == 0 || !is_shared);
        found.is_some_and(|found| found.entry.running && found.named_bytes == path.len())
    }

    /// Whether the time of writing is what the file at `path` is there for, so that the same bytes are not the same.
    pub(crate) fn mtime_counts(&self, path: &[u8]) -> bool {
        self.find(path).is_some_and(|found| found.entry.mtime)
    }

    /// The same where homes are elsewhere.
    pub fn find_in_homes(&self, path: &[u8], homes: &Homes) -> Option<Found<'_>> {
        let mut best: Option<PatternMatch> = None;
        let mut consider = |found: PatternMatch| {
            if best.is_none_or(|best| found > best) {
                best = Some(found);
            }
        };
        self.absolute.walk(path, 0, &mut consider);
        if let Some(start) = homes.start_below(path) {
            self.below_home.walk(path, start, &mut consider);
        }
        let found = best?;
        Some(Found {
            entry: self.entries.get(found.entry())?,
            named_bytes: found.named_bytes,
            names_path: found.named_bytes == path.len(),
        })
    }
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
