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
//! declares it), `set-aside` (with `of`, the name it had until other data took its place) or
//! `temporary` (with `of`, the name of what was never whole); `line` and `of` are null otherwise.
//! `type`, `mode`, `uid` and `gid` are its own; `bytes`, `files` (all that is no directory), `dirs`,
//! `newest` (or null), `mounts` and `subvolumes` are of it with all below. `bytes` are those of the
//! content of regular files, and a file with several names counts once in a storage; mounts and
//! subvolumes are counted, not entered. Paths, modes and times are as in `diff --format json`.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::{total, word};
use crate::leftovers::{Leftover, Leftovers, Looked, Why};
use crate::report::json_value::{Absolute, JsonPath, Octal, Timestamps};

/// Writes the document, and a newline after it.
pub fn write(leftovers: &Leftovers, out: impl Write) -> io::Result<()> {
    let (count, bytes) = total(leftovers);
    let mut times = Timestamps::default();
    let document = Document {
        version: 1,
        storages: leftovers.storages.iter().map(JsonStorage::new).collect(),
        mounted_over: leftovers.mounted_over.iter().map(Absolute).collect(),
        summary: Summary { count, bytes },
        leftovers: leftovers.found.iter().map(|one| JsonLeftover::new(one, &mut times)).collect(),
    };
    let mut out = BufWriter::new(out);
    serde_json::to_writer(&mut out, &document)?;
    out.write_all(b"\n")?;
    out.flush()
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    storages: Vec<JsonStorage<'a>>,
    mounted_over: Vec<Absolute<'a>>,
    summary: Summary,
    leftovers: Vec<JsonLeftover<'a>>,
}

#[derive(Serialize)]
struct Summary {
    count: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct JsonStorage<'a> {
    path: Absolute<'a>,
    line: u32,
    enabled: bool,
    there: bool,
}

impl<'a> JsonStorage<'a> {
    fn new(storage: &'a Looked) -> Self {
        let Looked { path, line, enabled, there } = storage;
        Self { path: Absolute(path), line: *line, enabled: *enabled, there: *there }
    }
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
    fn new(leftover: &'a Leftover, times: &mut Timestamps) -> Self {
        let Leftover { path, storage, why, facts, weight } = leftover;
        let newest = weight.newest.and_then(|(time, nanos)| times.write(time, nanos));
        Self {
            path: Absolute(path),
            storage: Absolute(storage),
            why: word(why),
            line: match why {
                Why::NotEnabled { line } => Some(*line),
                _ => None,
            },
            of: match why {
                Why::SetAside { of } | Why::Temporary { of } => Some(JsonPath::new(of)),
                _ => None,
            },
            r#type: facts.file_type.word(),
            mode: Octal(facts.mode),
            uid: facts.uid,
            gid: facts.gid,
            bytes: weight.bytes,
            files: weight.files,
            dirs: weight.dirs,
            newest: newest.map(str::to_string),
            mounts: weight.mounts,
            subvolumes: weight.subvolumes,
        }
    }
}
