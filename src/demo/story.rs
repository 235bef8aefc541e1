//! One telling of the story: where it is played, and how it is written down for the reader.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use backends::Error;
use backends::stage::Stage;
use clap::Parser;

use super::scenes::Scene;
use super::{machine, summary};
use crate::cli::{Cli, Color};
use crate::commands::{self, Failure, show};
use crate::config::stage::Set;
use crate::report::Style;
use crate::report::paint::{GOOD, QUIET, STRONG};

/// The name of the configuration, in storage.
const CONFIG: &str = "blankroot.toml";

pub struct Story {
    pub stage: Stage,
    pub style: Style,
    color: Color,
    set: Told,
}

/// What there is to say about the stage.
struct Told {
    backend: &'static str,
    why_not_better: Option<String>,
}

impl Story {
    /// Installs the machine.
    pub fn new(cli: &Cli, set: Set) -> Result<Self, Error> {
        let Set { stage, backend, why_not_better, config } = set;
        let set = Told { backend, why_not_better };
        let mut story = Self { stage, style: show::style(cli), color: cli.color, set };
        story.install(config.as_deref())?;
        Ok(story)
    }

    fn install(&mut self, config: Option<&str>) -> Result<(), Error> {
        let calm = self.stage.calm();
        let _held = calm.hold();
        machine::install(&self.stage.disk().join(self.stage.live().as_path()))?;
        if let Some(config) = config {
            machine::write(&self.config(), 0o644, config)?;
        }
        Ok(())
    }

    /// Where the configuration is.
    pub fn config(&self) -> PathBuf {
        self.stage.storage().join(CONFIG)
    }

    /// Whether anything can be mounted: on plain directories storage is linked into live, too.
    pub fn mounts(&self) -> bool {
        self.stage.device().is_some()
    }

    /// What leads `keep` and `apply` to the stage.
    pub fn persistence(&self) -> Vec<(&'static str, PathBuf)> {
        let mut hidden = vec![("--root", self.stage.root()), ("--host", self.stage.host())];
        if !self.mounts() {
            hidden.push(("--storages", self.stage.disk()));
        }
        hidden
    }

    /// Starts one of the machine's boots.
    pub fn boot(&mut self, id: &str) -> Result<(), Error> {
        machine::boot(&self.stage.host(), id, self.stage.device())?;
        self.stage.boot()
    }

    pub fn introduce(&self) -> Result<(), Failure> {
        self.say(format_args!(
            "{} a small machine is made, lives, and is restored to blank.",
            self.style.paint(STRONG, "blankroot demo:")
        ))?;
        self.say(format_args!("It is on {}.", self.stage.describe()))?;
        if let Some(why) = &self.set.why_not_better {
            self.say(format_args!("The backend is `{}`, because {why}.", self.set.backend))?;
        }
        if !self.mounts() {
            self.say("Nothing is mounted there: storage is a link in live, and what is kept is one, too.")?;
        }
        self.quietly("Options that lead the commands there are not shown; the rest is real.")
    }

    /// Plays one scene. A signal waits until its end.
    pub fn scene(&mut self, number: usize, scene: &Scene) -> Result<(), Failure> {
        let title = format_args!("{number}. {}", scene.title);
        self.say(format_args!("\n{}", self.style.paint(STRONG, title)))?;
        let calm = self.stage.calm();
        let _held = calm.hold();
        (scene.play)(self)
    }

    /// Runs one of the real commands as its user would type it; `hidden` leads it to the stage.
    pub fn command(&self, words: &[&str], hidden: &[(&str, PathBuf)]) -> Result<(), Failure> {
        let line = words.join(" ");
        self.say(format_args!("{} blankroot {line}", self.style.paint(GOOD, "$")))?;
        let mut argv: Vec<OsString> = vec!["blankroot".into()];
        argv.extend(words.iter().map(OsString::from));
        argv.extend(["--config".into(), self.config().into()]);
        for (option, value) in hidden {
            argv.extend([option.into(), value.into()]);
        }
        // Nobody else knows of the stage, whatever processes of this host hide.
        if words.first() == Some(&"keep") {
            argv.push("--even-if-unseen".into());
        }
        let action = || format!("play `blankroot {line}`");
        let mut cli = Cli::try_parse_from(argv).map_err(|e| Error::new(action(), e))?;
        cli.color = self.color;
        if commands::run(&cli) == ExitCode::SUCCESS {
            Ok(())
        } else {
            Err(Error::new(action(), "it failed, see above").into())
        }
    }

    pub fn say(&self, line: impl Display) -> Result<(), Failure> {
        Ok(writeln!(io::stdout(), "{line}")?)
    }

    pub fn quietly(&self, line: impl Display) -> Result<(), Failure> {
        self.say(self.style.paint(QUIET, line))
    }

    /// Looks at what became of everything, and clears the stage.
    pub fn end(self) -> Result<(), Failure> {
        self.say("")?;
        {
            let calm = self.stage.calm();
            let _held = calm.hold();
            summary::write(&self)?;
        }
        let Self { stage, style, .. } = self;
        let where_it_was = stage.describe();
        stage.close()?;
        let touched = style.paint(STRONG, "Nothing of this machine was touched.");
        Ok(writeln!(
            io::stdout(),
            "{touched} The file system was\n{where_it_was}, and is gone now."
        )?)
    }
}
