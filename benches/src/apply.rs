//! `apply` of 300 kept paths on a fresh root, and the shell loop that does the same by programs.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use support::kernel::{create_subvolume, delete_subvolume};
use support::sandbox::unmount_below;

use crate::field::Field;
use crate::measure::{Measured, Run, seconds};
use crate::table::{FORMER, Row};
use crate::{Options, Result, say};

const ENTRIES: usize = 300;
/// The share of the loop's time that is promised.
const LIMIT: f64 = 1.0 / 20.0;

const LIVE: &str = "live";
const BLANK: &str = "blank";
const STORAGE: &str = "persist";

/// Measures both in turns, each on a root of its own that was made a moment before.
pub fn measure(options: &Options, namespace: &PrivateNamespace) -> Result<Vec<Row>> {
    say(&format!("apply of {ENTRIES} kept paths and a shell loop"));
    let stage = Stage::new(namespace)?;
    let ours = {
        let (config, root, host) = (&stage.config, &stage.root, &stage.host);
        let words = [Path::new("apply"), "--config".as_ref(), config, "--root".as_ref(), root];
        let host = ["--host".as_ref(), host.as_path()];
        Measured::new(&options.blankroot, words.into_iter().chain(host))
    };
    let shell = Measured::new(Path::new("/bin/sh"), ["-eu".as_ref(), stage.script.as_path()]);
    let former = options.former.as_ref().map(|former| ours.by(former));
    let (mut of_ours, mut of_shell, mut of_former) = (Vec::new(), Vec::new(), Vec::new());
    // The first of each finds cold caches, and does not count.
    for round in 0..=options.rounds {
        let former = former.as_ref().map(|former| (former, &mut of_former));
        let both = [(&ours, &mut of_ours), (&shell, &mut of_shell)].into_iter();
        for (command, runs) in both.chain(former) {
            let run = stage.run(command)?;
            if round > 0 {
                runs.push(run);
            }
        }
    }
    let what = format!("{ENTRIES} kept paths put in their places");
    let peer = ("`mkdir`, `chown`, `chmod`, `mount --bind` in a loop", seconds(&of_shell));
    let mut rows = vec![Row::times(&what, seconds(&of_ours), peer, LIMIT)];
    if former.is_some() {
        let former = (FORMER.0, seconds(&of_former));
        rows.push(Row::times(&what, seconds(&of_ours), former, FORMER.1));
    }
    Ok(rows)
}

/// A file system with a blank tree, and a storage with data for each entry.
struct Stage<'n> {
    field: Field<'n>,
    root: PathBuf,
    host: PathBuf,
    config: PathBuf,
    script: PathBuf,
}

fn path(number: usize) -> String {
    format!("var/lib/service-{number}")
}

impl<'n> Stage<'n> {
    fn new(namespace: &'n PrivateNamespace) -> Result<Self> {
        let field = Field::new(namespace)?;
        create_subvolume(&field.tree("start"))?;
        for dir in ["etc", "var/lib", STORAGE] {
            fs::create_dir_all(field.tree("start").join(dir))?;
        }
        field.snapshot("start", BLANK, true)?;
        create_subvolume(&field.tree(STORAGE))?;
        for number in 0..ENTRIES {
            let dir = field.tree(STORAGE).join(path(number));
            fs::create_dir_all(&dir)?;
            fs::write(dir.join("data"), "of the service\n")?;
        }
        let [root, host] = ["root", "host"].map(|name| field.outside().join(name));
        for dir in [&root, &host.join("run")] {
            fs::create_dir_all(dir)?;
        }
        let config = field.config(LIVE, BLANK)?;
        let script = field.outside().join("loop.sh");
        fs::write(&config, fs::read_to_string(&config)? + &list())?;
        fs::write(&script, shell_loop(&root))?;
        Ok(Self { field, root, host, config, script })
    }

    /// One run on a fresh root.
    fn run(&self, command: &Measured) -> Result<Run> {
        if self.field.tree(LIVE).exists() {
            delete_subvolume(&self.field.tree(LIVE))?;
        }
        self.field.snapshot(BLANK, LIVE, false)?;
        let _live: MountPoint = self.field.mount_tree(LIVE, &self.root)?;
        let storage = self.root.join(STORAGE);
        let _storage = self.field.mount_tree(STORAGE, &storage)?;
        self.field.sync()?;
        let run = command.run()?;
        let applied = (0..ENTRIES).all(|number| self.root.join(path(number)).join("data").exists());
        unmount_below(&self.root, &[storage]);
        if applied { Ok(run) } else { Err("not every path was put in its place".into()) }
    }
}

/// The same list for us and for the loop: owner and mode are given for each.
fn list() -> String {
    let mut text = format!("[[storage]]\npath = \"/{STORAGE}\"\ndirectories = [\n");
    for number in 0..ENTRIES {
        let path = path(number);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {{ path = \"/{path}\", user = 1000, group = 1000, mode = \"0750\" }},"
        );
    }
    text + "]\n"
}

fn shell_loop(root: &Path) -> String {
    let root = root.display();
    format!(
        "for number in $(seq 0 {last}); do\n\
         source={root}/{STORAGE}/var/lib/service-$number target={root}/var/lib/service-$number\n\
         mkdir -p \"$source\" \"$target\"\n\
         chown 1000:1000 \"$source\" \"$target\"\n\
         chmod 0750 \"$source\" \"$target\"\n\
         mount --bind \"$source\" \"$target\"\n\
         done\n",
        last = ENTRIES - 1
    )
}
