//! `unkeep`: takes paths from the keep list; their data goes back to live, or stays in storage.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use dirfd::path::shell_word;
use dirfd::{Error, Result, TreePath};

use crate::cli::arguments::{Cli, Unkeep};
use crate::cli::invocation::{Failure, in_tree};
use crate::config::{Config, DEFAULT_FILE, edit, is_own_file};
use crate::host::Machine;
use crate::persist::config_file::LockedConfig;
use crate::persist::keep_execute::KeepContext;
use crate::persist::path_lookup::{find_unnamed, look_up};
use crate::persist::resolve::resolve_entries;
use crate::persist::unkeep_plan::{self, StoredDataAction};
use crate::persist::{list, unkeep_execute};
use crate::ui;
use crate::ui::progress::ProgressCounter;

pub(crate) fn run(cli: &Cli, args: &Unkeep) -> Result<ExitCode, Failure> {
    let root = &args.root.root;
    let paths = args
        .paths
        .iter()
        .map(|path| in_tree(path, root, "stop keeping"))
        .collect::<Result<Vec<_>>>();
    let paths = paths?;
    let mut code = ExitCode::SUCCESS;
    // One after the other: each has the configuration that the one before has left.
    for path in &paths {
        let locked = LockedConfig::lock_and_read(cli, root, args.even_if_unseen, args.dry_run)?;
        if let Err(error) = unkeep_path(path, args, &locked)? {
            if let Some(error) = error {
                ui::report_problem(error);
            }
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// The inner error concerns this path alone; it is `None` if it was told already.
fn unkeep_path(
    path: &TreePath,
    args: &Unkeep,
    locked: &LockedConfig,
) -> Result<Result<(), Option<Error>>, Failure> {
    let config = &locked.config;
    let machine = Machine::open(&args.root.root)?;
    let data = if args.move_back { StoredDataAction::MoveBack } else { StoredDataAction::Leave };
    let (plan, after) = match plan_path(path, data, &machine, config) {
        Ok(planned) => planned,
        Err(error) => return Ok(Err(Some(error))),
    };
    let mut out = io::stdout().lock();
    let even_if_unseen = args.even_if_unseen;
    let context =
        KeepContext { machine: &machine, config: &config.file, old_root: None, even_if_unseen };
    if args.dry_run {
        write!(out, "{plan}")?;
        // What the run would look at before it changes anything is looked at here, too.
        return Ok(match unkeep_execute::check_before_unkeep(&plan, &context) {
            Ok(notes) => {
                notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
                Ok(())
            }
            Err(error) => Err(Some(error)),
        });
    }
    let progress = ProgressCounter::of_bytes("copying", 0);
    let done = unkeep_execute::execute_unkeep(
        &plan,
        &context,
        (&config.text, &after),
        &mut |_, bytes| progress.add(bytes),
        |step| progress.suspend(|| drop(writeln!(out, "done: {step}"))),
    );
    drop(progress);
    match done {
        Err(stopped) => {
            ui::report_problem(stopped);
            Ok(Err(None))
        }
        Ok(told) => {
            for note in told.notes.into_iter().chain(locked.note(config, &args.root.root)) {
                writeln!(out, "note: {note}")?;
            }
            Ok(Ok(()))
        }
    }
}

fn plan_path(
    path: &TreePath,
    data: StoredDataAction,
    machine: &Machine,
    config: &Config,
) -> Result<(unkeep_plan::UnkeepPlan, String)> {
    let list = list::keep_list(config);
    let resolved = resolve_entries(&list);
    let Some(one) = resolved.iter().find(|one| one.entry.path == *path) else {
        let error = Error::new(format!("stop keeping {path}"), "it is not on the keep list");
        let within = list.iter().find(|entry| path.is_within(&entry.path));
        return Err(match within {
            Some(entry) => error.hint(format!("{} is, which it lies in", entry.path)),
            None => error,
        });
    };
    refuse_own_file(path, &config.file)?;
    let after = edit::remove_entry(&config.text, path)?;
    let stored = look_up(machine, &one.source)?.is_some();
    if !stored {
        refuse_unnamed(path, machine, &one.source)?;
    }
    let now = unkeep_plan::probe_live(machine, one)?;
    let plan = unkeep_plan::plan_unkeep(one, &list, data, now, stored, (&config.text, &after))?;
    Ok((plan, after))
}

/// Data that only lacks its name would be forgotten together with the entry.
fn refuse_unnamed(path: &TreePath, machine: &Machine, source: &TreePath) -> Result<()> {
    let action = format!("stop keeping {path}");
    match find_unnamed(machine, source) {
        Ok(None) => Ok(()),
        Ok(Some(unnamed)) => {
            let why = format!("an interrupted run has left its data as {unnamed}");
            let hint = "run `blankroot apply`, which gives that its name, then this again";
            Err(Error::new(action, why).hint(hint))
        }
        Err(why) => Err(Error::io(action, why)),
    }
}

/// Without its entry, blank's older configuration counts from the next boot on, and storage's is followed for
/// as long as that has the entry.
fn refuse_own_file(path: &TreePath, file: &Path) -> Result<()> {
    if !is_own_file(path) {
        return Ok(());
    }
    let why = "it is the list of what is kept, and blank has an older one, which keeps it";
    let hint = format!(
        "to have it in blank alone, `cp --remove-destination {} {DEFAULT_FILE}`, take its entry out of the \
         copy, and make a new blank",
        shell_word(file.as_os_str())
    );
    Err(Error::new(format!("stop keeping {path}"), why).hint(hint))
}
