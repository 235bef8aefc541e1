//! Diffs for the tests of this module: named as on a machine, in any order, with their verdicts.

use backends::{Tree, TreeId};
use chrono::DateTime;
use dirfd::changes::ChangesWriter;
use dirfd::{ChangeKind, Changes, Facts, FileType, TreeName, TreePath};

use crate::diff::classify::{Verdict, Verdicts};
use crate::diff::{DiffMethod, DiffReport, TreeDiff};

/// One change to be.
#[derive(Clone, Debug)]
pub(crate) struct ExampleChange {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: ChangeKind,
    pub(crate) facts: Facts,
    pub(crate) verdict: Verdict,
}

/// A regular file of this size, mode 0644, of root.
pub(crate) fn file_facts(size: u64) -> Facts {
    let (mtime, mtime_nanos) = (1_795_359_549, 120_000_007);
    Facts { file_type: FileType::File, mode: 0o644, uid: 0, gid: 0, size, mtime, mtime_nanos }
}

/// Something else than a file.
pub(crate) fn facts_of_type(file_type: FileType) -> Facts {
    Facts { file_type, mode: 0o755, ..file_facts(7) }
}

/// An item; `path` without a leading slash.
pub(crate) fn example_change(
    path: impl AsRef<[u8]>,
    kind: ChangeKind,
    facts: Facts,
    verdict: Verdict,
) -> ExampleChange {
    ExampleChange { path: path.as_ref().to_vec(), kind, facts, verdict }
}

/// The two trees, the diff and its verdicts, to be borrowed as a report.
pub(crate) struct Fixture {
    blank: Tree,
    live: Tree,
    pub(crate) diff: TreeDiff,
    verdicts: Verdicts,
    pub(crate) only: Vec<TreePath>,
}

impl Fixture {
    pub(crate) fn new(mut items: Vec<ExampleChange>) -> Self {
        items.sort_by(|a, b| a.path.cmp(&b.path));
        let mut verdicts = Verdicts::default();
        let kept = verdicts.add_rule("/etc/machine-id".to_string());
        let forgotten = verdicts.add_rule("/var/cache/**".to_string());
        let regenerated = verdicts.add_rule("the last 5 old roots had the same".to_string());
        for item in &items {
            verdicts.push(
                item.verdict,
                match item.verdict {
                    Verdict::Stray => None,
                    Verdict::Kept => Some(kept),
                    Verdict::Forgotten => Some(forgotten),
                    Verdict::Regenerated => Some(regenerated),
                },
            );
        }
        Self {
            blank: example_tree("9a0c-blank", "root-blank", Some(1_795_000_000)),
            live: example_tree("7f31-live", "root", None),
            diff: TreeDiff { changes: changes(&items), method: DiffMethod::Fast },
            verdicts,
            only: Vec::new(),
        }
    }

    pub(crate) fn report(&self) -> DiffReport<'_> {
        let Self { blank, live, diff, verdicts, only } = self;
        DiffReport { blank: Some(blank), live, diff, verdicts, only, classes: None, all: true }
    }
}

/// A tree that was made at this second.
pub(crate) fn example_tree(id: &str, name: &str, created: Option<i64>) -> Tree {
    Tree {
        id: TreeId::new(id),
        name: TreeName::new(name).unwrap(),
        read_only: name.ends_with("blank"),
        created: created.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        copy_of: None,
        pristine: None,
    }
}

/// What `write` writes, as text.
pub(crate) fn text_of(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn changes(sorted: &[ExampleChange]) -> Changes {
    let mut writer = ChangesWriter::new();
    for item in sorted {
        writer.record_path(&item.path, item.kind, item.facts);
    }
    writer.finish()
}

/// What a machine collects in a week, with names that nobody wants to meet.
pub(crate) fn week_of_changes() -> Vec<ExampleChange> {
    use crate::diff::classify::Verdict::{Forgotten, Kept, Stray};
    use dirfd::ChangeKind::{Added, Metadata, Modified, Removed, Replaced};
    use dirfd::FileType::{Dir, Fifo, Socket, Subvolume, Symlink};
    let dir = facts_of_type(Dir);
    let mut items = vec![
        example_change("", Metadata, dir, Stray),
        example_change("etc/machine-id", Added, file_facts(33), Kept),
        example_change("etc/passwd", Modified, file_facts(1_204), Stray),
        example_change("etc/shadow", Metadata, Facts { mode: 0o600, ..file_facts(900) }, Stray),
        example_change("etc/ssl/private", Metadata, dir, Stray),
        example_change("etc/ssl/private/host key.pem", Added, file_facts(1_704), Stray),
        example_change("etc/mtab", Replaced, file_facts(12), Stray),
        example_change("etc/motd", Removed, file_facts(286), Stray),
        example_change("home/alice/notes\nfor\x1b[31m me", Added, file_facts(5_120), Stray),
        example_change(b"home/alice/caf\xe9.txt", Added, file_facts(88), Stray),
        example_change("home/alice/日本語.md", Added, file_facts(12_000), Stray),
        example_change("home/alice/bin", Added, dir, Stray),
        example_change(
            "home/alice/bin/run",
            Added,
            Facts { mode: 0o755, ..file_facts(4_000_000) },
            Stray,
        ),
        example_change("home/alice/bin/run.old", Added, facts_of_type(Symlink), Stray),
        example_change("home/alice/empty", Added, dir, Stray),
        example_change("run/control", Added, facts_of_type(Fifo), Stray),
        example_change("run/control.sock", Added, facts_of_type(Socket), Stray),
        example_change("opt", Removed, dir, Stray),
        example_change("opt/old", Removed, dir, Stray),
        example_change("opt/old/app", Removed, file_facts(70_000), Stray),
        example_change("srv", Added, dir, Stray),
        example_change("srv-backup", Added, dir, Stray),
        example_change("srv-backup/x", Added, file_facts(1), Stray),
        example_change("srv/kept", Added, file_facts(1), Kept),
        example_change("srv/www", Added, dir, Stray),
        example_change("srv/www/index.html", Added, file_facts(17), Stray),
        example_change("var/lib/machines", Added, facts_of_type(Subvolume), Stray),
        example_change("var/lib/was-a-dir", Replaced, facts_of_type(Symlink), Stray),
        example_change("var/lib/was-a-dir/x", Removed, file_facts(9), Stray),
    ];
    items.extend([example_change("var/cache/apt", Added, dir, Forgotten)]);
    items.extend((0..1_203).map(|n| {
        example_change(
            format!("var/cache/apt/{n:04}.deb"),
            Added,
            file_facts(15_000 + n),
            Forgotten,
        )
    }));
    items.extend((0..35).map(|n| {
        example_change(format!("var/log/journal/{n:02}.log"), Added, file_facts(1_000 * n), Stray)
    }));
    items.extend((0..30).map(|n| {
        example_change(format!("var/lib/app/state/{n:02}"), Modified, file_facts(100), Kept)
    }));
    items
}
