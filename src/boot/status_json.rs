//! `status --format json`: one document for programs.
//!
//! Keys: `version` (1), `healthy`, `file_system`, `boot` (`boot_id`, `rolled_back` or null,
//! `skipped` or null), `live` and `blank` (`state`: `present`, `missing` or `not-a-tree`), `mounts`,
//! `more_mounts` (not all mounts could be looked at), `nested`, `stubs` (`total` and `replaced`, or null), `live_is_default`, `hold` (the time since when the next boot is held, or null), `old_dir`, `old_roots`, `unfinished`, `space` or null, `problems`.
//! Paths and times are as in `diff --format json`; sizes are bytes.

use std::io::{self, BufWriter, Write};

use backends::{Held, LiveMount, OldRoot, SeenBy, Slot, Space, Tree, Unfinished};
use serde::Serialize;

use crate::boot::status_report::{BootState, StatusProblem, StatusReport};
use crate::ui::json_value::{JsonPath, JsonTime, timestamp};

/// Writes the document, and a newline after it.
pub(crate) fn write_status_json(report: &StatusReport<'_>, out: impl Write) -> io::Result<()> {
    let survey = report.survey;
    // A nested tree's path lacks its leading slash, and a path in JSON is as seen on the machine.
    let nested: Vec<Vec<u8>> =
        survey.nested.iter().map(|path| [b"/", path.as_bytes()].concat()).collect();
    let document = StatusDocument {
        version: 1,
        healthy: report.is_healthy(),
        file_system: &survey.file_system,
        boot: report.boot,
        live: JsonSlot::new(&survey.live),
        blank: JsonSlot::new(&survey.blank),
        mounts: survey.live_mounts.iter().map(JsonMount::new).collect(),
        more_mounts: survey.more_live_mounts,
        nested: nested.iter().map(|path| JsonPath::new(path)).collect(),
        stubs: survey
            .stubs
            .as_ref()
            .map(|stubs| JsonStubs { total: stubs.total, replaced: stubs.replaced.len() }),
        live_is_default: survey.live_is_default,
        hold: time_of_pending_hold(survey.hold.as_ref()),
        old_dir: survey.has_old_dir,
        old_roots: survey.old_roots.iter().map(JsonOldRoot::new).collect(),
        unfinished: survey.unfinished.iter().map(JsonUnfinished::new).collect(),
        space: survey.space.map(|Space { available, needed }| JsonSpace { available, needed }),
        problems: report.problems,
    };
    let mut out = BufWriter::new(out);
    serde_json::to_writer(&mut out, &document)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn time_of_pending_hold(hold: Option<&Held>) -> Option<JsonTime> {
    match hold {
        Some(Held::By(hold)) if hold.used_by.is_none() => timestamp(hold.time),
        _ => None,
    }
}

#[derive(Serialize)]
struct StatusDocument<'a> {
    version: u32,
    healthy: bool,
    file_system: &'a str,
    boot: &'a BootState,
    live: JsonSlot<'a>,
    blank: JsonSlot<'a>,
    mounts: Vec<JsonMount<'a>>,
    /// There may be more: not all could be looked at.
    more_mounts: bool,
    nested: Vec<JsonPath<'a>>,
    stubs: Option<JsonStubs>,
    live_is_default: bool,
    hold: Option<JsonTime>,
    old_dir: bool,
    old_roots: Vec<JsonOldRoot<'a>>,
    unfinished: Vec<JsonUnfinished<'a>>,
    space: Option<JsonSpace>,
    problems: &'a [StatusProblem],
}

/// What blank has in the places of nested subvolumes, and how many of them a fresh copy has replaced.
#[derive(Serialize)]
struct JsonStubs {
    total: usize,
    replaced: usize,
}

#[derive(Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum JsonSlot<'a> {
    Missing,
    NotATree { what: &'a str },
    Present(JsonTree<'a>),
}

impl<'a> JsonSlot<'a> {
    fn new(slot: &'a Slot) -> Self {
        match slot {
            Slot::Missing => Self::Missing,
            Slot::NotATree(what) => Self::NotATree { what },
            Slot::Present(tree) => Self::Present(JsonTree::new(tree)),
        }
    }
}

#[derive(Serialize)]
struct JsonTree<'a> {
    id: &'a str,
    name: JsonPath<'a>,
    created: Option<JsonTime>,
    read_only: bool,
    copy_of: Option<&'a str>,
    pristine: Option<bool>,
}

impl<'a> JsonTree<'a> {
    fn new(tree: &'a Tree) -> Self {
        Self {
            id: tree.id.as_str(),
            name: JsonPath::new(tree.name.as_bytes()),
            created: tree.created.and_then(timestamp),
            read_only: tree.read_only,
            copy_of: tree.copy_of.as_ref().map(backends::TreeId::as_str),
            pristine: tree.pristine,
        }
    }
}

#[derive(Serialize)]
struct JsonMount<'a> {
    mount_point: JsonPath<'a>,
    /// A process that sees it; null for the one that reports, and where none does.
    seen_by: Option<i32>,
    /// No process sees it.
    unseen: bool,
    certain: bool,
}

impl<'a> JsonMount<'a> {
    fn new(mount: &'a LiveMount) -> Self {
        let LiveMount { mount_point, seen_by, certain } = mount;
        let (seen_by, unseen) = match *seen_by {
            SeenBy::Us => (None, false),
            SeenBy::Process(process) => (Some(process), false),
            SeenBy::Nobody => (None, true),
        };
        Self { mount_point: JsonPath::new(mount_point), seen_by, unseen, certain: *certain }
    }
}

#[derive(Serialize)]
struct JsonOldRoot<'a> {
    old_root: &'a str,
    boot_id: &'a str,
    time: Option<JsonTime>,
    own_bytes: Option<u64>,
    tree: JsonTree<'a>,
}

impl<'a> JsonOldRoot<'a> {
    fn new(root: &'a OldRoot) -> Self {
        Self {
            old_root: &root.record.name,
            boot_id: &root.record.boot_id,
            time: timestamp(root.record.time),
            own_bytes: root.own_bytes,
            tree: JsonTree::new(&root.tree),
        }
    }
}

/// What is half done: the kind, and the names that it has.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum JsonUnfinished<'a> {
    RecordOnly { old_root: &'a str },
    FreshCopy { old_root: &'a str, tree: JsonTree<'a> },
    HalfDeleted { old_root: &'a str, tree: JsonTree<'a> },
    DefaultLeftBehind { old_root: &'a str, tree: JsonTree<'a> },
    HalfSetAside { name: JsonPath<'a> },
    Foreign { name: JsonPath<'a> },
    Leftover { name: JsonPath<'a> },
    UnreadableRecord { name: JsonPath<'a>, why: &'a str },
}

impl<'a> JsonUnfinished<'a> {
    fn new(what: &'a Unfinished) -> Self {
        match what {
            Unfinished::RecordOnly(record) => Self::RecordOnly { old_root: &record.name },
            Unfinished::FreshCopy { tree, record } => {
                Self::FreshCopy { old_root: &record.name, tree: JsonTree::new(tree) }
            }
            Unfinished::HalfDeleted { tree, record } => {
                Self::HalfDeleted { old_root: &record.name, tree: JsonTree::new(tree) }
            }
            Unfinished::DefaultLeftBehind(root) => Self::DefaultLeftBehind {
                old_root: &root.record.name,
                tree: JsonTree::new(&root.tree),
            },
            Unfinished::HalfSetAside(name) => {
                Self::HalfSetAside { name: JsonPath::new(name.as_bytes()) }
            }
            Unfinished::Foreign(name) => Self::Foreign { name: JsonPath::new(name.as_bytes()) },
            Unfinished::Leftover(name) => Self::Leftover { name: JsonPath::new(name.as_bytes()) },
            Unfinished::UnreadableRecord { name, why } => {
                Self::UnreadableRecord { name: JsonPath::new(name.as_bytes()), why }
            }
        }
    }
}

#[derive(Serialize)]
struct JsonSpace {
    available: u64,
    needed: u64,
}
