//! `hold`: keeps the next boot, and no later one, from being rolled back.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use backends::{Held, Hold, Survey};
use chrono::Utc;

use crate::boot::{execute_steps, facts};
use crate::cli::arguments::{Cli, HoldNext};
use crate::cli::invocation::{Failure, load_config};
use crate::host::HostRoot;
use crate::ui;

pub(crate) fn run(cli: &Cli, args: &HoldNext) -> Result<ExitCode, Failure> {
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
    let done = config.with_lock(root, ui::waiting, |locked| {
        let survey = locked.survey()?;
        match plan(&wanted, &survey) {
            Ok(step) => {
                execute_steps::hold(&step, locked)?;
                Ok(Ok(format!("done: {step}\n")))
            }
            Err(nothing) => Ok(Err(nothing)),
        }
    })?;
    Ok(tell(done))
}

fn plan(wanted: &Wanted, survey: &Survey) -> Result<HoldStep, String> {
    plan_hold(wanted, survey.hold.as_ref())
}

fn tell(what: Result<String, String>) -> ExitCode {
    say(&what.unwrap_or_else(|nothing| format!("nothing to do: {nothing}\n")));
    ExitCode::SUCCESS
}

/// A reader that goes away does not undo what was done.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

// Plans a hold: what is asked for and what is there → the one step, or nothing to do. Pure.

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The next boot is held by this.
    Set(Hold),
    /// No boot is held.
    Release,
}

/// What will be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldStep {
    /// Write this hold.
    Write(Hold),
    /// Remove the one that is there.
    Remove,
}

/// Plans it; the error says why there is nothing to do.
pub fn plan_hold(wanted: &Wanted, there: Option<&Held>) -> Result<HoldStep, String> {
    match (wanted, there) {
        (Wanted::Set(_), Some(Held::By(hold))) if hold.used_by.is_none() => Err(format!(
            "the next boot is held already, since {}",
            hold.time.format("%Y-%m-%d %H:%M:%S UTC")
        )),
        (Wanted::Set(hold), _) => Ok(HoldStep::Write(hold.clone())),
        (Wanted::Release, None) => Err("no boot is held".to_string()),
        (Wanted::Release, Some(_)) => Ok(HoldStep::Remove),
    }
}

impl fmt::Display for HoldStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write(_) => "hold the next boot: it is not rolled back, and the one after it is",
            Self::Remove => "release the hold: the next boot is rolled back",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn a_pending_hold_stays_and_any_other_is_replaced() {
        let hold = Hold::new("a", DateTime::UNIX_EPOCH);
        let wanted = Wanted::Set(Hold::new("b", DateTime::UNIX_EPOCH));
        let write = Ok(HoldStep::Write(Hold::new("b", DateTime::UNIX_EPOCH)));
        let used = Held::By(Hold { used_by: Some("b".into()), ..hold.clone() });
        let broken = Held::Unreadable("x".into());
        assert!(
            plan_hold(&wanted, Some(&Held::By(hold))).unwrap_err().contains("since 1970-01-01")
        );
        for there in [None, Some(&used), Some(&broken)] {
            assert_eq!(plan_hold(&wanted, there), write);
        }
        assert_eq!(plan_hold(&Wanted::Release, Some(&broken)), Ok(HoldStep::Remove));
        assert!(plan_hold(&Wanted::Release, None).is_err());
    }
}
