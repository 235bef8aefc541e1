//! `history --format json`: one document for programs, without paths or with some.
//!
//! The doc comments of its types are the descriptions in `docs/reference/history.schema.json`.

use std::io::{self, Write};

use dirfd::{ChangeKind, FileType};
use serde::Serialize;

use crate::history::path_versions::{PathHistory, PathState, PathVersion, RootOfHistory};
use crate::history::root_lives::RootLife;
use crate::ui::json_value::{Absolute, JsonPath, JsonTime, Octal, Word, timestamp};

const VERSION: u32 = 1;

/// Writes the document without paths.
pub(crate) fn write_lives_json(lives: &[RootLife], out: impl Write) -> io::Result<()> {
    let document = LivesDocument { version: VERSION, roots: lives };
    write_document(&HistoryDocument::Lives(document), out)
}

/// Writes the document with paths.
pub(crate) fn write_versions_json(
    of: &[RootOfHistory],
    histories: &[PathHistory],
    out: impl Write,
) -> io::Result<()> {
    let paths = histories.iter().map(|history| JsonHistory {
        path: Absolute(&history.path),
        roots: of.iter().zip(&history.states).map(JsonRoot::new).collect(),
    });
    let document = VersionsDocument { version: VERSION, paths: paths.collect() };
    write_document(&HistoryDocument::Versions(document), out)
}

fn write_document(document: &HistoryDocument<'_>, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, document)?;
    out.write_all(b"\n")
}

/// What each former root lost; or, where paths were named, what each root had there.
#[derive(Serialize)]
#[serde(untagged)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum HistoryDocument<'a> {
    Lives(LivesDocument<'a>),
    Versions(VersionsDocument<'a>),
}

/// The document where no path was named.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Lives"))]
struct LivesDocument<'a> {
    /// Counts up when a key goes or gets another meaning; new keys may come without that.
    #[cfg_attr(test, schemars(extend("const" = VERSION)))]
    version: u32,
    /// One object for each root, the oldest first, live last.
    roots: &'a [RootLife],
}

/// The document where paths were named.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Versions"))]
struct VersionsDocument<'a> {
    /// Counts up when a key goes or gets another meaning; new keys may come without that.
    #[cfg_attr(test, schemars(extend("const" = VERSION)))]
    version: u32,
    /// One object for each path, in the order in which they were named.
    paths: Vec<JsonHistory<'a>>,
}

/// One path over all roots.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PathHistory"))]
struct JsonHistory<'a> {
    /// Where it is on the machine, from `/` on.
    path: Absolute<'a>,
    /// What each root had there, the oldest first, live last.
    roots: Vec<JsonRoot<'a>>,
}

/// What one root had at a path.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RootAtPath"))]
pub(crate) struct JsonRoot<'a> {
    /// The name of the old root; null of live.
    name: Option<&'a str>,
    /// When it was set aside; null of live.
    ended: Option<JsonTime>,
    /// What differed from blank; null where the path was as in blank.
    state: Option<JsonVersion<'a>>,
}

/// One version of a path. `change`, `type`, `mode`, `uid` and `gid` are null where only something below it differed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Version"))]
struct JsonVersion<'a> {
    /// Counted from 1: roots with the same number had the same there, in every byte and with all below it.
    number: usize,
    /// How the path itself differed from blank, as in `diff --format json`.
    change: Option<Word<ChangeKind>>,
    /// What kind of file it was; of blank where it was removed.
    r#type: Option<Word<FileType>>,
    /// Its permission bits.
    mode: Option<Octal>,
    /// The number of its user.
    uid: Option<u32>,
    /// The number of its group.
    gid: Option<u32>,
    /// What it said, if it was a link; null otherwise.
    target: Option<JsonPath<'a>>,
    /// How many paths below it differed.
    below: u64,
    /// Bytes in the regular files that the root had and blank has not, its own and those below.
    bytes: u64,
    /// Whether something of it was not read, so that no other root has this version.
    unread: bool,
}

impl<'a> JsonRoot<'a> {
    pub(crate) fn new((root, state): (&'a RootOfHistory, &'a PathState)) -> Self {
        let state = match state {
            PathState::AsInBlank | PathState::Absent => None,
            PathState::Differs(version) => Some(JsonVersion::new(version)),
        };
        Self { name: root.name.as_deref(), ended: root.ended.and_then(timestamp), state }
    }
}

impl<'a> JsonVersion<'a> {
    fn new(version: &'a PathVersion) -> Self {
        let own = version.own.as_ref();
        Self {
            number: version.number,
            change: own.map(|(kind, _)| Word(*kind)),
            r#type: own.map(|(_, facts)| Word(facts.file_type)),
            mode: own.map(|(_, facts)| Octal(facts.mode)),
            uid: own.map(|(_, facts)| facts.uid),
            gid: own.map(|(_, facts)| facts.gid),
            target: Some(&version.target).filter(|t| !t.is_empty()).map(|t| JsonPath::new(t)),
            below: version.below,
            bytes: version.bytes,
            unread: version.is_unread,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::json_schema::assert_published;

    #[test]
    fn the_published_schema_is_that_of_the_document() {
        assert_published::<HistoryDocument<'_>>("blankroot history --format json", "history");
    }
}
