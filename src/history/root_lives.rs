//! What each former root lost when it was set aside: how much, how much of it no root before had, what of that
//! somebody may miss, and what grew. Pure.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, Utc};
use dirfd::{ChangeKind, Changes, FileType};
use serde::Serialize;

use crate::catalogue::Catalogue;
use crate::catalogue::catalogue_entry::Advice;
use crate::config::Config;
use crate::diff::classify::{Verdict, Verdicts, classify};
use crate::diff::summary::new_bytes;
use crate::evidence::classes::{Class, Classes};
use crate::evidence::digest::Digest;
use crate::evidence::path_template::template_of;
use crate::evidence::topmost_added::TopmostAdded;
use crate::ui::json_value::as_machine_path;
#[cfg(test)]
use crate::ui::json_value::{JsonPath, JsonTime};

/// One life of the root: from when a fresh copy of blank became live until it was set aside.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RootLife {
    /// The name of the old root; null of live.
    pub(crate) name: Option<String>,
    /// When it was made: RFC 3339, in UTC; null where that is not known.
    #[cfg_attr(test, schemars(with = "Option<JsonTime>"))]
    pub(crate) began: Option<DateTime<Utc>>,
    /// When it was set aside: RFC 3339, in UTC; null of live.
    #[cfg_attr(test, schemars(with = "Option<JsonTime>"))]
    pub(crate) ended: Option<DateTime<Utc>>,
    /// How many boots it was live in; null where none was written down.
    pub(crate) boots: Option<usize>,
    /// What it lost, or what live has to lose.
    pub(crate) lost: Loss,
}

/// Strays of one root: what was neither kept nor declared disposable.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Loss {
    /// How many paths.
    pub(crate) paths: u64,
    /// Bytes in the regular files that the root had and blank has not.
    pub(crate) bytes: u64,
    /// How many of the paths none of the roots before had; null where there was no root before.
    pub(crate) new: Option<u64>,
    /// At most 3 of the new ones, what somebody may miss first; a directory that is new as a whole is one.
    pub(crate) notable: Vec<NewPath>,
    /// At most 3 files that grew by 64 KiB or more since the root before, the most first.
    pub(crate) grew: Vec<Growth>,
}

/// Something that no root before had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct NewPath {
    /// Where it is on the machine; here without the slash at its beginning.
    #[serde(serialize_with = "as_machine_path")]
    #[cfg_attr(test, schemars(with = "JsonPath<'_>"))]
    pub(crate) path: Vec<u8>,
    /// How many paths: itself, and what is in it.
    pub(crate) paths: u64,
    /// Bytes in its regular files.
    pub(crate) bytes: u64,
    /// What the catalogue says that it is; null where it says nothing.
    pub(crate) what: Option<String>,
    #[serde(skip)]
    rank: Rank,
}

/// How much somebody may miss it, the most first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    ToKeep,
    #[default]
    Unknown,
    Disposable,
}

/// A file that the root before had, too, and that had fewer bytes there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Growth {
    /// Where it is on the machine; here without the slash at its beginning.
    #[serde(serialize_with = "as_machine_path")]
    #[cfg_attr(test, schemars(with = "JsonPath<'_>"))]
    pub(crate) path: Vec<u8>,
    /// How many bytes more it has.
    pub(crate) bytes: u64,
}

/// The changes of a root, judged by the roots before it.
#[derive(Debug)]
pub(crate) struct JudgedRoot {
    pub(crate) loss: Loss,
    pub(crate) verdicts: Verdicts,
    pub(crate) classes: Classes,
}

/// Maximum number of things that are named of one root.
const NAMED: usize = 3;
/// Growth by less is no news.
const WORTH_TELLING: u64 = 64 << 10;

/// Looks at one root after the other, the oldest first.
pub(crate) struct LossFinder<'c> {
    config: &'c Config,
    catalogue: &'c Catalogue,
    /// The digests of the roots before, the youngest first: as many as a change is compared with.
    before: VecDeque<Digest>,
    most: usize,
}

impl<'c> LossFinder<'c> {
    /// For this configuration.
    pub(crate) fn new(config: &'c Config, catalogue: &'c Catalogue) -> Self {
        let most = (config.evidence.old_roots as usize).max(1);
        Self { config, catalogue, before: VecDeque::new(), most }
    }

    /// Looks at the next root, which those that come are compared with, too.
    pub(crate) fn add_root(&mut self, digest: Digest) {
        self.before.push_front(digest);
        self.before.truncate(self.most);
    }

    /// What a root with these changes lost, or has to lose, after those that were looked at.
    pub(crate) fn judge(&self, changes: &Changes) -> JudgedRoot {
        let verdicts = classify(changes, self.config);
        let mut classes = Classes::new(changes);
        self.before.iter().for_each(|before| classes.add(changes, before));
        let sizes = self.before.front().map(sizes_of).unwrap_or_default();
        let mut loss = Loss { new: (classes.boots() > 0).then_some(0), ..Loss::default() };
        let (mut new_paths, mut dirs): (HashMap<usize, NewPath>, _) =
            (HashMap::new(), TopmostAdded::default());
        let (mut cursor, mut at) = (changes.cursor(), 0);
        while let Some((path, kind, facts)) = cursor.next_row() {
            let is_new = classes.class(at) == Some(Class::New);
            let top = dirs.enter(at, path, kind, facts, is_new);
            if verdicts.get(at) == Some(Verdict::Stray) {
                let bytes = new_bytes(kind, facts);
                loss.paths += 1;
                loss.bytes = loss.bytes.saturating_add(bytes);
                if is_new {
                    loss.new = loss.new.map(|new| new + 1);
                    // A new directory is named once, and comes before what is in it.
                    let whole = top.filter(|top| classes.class(*top) == Some(Class::New));
                    let one =
                        new_paths.entry(whole.unwrap_or(at)).or_insert_with(|| self.named(path));
                    one.paths += 1;
                    one.bytes = one.bytes.saturating_add(bytes);
                }
                let before = sizes.get(template_of(path).as_ref()).copied();
                let more = before.and_then(|before| bytes.checked_sub(before)).unwrap_or(0);
                if facts.file_type == FileType::File && more >= WORTH_TELLING {
                    loss.grew.push(Growth { path: path.to_vec(), bytes: more });
                }
            }
            at += 1;
        }
        loss.notable = new_paths.into_values().filter(|new| new.rank < Rank::Disposable).collect();
        let key = |new: &NewPath| (new.rank, std::cmp::Reverse(new.bytes), new.path.clone());
        loss.notable.sort_by_cached_key(key);
        loss.notable.truncate(NAMED);
        loss.grew.sort_by_cached_key(|one| (std::cmp::Reverse(one.bytes), one.path.clone()));
        loss.grew.truncate(NAMED);
        JudgedRoot { loss, verdicts, classes }
    }

    /// A new path with what is known of it.
    fn named(&self, path: &[u8]) -> NewPath {
        let found = self.catalogue.find(path);
        let rank = match found.map(|found| found.entry.advice) {
            Some(Advice::Keep | Advice::Secret | Advice::Link) => Rank::ToKeep,
            Some(Advice::Forget | Advice::Never) => Rank::Disposable,
            None => Rank::Unknown,
        };
        let what = found.map(|found| found.entry.what.clone().into_owned());
        NewPath { path: path.to_vec(), paths: 0, bytes: 0, what, rank }
    }
}

/// The size of each regular file of a root, by the template of its path; of several, the largest.
fn sizes_of(digest: &Digest) -> HashMap<Vec<u8>, u64> {
    let mut sizes: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut cursor = digest.cursor();
    while let Some(row) = cursor.next_row() {
        if row.facts.file_type == FileType::File && row.kind != ChangeKind::Removed {
            let size = sizes.entry(template_of(row.path).into_owned()).or_default();
            *size = row.facts.size.max(*size);
        }
    }
    sizes
}
