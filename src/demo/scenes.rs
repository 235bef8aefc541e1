//! The scenes, in their order. What they show is what really happened.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use backends::fault::change;
use backends::{Error, TreePath};

use super::machine::{self, BOOTS, NOTES};
use super::story::Story;
use crate::apply;
use crate::commands::Failure;
use crate::config::{Config, EntryKind, edit};
use crate::host::HostRoot;
use crate::keep;
use crate::plan;
use crate::report::paint::GOOD;

/// Where the machine has its storage.
const STORAGE: &str = "/persist";

/// One scene.
pub struct Scene {
    pub title: &'static str,
    pub play: fn(&mut Story) -> Result<(), Failure>,
}

/// All of them.
pub const ALL: &[Scene] = &[
    Scene { title: "The machine is installed, and made the blank one", play: init },
    Scene { title: "It lives a little", play: live },
    Scene { title: "What is there now that was not there before?", play: diff },
    Scene {
        title: "All that goes at the next boot; but the notes are wanted: keep them",
        play: keep,
    },
    Scene { title: "The machine reboots; in the initrd, before / is mounted:", play: rollback },
    Scene { title: "It is up again", play: status },
];

fn init(story: &mut Story) -> Result<(), Failure> {
    story.boot(BOOTS[0])?;
    let hidden = [("--root", story.stage.root()), ("--host", story.stage.host())];
    story.command(&["init"], &hidden)
}

fn live(story: &mut Story) -> Result<(), Failure> {
    machine::live(&story.stage.root())?;
    story.say("Alice writes two notes. Somebody renames the machine, removes the greeting,")?;
    story.say("and installs a program that nobody has heard of.")
}

fn diff(story: &mut Story) -> Result<(), Failure> {
    story.command(&["diff"], &[("--root", story.stage.root())])
}

fn keep(story: &mut Story) -> Result<(), Failure> {
    let file = story.config();
    let before = fs::read_to_string(&file).map_err(|e| Error::io("read the configuration", e))?;
    let notes = TreePath::parse(NOTES.as_bytes()).map_err(|why| Error::new("keep notes", why))?;
    let after = edit::add_entry(&before, Path::new(STORAGE), &notes, EntryKind::Dir, None)?;
    machine::write(&file, 0o644, &after)?;
    story.say("The configuration gets these lines; its comments stay:")?;
    for line in added_lines(&before, &after) {
        story.say(story.style.paint(GOOD, format_args!("+ {line}")))?;
    }
    let list = keep::list(&Config::load(&file)?);
    let plan = plan::keep::move_in(&list, &BTreeSet::new())
        .map_err(|why| Error::new("move the notes into storage", why))?;
    execute(story, &plan)?;
    story.command(&["diff", "--flat", "/var/lib/notes/todo.txt"], &[("--root", story.stage.root())])
}

fn rollback(story: &mut Story) -> Result<(), Failure> {
    if story.stage.halt()? {
        story.quietly("Live is unmounted by now; only the top of its file system is not.")?;
    } else {
        story.quietly("Live is a plain directory here, so there is nothing to unmount.")?;
    }
    machine::boot(&story.stage.host(), BOOTS[1], story.stage.device())?;
    story.command(&["rollback"], &[("--host", story.stage.host())])
}

fn status(story: &mut Story) -> Result<(), Failure> {
    story.boot(BOOTS[1])?;
    let list = keep::list(&Config::load(&story.config())?);
    execute(story, &plan::keep::lead_to(&list, &BTreeSet::new()))?;
    sync(&story.stage.root())?;
    let hidden = [("--root", story.stage.root()), ("--host", story.stage.host())];
    story.command(&["status"], &hidden)
}

/// Does the steps of a plan, and shows each that is done.
fn execute(story: &Story, plan: &plan::KeepPlan) -> Result<(), Failure> {
    let live = HostRoot::open(&story.stage.root())?;
    let storage = HostRoot::open(&story.stage.storage())?;
    let mut done = Vec::new();
    apply::keep::keep(&plan.steps, &live, &storage, |step| done.push(step.to_string()))?;
    done.iter().try_for_each(|step| story.say(format_args!("done: {step}")))
}

/// Whether live was written to can be told of what is on the disk alone.
fn sync(root: &Path) -> Result<(), Error> {
    let failed = |e| Error::io("write the demo's live to its disk", e);
    let dir = fs::File::open(root).map_err(failed)?;
    change("demo: sync", || Ok(rustix::fs::syncfs(&dir)?)).map_err(failed)
}

/// The lines that only `after` has, which was made of `before` by adding.
fn added_lines<'t>(before: &str, after: &'t str) -> Vec<&'t str> {
    let mut old = before.lines().peekable();
    let is_new = |line: &&str| old.next_if_eq(line).is_none() && !line.trim().is_empty();
    after.lines().filter(is_new).collect()
}
