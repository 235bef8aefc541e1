//! `diff` that asks five old roots, against the same without; and what a digest costs.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use dirfd::private_namespace::PrivateNamespace;
use support::kernel::create_subvolume;

use crate::field::Field;
use crate::host::Host;
use crate::measure::{Measured, Run, in_turns, seconds};
use crate::table::Row;
use crate::tree::{self, Shape, file};
use crate::{Options, Result, say};

const FILES: usize = 500_000;
/// Old roots that are asked.
const BOOTS: usize = 5;
/// What each boot does: files that come back the same, files with another content each time, new files.
const SAME: usize = 8_000;
const CHANGING: usize = 1_000;
const NEW: usize = 1_000;
/// How much longer than without `diff` may take with old roots.
const LIMIT: f64 = 1.3;
/// How much longer than `diff` and reading what is new once a digest may take.
const DIGEST_LIMIT: f64 = 1.2;

const LIVE: &str = "live";
const BLANK: &str = "blank";

/// Measures warm and cold.
pub fn measure(options: &Options, namespace: &PrivateNamespace) -> Result<Vec<Row>> {
    let mut stage = Stage::new(options, namespace)?;
    let what = format!("{} changes in 500,000 files with {BOOTS} old roots", SAME + CHANGING + NEW);
    let (with, without) = (stage.diff(options, BOOTS)?, stage.diff(options, 0)?);
    say("diff with old roots and without");
    let [warm, warm_without] = in_turns(options.rounds, &with, &without)?;
    let (mut cold, mut cold_without) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        for (command, runs) in [(&with, &mut cold), (&without, &mut cold_without)] {
            stage.field.remount()?;
            runs.push(command.run()?);
        }
    }
    let row = |what: &str, ours: &[Run], peer: &[Run]| {
        Row::times(what, seconds(ours), ("without them", seconds(peer)), LIMIT)
    };
    let mut rows = vec![
        row(&what, &warm, &warm_without),
        row(&format!("{what}, after a mount"), &cold, &cold_without),
    ];
    say("a digest, and diff with what is new read once");
    let (mut digests, mut reads) = (Vec::new(), Vec::new());
    let expire = stage.command(options, "expire");
    let read = stage.diff_and_read(options)?;
    for round in 0..=options.rounds {
        stage.remove_newest_digest()?;
        let (digest, read) = (expire.run()?, read.run()?);
        // The first of each finds cold caches, and does not count.
        if round > 0 {
            digests.push(digest);
            reads.push(read);
        }
    }
    let peer = ("`diff --format json` and `cat` of what is new", seconds(&reads));
    let what = format!("a digest of {} changes", SAME + CHANGING + NEW);
    rows.push(Row::times(&what, seconds(&digests), peer, DIGEST_LIMIT));
    Ok(rows)
}

/// A machine that has lived so many boots, and is in the next one.
struct Stage<'n> {
    // Goes first.
    host: Host,
    field: Field<'n>,
    config: PathBuf,
}

impl<'n> Stage<'n> {
    fn new(options: &Options, namespace: &'n PrivateNamespace) -> Result<Self> {
        let shape = Shape::of(FILES);
        say(&format!("making a tree of {} names", shape.names()));
        let mut field = Field::new(namespace)?;
        create_subvolume(&field.tree("start"))?;
        tree::build(&field.tree("start"), shape)?;
        field.snapshot("start", BLANK, true)?;
        field.snapshot(BLANK, LIVE, false)?;
        field.remount()?;
        let host = Host::new(&field, namespace)?;
        let config = field.config(LIVE, BLANK)?;
        let mut stage = Self { host, field, config };
        for boot in 0..BOOTS {
            say(&format!("boot {} of {BOOTS}", boot + 1));
            stage.live_through(boot)?;
            stage.command(options, "rollback").run()?;
            stage.command(options, "expire").run()?;
        }
        stage.live_through(BOOTS)?;
        Ok(stage)
    }

    /// What one boot does.
    fn live_through(&mut self, boot: usize) -> Result<()> {
        self.host.boot(boot)?;
        let live = self.field.tree(LIVE);
        // Clustered, as programs write.
        for number in 0..SAME {
            fs::write(live.join(file(number)), format!("made by each boot: {number}\n"))?;
        }
        for number in SAME..SAME + CHANGING {
            fs::write(live.join(file(number)), format!("made by boot {boot}: {number}\n"))?;
        }
        for number in 0..NEW {
            let path = live.join(file(number)).with_file_name(format!("new-{boot}-{number}"));
            fs::write(path, format!("{number}\n"))?;
        }
        self.field.sync()
    }

    fn command(&self, options: &Options, name: &str) -> Measured {
        let args = [
            Path::new(name),
            "--config".as_ref(),
            &self.config,
            "--host".as_ref(),
            self.host.path(),
        ];
        Measured::new(&options.blankroot, args)
    }

    /// `diff` that asks so many old roots.
    fn diff(&self, options: &Options, old_roots: usize) -> Result<Measured> {
        let config = self.config.with_file_name(format!("asks-{old_roots}.toml"));
        let mut text = fs::read_to_string(&self.config)?;
        // Writing to a string cannot fail.
        let _ = write!(text, "[evidence]\nold_roots = {old_roots}\n");
        fs::write(&config, text)?;
        let args = ["diff", "--format", "json", "--config"].map(AsRef::as_ref).into_iter();
        Ok(Measured::new(&options.blankroot, args.chain([config.as_os_str()])))
    }

    /// `diff` without old roots, then each file that is new or other, read once.
    fn diff_and_read(&self, options: &Options) -> Result<Measured> {
        let newest = self.newest("")?;
        let boot = BOOTS - 1;
        let changed = (0..SAME + CHANGING).map(|number| newest.join(file(number)));
        let new = (0..NEW)
            .map(|number| newest.join(file(number)).with_file_name(format!("new-{boot}-{number}")));
        let mut list = String::new();
        changed.chain(new).for_each(|path| {
            let _ = write!(list, "{}\0", path.display());
        });
        let (file, script) =
            (self.field.outside().join("changed"), self.field.outside().join("read.sh"));
        fs::write(&file, list)?;
        let config = self.config.with_file_name("asks-0.toml");
        let diff = format!("{} diff --format json --config", options.blankroot.display());
        let text = format!(
            "{diff} {} >/dev/null\nxargs -0 -a {} cat >/dev/null\n",
            config.display(),
            file.display()
        );
        fs::write(&script, text)?;
        Ok(Measured::new(Path::new("/bin/sh"), ["-eu".as_ref(), script.as_os_str()]))
    }

    /// The last old root, or what is written of it.
    fn newest(&self, end: &str) -> Result<PathBuf> {
        let names = fs::read_dir(self.field.tree("old-roots"))?;
        let mut names: Vec<_> = names.collect::<std::io::Result<Vec<_>>>()?;
        names.retain(|name| name.path().is_dir());
        names.sort_by_key(|name| name.file_name());
        let newest = names.last().ok_or("there is no old root")?;
        Ok(self.field.tree("old-roots").join(format!("{}{end}", newest.file_name().display())))
    }

    fn remove_newest_digest(&self) -> Result<()> {
        Ok(fs::remove_file(self.newest(".digest")?)?)
    }
}
