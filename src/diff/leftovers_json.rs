//! `diff --storage --format json`: one document for programs.
//!
//! The doc comments of its types are the descriptions in `docs/reference/diff-storage.schema.json`.

use std::io::{self, BufWriter, Write};

use dirfd::FileType;
use serde::Serialize;

use crate::diff::leftovers::{DeclaredStorage, Leftover, LeftoverReason, Leftovers};
use crate::ui::json_value::{Absolute, JsonPath, JsonTime, Octal, Word, timestamp_of_seconds};

const VERSION: u32 = 1;

/// Writes the document, and a newline after it.
pub(crate) fn write_leftovers_json(leftovers: &Leftovers, out: impl Write) -> io::Result<()> {
    let (count, bytes) = leftovers.count_and_bytes();
    let document = LeftoversDocument {
        version: VERSION,
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

/// What lies in the storages, and no entry declares.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LeftoversDocument<'a> {
    /// Counts up when a key goes or gets another meaning; new keys may come without that.
    #[cfg_attr(test, schemars(extend("const" = VERSION)))]
    version: u32,
    /// One object for each storage.
    storages: &'a [DeclaredStorage],
    /// Paths in storages where something is mounted, and which were not looked into.
    mounted_over: Vec<Absolute<'a>>,
    /// Counts of what `leftovers` lists.
    summary: LeftoversSummary,
    /// One object for each topmost path that nothing declares, sorted by the bytes of the paths.
    leftovers: Vec<JsonLeftover<'a>>,
}

/// All leftovers, counted.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "LeftoversSummary"))]
struct LeftoversSummary {
    /// How many there are.
    count: u64,
    /// Bytes in their regular files.
    bytes: u64,
}

/// A topmost path that nothing declares. `bytes`, `files`, `dirs`, `newest`, `mounts` and `subvolumes` are of it with
/// all below; mounts and subvolumes are counted, not entered.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Leftover"))]
struct JsonLeftover<'a> {
    /// Where it is on the machine, from `/` on.
    path: Absolute<'a>,
    /// The storage that it lies in.
    storage: Absolute<'a>,
    /// What is known of it. `undeclared`: nothing declares it; `not-enabled`: what declares it, in `line`, is not
    /// enabled; `set-aside`: it had the name `of` until other data took its place; `unnamed`: it is whole, and a run
    /// that was interrupted was to name it `of`; `temporary`: it was to be named `of`, and never was whole.
    why: Word<&'a LeftoverReason>,
    /// The line of the configuration that declares it, from 1; null unless it is `not-enabled`.
    line: Option<u32>,
    /// The name that it had or was to get, or the start of a long one; null where it has its own.
    of: Option<JsonPath<'a>>,
    /// What kind of file it is.
    r#type: Word<FileType>,
    /// Its permission bits.
    mode: Octal,
    /// The number of its user.
    uid: u32,
    /// The number of its group.
    gid: u32,
    /// Bytes in regular files; a file with several names counts once in a storage.
    bytes: u64,
    /// How many files there are that are no directories.
    files: u64,
    /// How many directories.
    dirs: u64,
    /// When the last of it was written, directories included; null if nothing was entered.
    newest: Option<JsonTime>,
    /// How many mounts lie in it.
    mounts: u64,
    /// How many nested subvolumes.
    subvolumes: u64,
}

impl<'a> JsonLeftover<'a> {
    fn new(leftover: &'a Leftover) -> Self {
        let Leftover { path, storage, why, facts, weight } = leftover;
        Self {
            path: Absolute(path),
            storage: Absolute(storage),
            why: Word(why),
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
            r#type: Word(facts.file_type),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::json_schema::assert_published;

    #[test]
    fn the_published_schema_is_that_of_the_document() {
        let title = "blankroot diff --storage --format json";
        assert_published::<LeftoversDocument<'_>>(title, "diff-storage");
    }
}
