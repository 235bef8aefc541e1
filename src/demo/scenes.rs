//! The scenes, in their order. What they show is what really happened.

use std::path::Path;
use std::{fs, io};

use blankroot::cli::invocation::Failure;
use blankroot::config::edit;
use blankroot::config::entry::{EntryKind, PlacementMethod};
use blankroot::persist::keep_plan::added_lines;
use blankroot::ui::colours::GOOD;
use dirfd::fault::change;
use dirfd::{Error, TreePath, atomic_file};

use crate::demo::demo_machine::{self, BOOTS, NOTES};
use crate::demo::story::DemoStory;

/// Where the machine has its storage.
const STORAGE: &str = "/persist";

/// A part of the story with its title.
pub struct Scene {
    pub title: &'static str,
    pub play: fn(&mut DemoStory) -> Result<(), Failure>,
}

/// In the order in which they are played.
pub const SCENES: &[Scene] = &[
    Scene { title: "The machine is installed, and made the blank one", play: play_init },
    Scene { title: "It lives a little", play: play_changes },
    Scene { title: "What is there now that was not there before?", play: play_diff },
    Scene {
        title: "All that goes at the next boot; but the notes are wanted: keep them",
        play: play_keep,
    },
    Scene {
        title: "The machine reboots; in the initrd, before / is mounted:",
        play: play_rollback,
    },
    Scene { title: "It is up again", play: play_status },
];

fn play_init(story: &mut DemoStory) -> Result<(), Failure> {
    story.boot(BOOTS[0])?;
    let hidden = [("--root", story.stage.root()), ("--host", story.stage.host())];
    story.command(&["init"], &hidden)
}

fn play_changes(story: &mut DemoStory) -> Result<(), Failure> {
    demo_machine::change_files(&story.stage.root())?;
    story.say("Alice writes two notes. Somebody renames the machine, removes the greeting,")?;
    story.say("and installs a program that nobody has heard of.")
}

fn play_diff(story: &mut DemoStory) -> Result<(), Failure> {
    story.command(&["diff"], &[("--root", story.stage.root())])
}

fn play_keep(story: &mut DemoStory) -> Result<(), Failure> {
    if story.mounts() {
        story.command(&["keep", "--storage", STORAGE, NOTES], &story.persistence())?;
    } else if rustix::process::geteuid().is_root() {
        story.command(&["keep", "--symlink", "--storage", STORAGE, NOTES], &story.persistence())?;
    } else {
        keep_by_hand(story)?;
    }
    story.command(&["diff", NOTES], &[("--root", story.stage.root())])
}

/// Only root can tell who uses what is moved, and `keep` moves nothing without that.
fn keep_by_hand(story: &DemoStory) -> Result<(), Failure> {
    let file = story.config();
    let before = atomic_file::read_path(&file, atomic_file::MAX_OWN)
        .and_then(|text| String::from_utf8(text).map_err(io::Error::other))
        .map_err(|e| Error::io("read the configuration", e))?;
    let notes = TreePath::parse(NOTES.as_bytes()).map_err(|why| Error::new("keep notes", why))?;
    let (storage, link) = (Path::new(STORAGE), Some(PlacementMethod::Symlink));
    let after = edit::add_entry(&before, storage, &notes, EntryKind::Dir, link)?;
    demo_machine::write_file(&file, 0o644, &after)?;
    story.say(
        "`blankroot keep` needs root: it has to see that nobody uses what it moves. So these",
    )?;
    story.say("lines are written to the configuration by hand, and `apply` moves the notes:")?;
    for line in added_lines(&before, &after) {
        story.say(story.style.paint(GOOD, format_args!("+ {line}")))?;
    }
    story.command(&["apply", "--adopt"], &story.persistence())
}

fn play_rollback(story: &mut DemoStory) -> Result<(), Failure> {
    if story.stage.halt()? {
        story.quietly("Live is unmounted by now, with all that was mounted in it.")?;
    } else {
        story.quietly("Live is a plain directory here, so there is nothing to unmount.")?;
    }
    demo_machine::write_boot(&story.stage.host(), BOOTS[1], story.stage.device())?;
    story.command(&["rollback"], &[("--host", story.stage.host())])
}

fn play_status(story: &mut DemoStory) -> Result<(), Failure> {
    story.boot(BOOTS[1])?;
    story.command(&["apply"], &story.persistence())?;
    sync_live(&story.stage.root())?;
    let hidden = [("--root", story.stage.root()), ("--host", story.stage.host())];
    story.command(&["status"], &hidden)
}

/// Btrfs tells only of what is on the disk whether live was written to.
fn sync_live(root: &Path) -> Result<(), Error> {
    let failed = |e| Error::io("write the demo's live to its disk", e);
    let dir = fs::File::open(root).map_err(failed)?;
    change("demo: sync", || Ok(rustix::fs::syncfs(&dir)?)).map_err(failed)
}
