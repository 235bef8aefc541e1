//! The demo: the whole story, told by the real commands on a stage that is gone afterwards.

mod machine;
mod scenes;
mod story;
mod summary;

use std::io;

use crate::cli::{Cli, Demo};
use crate::commands::Failure;
use crate::config::stage;

use story::Story;

/// Plays it, scene by scene.
pub(crate) fn play(cli: &Cli, args: &Demo) -> Result<(), Failure> {
    let set = stage::set(args.backend)?;
    let mut story = Story::new(cli, set)?;
    story.introduce()?;
    for (at, scene) in scenes::ALL.iter().enumerate() {
        if args.pause_at == Some(at + 1) {
            story.say("(waiting for a line on standard input)")?;
            io::stdin().read_line(&mut String::new())?;
        }
        story.scene(at + 1, scene)?;
    }
    story.end()
}
