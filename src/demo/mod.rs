//! `demo`: the whole story on a throwaway file system, told by the real commands.

mod demo_machine;
mod demo_stage;
mod scenes;
mod story;

use std::io;
use std::process::ExitCode;

use blankroot::cli::arguments::{Cli, Demo};
use blankroot::cli::invocation::Failure;

use crate::demo::demo_stage::set_stage;
use crate::demo::story::DemoStory;

pub fn run(cli: &Cli, args: &Demo) -> Result<ExitCode, Failure> {
    let mut story = DemoStory::new(cli, set_stage(args.backend)?)?;
    story.introduce()?;
    for (at, scene) in scenes::SCENES.iter().enumerate() {
        if args.pause_at == Some(at + 1) {
            story.say("(waiting for a line on standard input)")?;
            io::stdin().read_line(&mut String::new())?;
        }
        story.announce(at + 1, scene.title)?;
        // A signal waits until the end of the scene.
        let calm = story.stage.calm();
        let _held = calm.hold();
        (scene.play)(&mut story)?;
    }
    story.end()?;
    Ok(ExitCode::SUCCESS)
}
