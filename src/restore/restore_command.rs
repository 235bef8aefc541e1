//! `restore`: what was asked for, the plan, and what is told of it.

use std::io::{self, Write};
use std::process::ExitCode;

use backends::OldRoot;
use dirfd::stat::of_open;
use dirfd::{Error, Result, TreePath};
use rustix::fs::OFlags;
use std::os::fd::AsFd;

use crate::cli::arguments::{Cli, Restore};
use crate::cli::invocation::{Failure, in_tree, load_config};
use crate::config::Config;
use crate::host::Machine;
use crate::persist::list;
use crate::restore::find_versions::{OldRoots, OpenView};
use crate::restore::restore_execute::execute_restore;
use crate::restore::restore_plan::RestorePlan;
use crate::restore::restore_request::{RestoreRequest, plan_restore};
use crate::ui;
use crate::ui::progress::ProgressCounter;

pub(crate) fn run(cli: &Cli, args: &Restore) -> Result<ExitCode, Failure> {
    let root = &args.root.root;
    let config = load_config(cli, root)?;
    if config.root.layout().is_none() {
        let why = "this root starts empty at every boot, and has no old roots";
        return Err(Error::new("restore anything", why)
            .hint("what is to survive a boot is kept: `blankroot keep PATH`")
            .into());
    }
    if args.dry_run {
        let backend = config.open_backend(root)?;
        return restore_from(args, &config, backend.survey_without_mounts()?.old_roots, &|tree| {
            backend.view(tree)
        });
    }
    // Nobody deletes an old root meanwhile.
    config.with_lock(root, ui::report_waiting, |trees| {
        let old_roots = trees.survey()?.old_roots;
        Ok(restore_from(args, &config, old_roots, &|tree| trees.view(tree)))
    })?
}

fn restore_from(
    args: &Restore,
    config: &Config,
    old_roots: Vec<OldRoot>,
    open: OpenView<'_>,
) -> Result<ExitCode, Failure> {
    let root = &args.root.root;
    let paths = args.paths.iter().map(|path| in_tree(path, root, "restore"));
    let paths = paths.collect::<Result<Vec<_>>>()?;
    let to = args.to.as_ref().map(|dir| in_tree(dir, root, "restore to")).transpose()?;
    let old_roots = OldRoots::new(old_roots, open);
    let from = args.from.as_ref().map(|asked| old_roots.find(asked)).transpose()?;
    let machine = Machine::open(root)?;
    let request = RestoreRequest {
        paths: &paths,
        from: from.as_deref(),
        to: to.as_ref(),
        overwrite: args.overwrite,
    };
    let mut plan = match plan_restore(&request, &machine, &old_roots) {
        Ok(plan) => plan,
        Err(errors) => {
            errors.iter().for_each(ui::report_problem);
            return Ok(ExitCode::FAILURE);
        }
    };
    plan.notes.extend(plan.places.iter().filter_map(|place| note_of_loss(place, config, &machine)));
    let mut out = io::stdout().lock();
    for there in &plan.there {
        writeln!(out, "{there}")?;
    }
    for note in &plan.notes {
        writeln!(out, "note: {note}")?;
    }
    if args.dry_run {
        write!(out, "{plan}")?;
        return Ok(ExitCode::SUCCESS);
    }
    execute_and_print(&plan, &machine, &old_roots, &mut out)
}

fn execute_and_print(
    plan: &RestorePlan,
    machine: &Machine,
    old_roots: &OldRoots<'_>,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    let progress = ProgressCounter::of_bytes("restoring", 0);
    // A reader that goes away does not stop what is being done.
    let ended =
        execute_restore(plan, machine, old_roots, &mut |_, bytes| progress.add(bytes), |step| {
            progress.suspend(|| drop(writeln!(out, "done: {step}")))
        });
    drop(progress);
    let (notes, stopped) = match ended {
        Ok(notes) => (notes, None),
        Err(stopped) => {
            let text = stopped.to_string();
            (stopped.notes, Some(text))
        }
    };
    for note in notes {
        writeln!(out, "note: {note}")?;
    }
    out.flush()?;
    Ok(match stopped {
        Some(text) => {
            ui::report_problem(text);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    })
}

/// What lies in live itself, and not in what is mounted there, goes with it.
fn note_of_loss(place: &TreePath, config: &Config, machine: &Machine) -> Option<String> {
    if list::keep_list(config).iter().any(|entry| place.is_within(&entry.path)) {
        return None;
    }
    let mut dir = place.parent()?;
    let opened = loop {
        match machine.open_at(&dir, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(opened) => break opened,
            Err(_) => dir = dir.parent()?,
        }
    };
    let mounts = [of_open(machine.root().as_fd()).ok()?, of_open(opened.as_fd()).ok()?];
    let [root, here] = mounts.map(|stat| (stat.mount, stat.device));
    (root.0 == here.0 && (root.0.is_some() || root.1 == here.1)).then(|| {
        format!("{place} is not kept, so that the next boot discards it; `blankroot keep` keeps it")
    })
}
