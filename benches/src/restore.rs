//! `restore` of 50,000 files from an old root, and `cp` that copies the same by sharing extents.

use std::fs;
use std::path::{Path, PathBuf};

use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use support::kernel::{create_subvolume, delete_subvolume};

use crate::field::Field;
use crate::host::Host;
use crate::measure::{Measured, Run, seconds};
use crate::table::{FORMER, Row};
use crate::tree::{self, Shape};
use crate::{Options, Result, say};

const FILES: usize = 50_000;
/// How much longer than `cp` it may take.
const LIMIT: f64 = 1.2;
/// Every fourth file has an extent of its own; the others are small enough to lie among the metadata.
const LARGE: [u8; 8192] = [7; 8192];

const LIVE: &str = "live";
const BLANK: &str = "blank";
const DATA: &str = "data";

/// Measures both in turns, each on a root of its own that was made a moment before.
pub fn measure(options: &Options, namespace: &PrivateNamespace) -> Result<Vec<Row>> {
    say(&format!("restore of {FILES} files and `cp`"));
    let stage = Stage::new(options, namespace)?;
    let ours = {
        let words = [Path::new("restore"), "--config".as_ref(), &stage.config, "--root".as_ref()];
        let path = Path::new("/").join(DATA);
        Measured::new(&options.blankroot, words.into_iter().chain([stage.root.as_path(), &path]))
    };
    let (old, new) = (stage.old.join(DATA), stage.root.join(DATA));
    let copy = ["-a".as_ref(), "--reflink=always".as_ref(), old.as_path(), &new];
    let cp = Measured::new(Path::new("cp"), copy);
    let script = "cp -a --reflink=always \"$0\" \"$1\" && sync -f \"$1\"";
    let synced = ["-ec".as_ref(), Path::new(script), &old, &new];
    let synced = Measured::new(Path::new("/bin/sh"), synced);
    let former = options.former.as_ref().map(|former| ours.by(former));
    let (mut of_ours, mut of_cp, mut of_synced, mut of_former) = (vec![], vec![], vec![], vec![]);
    // The first of each finds cold caches, and does not count.
    for round in 0..=options.rounds {
        let all = [(&ours, &mut of_ours), (&cp, &mut of_cp), (&synced, &mut of_synced)];
        let former = former.as_ref().map(|former| (former, &mut of_former));
        for (command, runs) in all.into_iter().chain(former) {
            let run = stage.run(command)?;
            if round > 0 {
                runs.push(run);
            }
        }
    }
    let what = format!("{FILES} files restored from an old root");
    let time = seconds(&of_ours);
    let peer = ("`cp -a --reflink=always`", seconds(&of_cp));
    let durable = ("the same and `sync -f`, as durable", seconds(&of_synced));
    let mut rows = vec![
        Row::times(&what, time, peer, LIMIT),
        Row::times(&what, time, durable, LIMIT).without_limit(),
    ];
    if former.is_some() {
        rows.push(Row::times(&what, time, (FORMER.0, seconds(&of_former)), FORMER.1));
    }
    Ok(rows)
}

/// A file system with an old root that has the files, and a live root without them.
struct Stage<'n> {
    field: Field<'n>,
    root: PathBuf,
    old: PathBuf,
    config: PathBuf,
}

impl<'n> Stage<'n> {
    fn new(options: &Options, namespace: &'n PrivateNamespace) -> Result<Self> {
        let field = Field::new(namespace)?;
        create_subvolume(&field.tree("start"))?;
        field.snapshot("start", BLANK, true)?;
        field.snapshot(BLANK, LIVE, false)?;
        let data = field.tree(LIVE).join(DATA);
        fs::create_dir(&data)?;
        tree::build(&data, Shape::of(FILES))?;
        for number in (0..FILES).step_by(4) {
            fs::write(data.join(tree::file(number)), LARGE)?;
        }
        field.sync()?;
        let root = field.outside().join("root");
        fs::create_dir_all(&root)?;
        let host = Host::new(&field, namespace)?;
        let config = field.config(LIVE, BLANK)?;
        let words =
            [Path::new("rollback"), "--config".as_ref(), &config, "--host".as_ref(), host.path()];
        Measured::new(&options.blankroot, words).run()?;
        let old_roots = fs::read_dir(field.tree("old-roots"))?;
        let dirs =
            old_roots.filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.is_dir()));
        let old = dirs.last().ok_or("the rollback left no old root")?;
        Ok(Self { field, root, old, config })
    }

    /// One run on a fresh root.
    fn run(&self, command: &Measured) -> Result<Run> {
        delete_subvolume(&self.field.tree(LIVE))?;
        self.field.snapshot(BLANK, LIVE, false)?;
        let _live: MountPoint = self.field.mount_tree(LIVE, &self.root)?;
        self.field.sync()?;
        let run = command.run()?;
        let last = self.root.join(DATA).join(tree::file(FILES - 1));
        if last.exists() { Ok(run) } else { Err("not every file was restored".into()) }
    }
}
