//! One telling of the story: where it is played, and how it is written down for the reader.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use blankroot::cli;
use blankroot::cli::arguments::{Cli, Color};
use blankroot::cli::invocation::Failure;
use blankroot::config::Config;
use blankroot::ui::colours::{ALERT, GOOD, QUIET, STRONG, Style};
use clap::Parser;
use dirfd::{Error, atomic_file};
use scratch::demo_disk::Stage;

use crate::demo::demo_machine::{self, NOTE, NOTE_TEXT, NOTES, RESTORED, STRAYS};
use crate::demo::demo_stage::DemoStage;

/// The name of the configuration, in storage.
const CONFIG: &str = "blankroot.toml";

pub struct DemoStory {
    pub stage: Stage,
    pub style: Style,
    color: Color,
    backend: &'static str,
    why_not_better: Option<String>,
}

impl DemoStory {
    /// Installs the machine.
    pub fn new(cli: &Cli, stage: DemoStage) -> Result<Self, Error> {
        let DemoStage { stage, backend, why_not_better, config } = stage;
        let (style, color) = (blankroot::ui::style_of_output(cli), cli.color);
        let mut story = Self { stage, style, color, backend, why_not_better };
        story.install(config.as_deref())?;
        Ok(story)
    }

    fn install(&mut self, config: Option<&str>) -> Result<(), Error> {
        let calm = self.stage.calm();
        let _held = calm.hold();
        demo_machine::install_files(&self.stage.disk().join(self.stage.live().as_path()))?;
        if let Some(config) = config {
            demo_machine::write_file(&self.config(), 0o644, config)?;
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
        demo_machine::write_boot(&self.stage.host(), id, self.stage.device())?;
        self.stage.boot()
    }

    pub fn introduce(&self) -> Result<(), Failure> {
        self.say(format_args!(
            "{} a small machine is made, lives, and is restored to blank.",
            self.style.paint(STRONG, "blankroot demo:")
        ))?;
        self.say(format_args!("It is on {}.", self.stage.describe()))?;
        if let Some(why) = &self.why_not_better {
            self.say(format_args!("The backend is `{}`, because {why}.", self.backend))?;
        }
        if !self.mounts() {
            self.say("Nothing is mounted there: storage is a link in live, and what is kept is one, too.")?;
        }
        self.quietly("Options that lead the commands there are not shown; the rest is real.")
    }

    /// Writes the title of a scene.
    pub fn announce(&self, number: usize, title: &str) -> Result<(), Failure> {
        let title = format_args!("{number}. {title}");
        self.say(format_args!("\n{}", self.style.paint(STRONG, title)))
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
        if cli::run(&cli) == ExitCode::SUCCESS {
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
            write_end(&self)?;
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

/// Writes what is gone, what stayed and where the old root is, each looked up before it is said.
fn write_end(story: &DemoStory) -> Result<(), Failure> {
    let live = story.stage.root();
    let backend = Config::load(&story.config())?.open_backend(&live)?;
    let survey = backend.survey()?;
    let old = survey.old_roots.last();
    let old =
        old.map(|old| old.tree.name.clone()).ok_or_else(|| wrong_end("there is no old root"))?;
    let old_root = story.stage.disk().join(old.as_path());
    for path in STRAYS {
        expect_file(read_file(&live.join(path))?.is_none(), path, "is still there")?;
        expect_file(read_file(&old_root.join(path))?.is_some(), path, "is not in the old root")?;
    }
    for path in RESTORED {
        let installed = demo_machine::installed_text(path);
        expect_file(
            read_file(&live.join(path))?.as_deref() == installed,
            path,
            "is not as it was",
        )?;
    }
    expect_file(
        read_file(&live.join(NOTE))?.as_deref() == Some(NOTE_TEXT),
        NOTE,
        "is not as it was",
    )?;
    let stored = story.stage.storage().join(NOTE);
    expect_file(read_file(&stored)?.as_deref() == Some(NOTE_TEXT), NOTE, "is not in storage")?;
    let row = |paint, label: &str, text: String| {
        story.say(format_args!("{} {text}", story.style.paint(paint, format_args!("{label:>9}"))))
    };
    let all =
        |paths: &[&str]| paths.iter().map(|path| format!("/{path}")).collect::<Vec<_>>().join(", ");
    row(ALERT, "Gone:", all(&STRAYS))?;
    row(GOOD, "Restored:", all(&RESTORED))?;
    row(GOOD, "Kept:", format!("{NOTES}, which still says: {}", NOTE_TEXT.trim_end()))?;
    row(STRONG, "Old root:", format!("{old}, with all that is gone from /"))
}

fn expect_file(holds: bool, path: &str, why_not: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(wrong_end(&format!("/{path} {why_not}"))) }
}

fn wrong_end(why: &str) -> Error {
    Error::new("end the story as it should end", why).hint("report this: it is a defect")
}

fn read_file(path: &Path) -> Result<Option<String>, Error> {
    match atomic_file::read_path(path, atomic_file::MAX_OWN)
        .and_then(|text| String::from_utf8(text).map_err(io::Error::other))
    {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read a file of the demo", error)),
    }
}
