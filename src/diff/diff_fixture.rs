//! Diffs for the tests of this module: named as on a machine, in any order, with their verdicts.

use backends::{Tree, TreeId};
use chrono::DateTime;
use dirfd::changes::ChangesWriter;
use dirfd::{ChangeKind, Changes, Facts, FileType, TreeName, TreePath};

use crate::diff::classify::{Verdict, Verdicts};
use crate::diff::{DiffMethod, DiffReport, TreeDiff};

/// One change to be.
#[derive(Clone, Debug)]
pub struct Item {
    pub path: Vec<u8>,
    pub kind: ChangeKind,
    pub facts: Facts,
    pub verdict: Verdict,
}

/// A regular file of this size, mode 0644, of root.
pub fn file(size: u64) -> Facts {
    let (mtime, mtime_nanos) = (1_795_359_549, 120_000_007);
    Facts { file_type: FileType::File, mode: 0o644, uid: 0, gid: 0, size, mtime, mtime_nanos }
}

/// Something else than a file.
pub fn other(file_type: FileType) -> Facts {
    Facts { file_type, mode: 0o755, ..file(7) }
}

/// An item; `path` without a leading slash.
pub fn item(path: impl AsRef<[u8]>, kind: ChangeKind, facts: Facts, verdict: Verdict) -> Item {
    Item { path: path.as_ref().to_vec(), kind, facts, verdict }
}

/// The two trees, the diff and its verdicts, to be borrowed as a report.
pub struct Fixture {
    blank: Tree,
    live: Tree,
    pub diff: TreeDiff,
    verdicts: Verdicts,
    pub only: Vec<TreePath>,
}

impl Fixture {
    pub fn new(mut items: Vec<Item>) -> Self {
        items.sort_by(|a, b| a.path.cmp(&b.path));
        let mut verdicts = Verdicts::default();
        let kept = verdicts.add_rule("/etc/machine-id".to_string());
        let forgotten = verdicts.add_rule("/var/cache/**".to_string());
        for item in &items {
            verdicts.push(
                item.verdict,
                match item.verdict {
                    Verdict::Stray => None,
                    Verdict::Kept => Some(kept),
                    Verdict::Forgotten => Some(forgotten),
                },
            );
        }
        Self {
            blank: tree("9a0c-blank", "root-blank", Some(1_795_000_000)),
            live: tree("7f31-live", "root", None),
            diff: TreeDiff { changes: changes(&items), method: DiffMethod::Fast },
            verdicts,
            only: Vec::new(),
        }
    }

    pub fn report(&self) -> DiffReport<'_> {
        let Self { blank, live, diff, verdicts, only } = self;
        DiffReport { blank: Some(blank), live, diff, verdicts, only }
    }
}

/// A tree that was made at this second.
pub fn tree(id: &str, name: &str, created: Option<i64>) -> Tree {
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
pub fn text(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn changes(sorted: &[Item]) -> Changes {
    let mut writer = ChangesWriter::new();
    let mut open: Vec<&[u8]> = Vec::new();
    for item in sorted {
        if item.path.is_empty() {
            writer.record_root(item.kind, item.facts);
            continue;
        }
        let mut names: Vec<&[u8]> = item.path.split(|&b| b == b'/').collect();
        let name = names.pop().unwrap();
        let same = open.iter().zip(&names).take_while(|(a, b)| a == b).count();
        for _ in same..open.len() {
            writer.ascend();
        }
        for dir in &names[same..] {
            writer.descend(dir);
        }
        open = names;
        writer.record(name, item.kind, item.facts);
    }
    writer.finish()
}

/// What a machine collects in a week, with names that nobody wants to meet.
pub fn week() -> Vec<Item> {
    use crate::diff::classify::Verdict::{Forgotten, Kept, Stray};
    use dirfd::ChangeKind::{Added, Metadata, Modified, Removed, Replaced};
    use dirfd::FileType::{Dir, Fifo, Socket, Subvolume, Symlink};
    let dir = other(Dir);
    let mut items = vec![
        item("", Metadata, dir, Stray),
        item("etc/machine-id", Added, file(33), Kept),
        item("etc/passwd", Modified, file(1_204), Stray),
        item("etc/shadow", Metadata, Facts { mode: 0o600, ..file(900) }, Stray),
        item("etc/ssl/private", Metadata, dir, Stray),
        item("etc/ssl/private/host key.pem", Added, file(1_704), Stray),
        item("etc/mtab", Replaced, file(12), Stray),
        item("etc/motd", Removed, file(286), Stray),
        item("home/alice/notes\nfor\x1b[31m me", Added, file(5_120), Stray),
        item(b"home/alice/caf\xe9.txt", Added, file(88), Stray),
        item("home/alice/日本語.md", Added, file(12_000), Stray),
        item("home/alice/bin", Added, dir, Stray),
        item("home/alice/bin/run", Added, Facts { mode: 0o755, ..file(4_000_000) }, Stray),
        item("home/alice/bin/run.old", Added, other(Symlink), Stray),
        item("home/alice/empty", Added, dir, Stray),
        item("run/control", Added, other(Fifo), Stray),
        item("run/control.sock", Added, other(Socket), Stray),
        item("opt", Removed, dir, Stray),
        item("opt/old", Removed, dir, Stray),
        item("opt/old/app", Removed, file(70_000), Stray),
        item("srv", Added, dir, Stray),
        item("srv-backup", Added, dir, Stray),
        item("srv-backup/x", Added, file(1), Stray),
        item("srv/kept", Added, file(1), Kept),
        item("srv/www", Added, dir, Stray),
        item("srv/www/index.html", Added, file(17), Stray),
        item("var/lib/machines", Added, other(Subvolume), Stray),
        item("var/lib/was-a-dir", Replaced, other(Symlink), Stray),
        item("var/lib/was-a-dir/x", Removed, file(9), Stray),
    ];
    items.extend([item("var/cache/apt", Added, dir, Forgotten)]);
    items
        .extend((0..1_203).map(|n| {
            item(format!("var/cache/apt/{n:04}.deb"), Added, file(15_000 + n), Forgotten)
        }));
    items.extend(
        (0..35).map(|n| item(format!("var/log/journal/{n:02}.log"), Added, file(1_000 * n), Stray)),
    );
    items.extend(
        (0..30).map(|n| item(format!("var/lib/app/state/{n:02}"), Modified, file(100), Kept)),
    );
    items
}
