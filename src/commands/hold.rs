//! `hold`: keeps the next boot, and no later one, from being rolled back.

use std::io::{self, Write};
use std::process::ExitCode;

use backends::{Hold, Survey};
use chrono::Utc;

use super::{Failure, load_config, show};
use crate::apply;
use crate::cli::{Cli, HoldNext};
use crate::facts;
use crate::host::HostRoot;
use crate::plan::hold::{self, HoldStep, Wanted};

pub fn run(cli: &Cli, args: &HoldNext) -> Result<ExitCode, Failure> {
    let root = &args.host.host;
    let config = load_config(cli, root)?;
    if config.root.layout().is_none() {
        say("nothing to do: this root starts empty at every boot, and no rollback could be held\n");
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = if args.release {
        Wanted::Release
    } else {
        Wanted::Set(Hold::new(facts::boot_id(&HostRoot::open(root)?)?, Utc::now()))
    };
    if args.dry_run {
        let survey = config.open_backend(root)?.survey()?;
        return Ok(tell(plan(&wanted, &survey).map(|step| format!("1. {step}\n"))));
    }
    let done = config.with_lock(root, show::waiting, |locked| {
        let survey = locked.survey()?;
        match plan(&wanted, &survey) {
            Ok(step) => {
                apply::hold(&step, locked)?;
                Ok(Ok(format!("done: {step}\n")))
            }
            Err(nothing) => Ok(Err(nothing)),
        }
    })?;
    Ok(tell(done))
}

fn plan(wanted: &Wanted, survey: &Survey) -> Result<HoldStep, String> {
    hold::plan(wanted, survey.hold.as_ref())
}

fn tell(what: Result<String, String>) -> ExitCode {
    say(&what.unwrap_or_else(|nothing| format!("nothing to do: {nothing}\n")));
    ExitCode::SUCCESS
}

/// A reader that goes away does not undo what was done.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
