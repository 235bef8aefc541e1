//! `expire`: deletes old roots by the retention rules, and what interrupted runs left.

use std::process::ExitCode;

use backends::LockedBackend;
use chrono::Utc;
use dirfd::sys::process_calls;

use crate::audit::lost_roots;
use crate::boot::expire_plan::{ExpirePlan, ExpireRefusal, plan_expiry};
use crate::boot::{execute_steps, facts};
use crate::cli::arguments::{Cli, Expire};
use crate::cli::invocation::{Failure, load_config};
use crate::evidence::after_boot;
use crate::host::HostRoot;
use crate::ui;
use crate::ui::progress::ProgressCounter;

pub(crate) fn run(cli: &Cli, args: &Expire) -> Result<ExitCode, Failure> {
    let root = &args.host.host;
    if facts::is_initrd(&HostRoot::open(root)?)? {
        return Ok(report_refusals(&[ExpireRefusal::InInitrd]));
    }
    let config = load_config(cli, root)?;
    if config.root.layout().is_none() {
        ui::print_text(
            "nothing to do: this root starts empty at every boot, and has no old roots\n",
        );
        lost_roots::record(&config, root, args.dry_run);
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        let backend = config.open_backend(root)?;
        let mut survey = backend.survey()?;
        backend.look_for_snapshots(&mut survey.old_roots)?;
        return Ok(match plan_expiry(&survey, config.rollback.retention, Utc::now()) {
            Ok(mut plan) => {
                plan.look_inside(|tree| backend.nested_that_hold(tree))?;
                let code = print_plan(&plan);
                after_boot::print_plan(backend.as_ref(), &survey)?;
                lost_roots::record(&config, root, true);
                code
            }
            Err(refusals) => report_refusals(&refusals),
        });
    }
    // Nobody waits for this, and whoever works meanwhile comes first. A kernel that knows no
    // priorities is no reason to keep old roots.
    let _ = process_calls::be_idle();
    let (code, may_go_on) = config.with_lock(root, ui::report_waiting, |locked| {
        let mut survey = locked.survey()?;
        locked.look_for_snapshots(&mut survey.old_roots)?;
        let code = match plan_expiry(&survey, config.rollback.retention, Utc::now()) {
            Ok(mut plan) => {
                plan.look_inside(|tree| locked.nested_that_hold(tree))?;
                (execute_plan(&plan, locked), true)
            }
            Err(refusals) => (report_refusals(&refusals), false),
        };
        // A blank that was adopted, or made by an older version: the rollback has no time to look.
        if let (None, Some(blank)) = (&survey.stubs, survey.blank.tree()) {
            locked.list_stubs(blank)?;
        }
        Ok(code)
    })?;
    // After what goes is gone: nothing is read of that.
    let done = !may_go_on || after_boot::run(&config, root)?;
    if may_go_on {
        lost_roots::record(&config, root, false);
    }
    Ok(if done { code } else { ExitCode::from(1) })
}

fn print_plan(plan: &ExpirePlan) -> ExitCode {
    ui::print_text(&plan.to_string());
    if plan.decisions.is_empty() {
        ui::print_text(&nothing_to_do(plan));
    }
    ExitCode::SUCCESS
}

fn execute_plan(plan: &ExpirePlan, locked: &mut LockedBackend<'_>) -> ExitCode {
    let total = plan.deletions().count();
    for decision in plan.decisions.iter().filter(|decision| decision.is_reported_always()) {
        ui::print_text(&format!("{decision}\n"));
    }
    if total == 0 {
        ui::print_text(&nothing_to_do(plan));
        return ExitCode::SUCCESS;
    }
    let mut failed = false;
    let progress = ProgressCounter::of_steps("deleting old roots", total);
    execute_steps::execute_expiry(plan, locked, |decision, ended| {
        progress.suspend(|| match ended {
            Ok(()) => ui::print_text(&format!("done: {decision}\n")),
            Err(error) => {
                failed = true;
                ui::report_problem(error);
            }
        });
        progress.add(1);
    });
    if failed { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn nothing_to_do(plan: &ExpirePlan) -> String {
    match plan.staying() {
        0 => "nothing to do: there are no old roots\n".to_string(),
        1 => "nothing to do: the only old root stays\n".to_string(),
        staying => format!("nothing to do: all {staying} old roots stay\n"),
    }
}

fn report_refusals(refusals: &[ExpireRefusal]) -> ExitCode {
    refusals.iter().for_each(ui::report_problem);
    ExitCode::from(2)
}
