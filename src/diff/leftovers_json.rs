//! `diff --storage --format json`: one document for programs.
//!
//! | key | value |
//! | --- | --- |
//! | `version` | 1 |
//! | `storages` | one object each: `path`, `line` (of the configuration), `enabled`, `there` |
//! | `mounted_over` | paths in storages where something is mounted, and which were not looked into |
//! | `summary` | `count` and `bytes` of all leftovers |
//! | `leftovers` | one object for each topmost path that nothing declares, sorted by path bytes |
//!
//! A leftover has `path` and `storage`; `why`: `undeclared`, `not-enabled` (with the `line` of what
//! declares it), `set-aside` (with `of`, the name it had until other data took its place), `unnamed`
//! (with `of`, the name that a run which was interrupted was to give it; it is whole) or `temporary`
//! (with `of`, the name of what was never whole); `line` and `of` are null otherwise.
//! `type`, `mode`, `uid` and `gid` are its own; `bytes`, `files` (all that is no directory), `dirs`,
//! `newest` (or null), `mounts` and `subvolumes` are of it with all below. `bytes` are those of the
//! content of regular files, and a file with several names counts once in a storage; mounts and
//! subvolumes are counted, not entered. Paths, modes and times are as in `diff --format json`.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::diff::leftovers::{DeclaredStorage, Leftover, LeftoverReason, Leftovers};
use crate::ui::json_value::{Absolute, JsonPath, Octal, timestamp_of_seconds};

/// Writes the document, and a newline after it.
pub(crate) fn write_leftovers_json(leftovers: &Leftovers, out: impl Write) -> io::Result<()> {
    let (count, bytes) = leftovers.count_and_bytes();
    let document = LeftoversDocument {
        version: 1,
        storages: &leftovers.storages,
        mounted_over: leftovers.mounted_over.iter().map(Absolute).collect(),
        summary: LeftoversSummary { count, bytes },
        leftovers: leftovers.found.iter().map(JsonLeftover::new).collect(),
    };
    let mut out = BufWriter::new(out);
    serde_json::to_writer(&mut out, &document)?;
    out.write_all(b"\n")?;
    out.flush()
}

#[derive(Serialize)]
struct LeftoversDocument<'a> {
    version: u32,
    storages: &'a [DeclaredStorage],
    mounted_over: Vec<Absolute<'a>>,
    summary: LeftoversSummary,
    leftovers: Vec<JsonLeftover<'a>>,
}

#[derive(Serialize)]
struct LeftoversSummary {
    count: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct JsonLeftover<'a> {
    path: Absolute<'a>,
    storage: Absolute<'a>,
    why: &'static str,
    line: Option<u32>,
    of: Option<JsonPath<'a>>,
    r#type: &'static str,
    mode: Octal,
    uid: u32,
    gid: u32,
    bytes: u64,
    files: u64,
    dirs: u64,
    newest: Option<String>,
    mounts: u64,
    subvolumes: u64,
}

impl<'a> JsonLeftover<'a> {
    fn new(leftover: &'a Leftover) -> Self {
        let Leftover { path, storage, why, facts, weight } = leftover;
        Self {
            path: Absolute(path),
            storage: Absolute(storage),
            why: why.word(),
            line: match why {
                LeftoverReason::NotEnabled { line } => Some(*line),
                _ => None,
            },
            of: match why {
                LeftoverReason::SetAside { of }
                | LeftoverReason::Unnamed { of }
                | LeftoverReason::Temporary { of } => Some(JsonPath::new(of)),
                _ => None,
            },
            r#type: facts.file_type.word(),
            mode: Octal(facts.mode),
            uid: facts.uid,
            gid: facts.gid,
            bytes: weight.bytes,
            files: weight.files,
            dirs: weight.dirs,
            newest: weight.newest.and_then(|(time, nanos)| timestamp_of_seconds(time, nanos)),
            mounts: weight.mounts,
            subvolumes: weight.subvolumes,
        }
    }
}
