//! `history --format json`: one document for programs.
//!
//! Without a path, `{"version":1,"roots":[…]}`, the oldest first, live last: `name` (null of live), `began`,
//! `ended` (null of live) in RFC 3339 or null, `boots` (null: none was written down), and `lost` with `paths`,
//! `bytes`, `new` (null: there was no root before), `notable` (`path`, `paths`, `bytes`, `what`) and `grew`
//! (`path`, `bytes`).
//!
//! With paths, `{"version":1,"paths":[{"path":…,"roots":[…]}]}`: for each root `name`, `ended`, and `state`, which
//! is null where the path was as in blank, or has `number` (equal numbers, equal in every byte), `change`, `type`,
//! `mode`, `uid`, `gid` (null where only something below the path differed), `target`, `below`, `bytes`, `unread`.

use std::io::{self, Write};

use serde::Serialize;

use crate::history::path_versions::{PathHistory, PathState, PathVersion, RootOfHistory};
use crate::history::root_lives::RootLife;
use crate::ui::json_value::{Absolute, JsonPath, Octal, timestamp};

const VERSION: u32 = 1;

/// Writes the document without paths.
pub(crate) fn write_lives_json(lives: &[RootLife], out: impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        roots: &'a [RootLife],
    }
    write_document(&Document { version: VERSION, roots: lives }, out)
}

/// Writes the document with paths.
pub(crate) fn write_versions_json(
    of: &[RootOfHistory],
    histories: &[PathHistory],
    out: impl Write,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        paths: Vec<JsonHistory<'a>>,
    }
    let paths = histories.iter().map(|history| JsonHistory {
        path: Absolute(&history.path),
        roots: of.iter().zip(&history.states).map(JsonRoot::new).collect(),
    });
    write_document(&Document { version: VERSION, paths: paths.collect() }, out)
}

fn write_document(document: &impl Serialize, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, document)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct JsonHistory<'a> {
    path: Absolute<'a>,
    roots: Vec<JsonRoot<'a>>,
}

#[derive(Serialize)]
pub(crate) struct JsonRoot<'a> {
    name: Option<&'a str>,
    ended: Option<String>,
    state: Option<JsonVersion<'a>>,
}

#[derive(Serialize)]
struct JsonVersion<'a> {
    number: usize,
    change: Option<&'a str>,
    r#type: Option<&'a str>,
    mode: Option<Octal>,
    uid: Option<u32>,
    gid: Option<u32>,
    target: Option<JsonPath<'a>>,
    below: u64,
    bytes: u64,
    unread: bool,
}

impl<'a> JsonRoot<'a> {
    pub(crate) fn new((root, state): (&'a RootOfHistory, &'a PathState)) -> Self {
        let state = match state {
            PathState::AsInBlank => None,
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
            change: own.map(|(kind, _)| kind.word()),
            r#type: own.map(|(_, facts)| facts.file_type.word()),
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
