//! `hold`: keeps the next boot, and no later one, from being rolled back.

use std::process::ExitCode;

use backends::Hold;
use chrono::Utc;

use crate::boot::hold_plan::{WantedHold, plan_hold};
use crate::boot::{execute_steps, facts};
use crate::cli::arguments::{Cli, HoldNext};
use crate::cli::invocation::{Failure, load_config};
use crate::host::HostRoot;
use crate::ui;

pub(crate) fn run(cli: &Cli, args: &HoldNext) -> Result<ExitCode, Failure> {
    let root = &args.host.host;
    let config = load_config(cli, root)?;
    if config.root.layout().is_none() {
        ui::print_text(
            "nothing to do: this root starts empty at every boot, and no rollback could be held\n",
        );
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = if args.release {
        WantedHold::Release
    } else {
        WantedHold::Set(Hold::new(facts::boot_id(&HostRoot::open(root)?)?, Utc::now()))
    };
    if args.dry_run {
        let survey = config.open_backend(root)?.survey()?;
        return Ok(print_outcome(
            plan_hold(&wanted, survey.hold.as_ref()).map(|step| format!("1. {step}\n")),
        ));
    }
    let done = config.with_lock(root, ui::report_waiting, |locked| {
        let survey = locked.survey()?;
        match plan_hold(&wanted, survey.hold.as_ref()) {
            Ok(step) => {
                execute_steps::execute_hold(&step, locked)?;
                Ok(Ok(format!("done: {step}\n")))
            }
            Err(nothing) => Ok(Err(nothing)),
        }
    })?;
    Ok(print_outcome(done))
}

fn print_outcome(what: Result<String, String>) -> ExitCode {
    ui::print_text(&what.unwrap_or_else(|nothing| format!("nothing to do: {nothing}\n")));
    ExitCode::SUCCESS
}
