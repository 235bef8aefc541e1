//! The demo: the whole story, told by the real commands on a stage that is gone afterwards.

pub mod machine;
pub mod scenes;
pub mod story;

use std::io;
use std::process::ExitCode;

use crate::cli::arguments::{Cli, Demo};
use crate::cli::invocation::Failure;
use crate::config::starter;
use crate::demo::story::Story;

/// Plays it, scene by scene.
pub(crate) fn play(cli: &Cli, args: &Demo) -> Result<(), Failure> {
    let set = starter::set(args.backend)?;
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

// `demo`: the whole story on a throwaway file system.

pub(crate) fn run(cli: &Cli, args: &Demo) -> Result<ExitCode, Failure> {
    play(cli, args)?;
    Ok(ExitCode::SUCCESS)
}
