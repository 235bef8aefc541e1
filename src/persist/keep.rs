//! `keep`: adds paths to the keep list and moves their data to storage, now.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use backends::{PLACE_FOR_SWAP, Survey, Tree, View};
use dirfd::path::Escaped;
use dirfd::{Error, Result, TreePath};

use crate::boot::swap_files;
use crate::cli::arguments::{Cli, Keep};
use crate::cli::invocation::{Failure, in_tree, open_machine};
use crate::config::Config;
use crate::config::entry::PlacementMethod;
use crate::host::HostRoot;
use crate::persist::config_file::LockedConfig;
use crate::persist::keep_execute::{self, KeepContext, KeepReport};
use crate::persist::keep_plan::KeepPlan;
use crate::persist::keep_request::{self, KeepRequest};
use crate::persist::persistence;
use crate::ui;
use crate::ui::progress::ProgressCounter;

pub(crate) fn run(cli: &Cli, args: &Keep) -> Result<ExitCode, Failure> {
    let root = &args.root.root;
    let locked = LockedConfig::lock_and_read(cli, root, args.even_if_unseen, args.dry_run)?;
    let config = &locked.config;
    let Some(name) = &args.from else { return keep_from(args, &locked, None) };
    if args.dry_run {
        let backend = config.open_backend(root)?;
        let found = find_old_root(&backend.survey()?, |tree| backend.view(tree), name)?;
        return keep_from(args, &locked, Some(found));
    }
    // Nobody deletes the old root meanwhile.
    config.with_lock(root, ui::report_waiting, |trees| {
        let found = find_old_root(&trees.survey()?, |tree| trees.view(tree), name)?;
        Ok(keep_from(args, &locked, Some(found)))
    })?
}

/// The same with what the data is taken from, if it is an old root.
fn keep_from(
    args: &Keep,
    locked: &LockedConfig,
    old_root: Option<(String, View)>,
) -> Result<ExitCode, Failure> {
    let (root, config) = (&args.root.root, &locked.config);
    let paths =
        args.paths.iter().map(|path| path_argument(path, root)).collect::<Result<Vec<_>>>()?;
    if let Err(refused) = expect_no_swap_files(&paths, config, args) {
        ui::report_problem(refused);
        return Ok(ExitCode::FAILURE);
    }
    let storage = args.storage.as_ref().map(|dir| in_tree(dir, root, "use the storage"));
    let storage = storage.transpose()?;
    let machine = open_machine(config, root, args.storages.as_deref(), storage.as_ref())?;
    let request = KeepRequest {
        paths: &paths,
        storage: storage.as_ref(),
        how: args.symlink.then_some(PlacementMethod::Symlink),
        old_root: old_root.as_ref().map(|(name, view)| (name.as_str(), view)),
        adopt: args.adopt,
    };
    let open = || config.open_backend(root).map(Some);
    let plan = match keep_request::plan_keep(&request, &machine, config, &open) {
        Ok(plan) => plan,
        Err(errors) => {
            errors.iter().for_each(ui::report_problem);
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut out = io::stdout().lock();
    for there in &plan.there {
        writeln!(out, "{there}")?;
    }
    for note in &plan.notes {
        writeln!(out, "note: {note}")?;
    }
    let context = KeepContext {
        machine: &machine,
        config: &config.file,
        old_root: old_root.as_ref().map(|(_, view)| view.as_fd()),
        even_if_unseen: args.even_if_unseen,
    };
    if args.dry_run {
        write!(out, "{plan}")?;
        // What the run would look at before it changes anything is looked at here, too.
        return Ok(match keep_execute::check_before_keep(&plan, &context) {
            Ok(notes) => {
                notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
                ExitCode::SUCCESS
            }
            Err(error) => {
                ui::report_problem(error);
                ExitCode::FAILURE
            }
        });
    }
    let code = execute_and_print(&plan, &context, &mut out, &args.host.host)?;
    if let Some((_, after)) = &plan.config {
        let after = Config::parse(&config.file, after.as_bytes())?;
        if let Some(note) = locked.note(&after, root) {
            writeln!(out, "note: {note}")?;
        }
    }
    Ok(code)
}

/// A copy of a swap file is none.
fn expect_no_swap_files(paths: &[(TreePath, bool)], config: &Config, args: &Keep) -> Result<()> {
    let (root, host) = (&args.root.root, &args.host.host);
    let swaps = swap_files::find_swap_files(&HostRoot::open(root)?, &HostRoot::open(host)?)?;
    if swaps.is_empty() {
        return Ok(());
    }
    let place = match config.open_backend(root) {
        Ok(backend) => backend.how_to_place_swap(),
        Err(_) => PLACE_FOR_SWAP.to_string(),
    };
    paths.iter().try_for_each(|(path, _)| swap_files::expect_none_in(&swaps, path, &place))
}

fn execute_and_print(
    plan: &KeepPlan,
    context: &KeepContext<'_>,
    out: &mut impl Write,
    host: &Path,
) -> Result<ExitCode, Failure> {
    let bytes = plan.moved.iter().filter_map(|one| Some(one.census.as_ref()?.bytes)).sum();
    let progress = ProgressCounter::of_bytes("copying", bytes);
    // A reader that goes away does not stop what is being done.
    let done =
        keep_execute::execute_keep(plan, context, &mut |_, bytes| progress.add(bytes), |step| {
            progress.suspend(|| drop(writeln!(out, "done: {step}")))
        });
    drop(progress);
    let (kept, stopped) = match done {
        Ok(kept) => (kept, None),
        Err(stopped) => {
            let text = stopped.to_string();
            (stopped.kept, Some(text))
        }
    };
    print_notes(&kept, out)?;
    let outcome = kept.outcome();
    let told = persistence::announce_mounts(
        &kept.applied,
        &outcome,
        context.machine,
        &HostRoot::open(host)?,
    );
    if let Some(text) = stopped {
        ui::report_problem(text);
        return Ok(ExitCode::FAILURE);
    }
    told?;
    Ok(ExitCode::SUCCESS)
}

fn print_notes(kept: &KeepReport, out: &mut impl Write) -> io::Result<()> {
    for note in &kept.notes {
        writeln!(out, "note: {note}")?;
    }
    out.flush()
}

/// The path, and whether a slash at its end says that it is a directory.
fn path_argument(path: &Path, root: &Path) -> Result<(TreePath, bool)> {
    let is_dir = path.as_os_str().as_bytes().ends_with(b"/");
    Ok((in_tree(path, root, "keep")?, is_dir))
}

/// The one old root of this name, or of which `name` is a part.
fn find_old_root(
    survey: &Survey,
    view: impl FnOnce(&Tree) -> Result<View>,
    name: &str,
) -> Result<(String, View)> {
    let action = format!("find the old root `{}`", Escaped(name.as_bytes()));
    let names: Vec<(String, _)> = survey
        .old_roots
        .iter()
        .map(|old| (Escaped(old.tree.name.file_name().as_bytes()).to_string(), &old.tree))
        .collect();
    let exact = names.iter().filter(|(other, _)| other == name).collect::<Vec<_>>();
    let parts = names.iter().filter(|(other, _)| other.contains(name)).collect::<Vec<_>>();
    let found = if exact.is_empty() { parts } else { exact };
    match found.as_slice() {
        [(name, tree)] => Ok((name.clone(), view(tree)?)),
        [] => {
            Err(Error::new(action, "there is none of this name")
                .hint("`blankroot status` lists them"))
        }
        several => {
            let list: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            Err(Error::new(action, format!("there are several: {}", list.join(", ")))
                .hint("write more of the name"))
        }
    }
}
