//! `keep`: adds paths to the keep list and moves their data to storage, now.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use backends::{PLACE_FOR_SWAP, Survey, Tree, View};
use dirfd::path::Escaped;
use dirfd::{Error, Result, TreePath};

use crate::boot::swap_files;
use crate::cli::arguments::{Cli, Keep, KeepOptions};
use crate::cli::invocation::{Failure, in_tree, open_machine};
use crate::config::Config;
use crate::config::entry::PlacementMethod;
use crate::host::{HostRoot, Machine};
use crate::persist::config_file::LockedConfig;
use crate::persist::keep_execute::{self, KeepContext, KeepReport};
use crate::persist::keep_plan::{KeepPlan, RefusedPath};
use crate::persist::keep_request::{self, KeepRequest};
use crate::persist::persistence;
use crate::ui;
use crate::ui::progress::ProgressCounter;

pub(crate) fn run(cli: &Cli, args: &Keep) -> Result<ExitCode, Failure> {
    let root = &args.options.root.root;
    let unseen = args.options.even_if_unseen;
    let locked = LockedConfig::lock_and_read(cli, root, unseen, args.dry_run)?;
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
    let root = &args.options.root.root;
    let paths =
        args.paths.iter().map(|path| path_argument(path, root)).collect::<Result<Vec<_>>>()?;
    let keeper = Keeper::open(&args.options, &locked.config, old_root)?;
    let plan = match keeper.plan(&locked.config, &paths) {
        Ok(plan) => plan,
        Err(refused) => {
            refused.iter().for_each(ui::report_problem);
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut out = io::stdout().lock();
    if args.dry_run {
        write_preface(&plan, &mut out)?;
        write!(out, "{plan}")?;
        // What the run would look at before it changes anything is looked at here, too.
        return Ok(match keeper.check(&plan) {
            Ok(notes) => {
                notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
                ExitCode::SUCCESS
            }
            Err(refused) => {
                refused.iter().for_each(ui::report_problem);
                ExitCode::FAILURE
            }
        });
    }
    let code = keeper.execute(&plan, &mut out)?;
    if let Some((_, after)) = &plan.config {
        let after = Config::parse(&locked.config.file, after.as_bytes())?;
        if let Some(note) = locked.note(&after, root) {
            writeln!(out, "note: {note}")?;
        }
    }
    Ok(code)
}

/// What a plan tells before its steps.
pub(crate) fn write_preface(plan: &KeepPlan, out: &mut impl Write) -> io::Result<()> {
    plan.there.iter().try_for_each(|there| writeln!(out, "{there}"))?;
    plan.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))
}

/// The options by which paths are kept, with the machine on which that is done.
pub(crate) struct Keeper<'a> {
    options: &'a KeepOptions,
    /// The configuration's file.
    file: PathBuf,
    machine: Machine,
    storage: Option<TreePath>,
    /// What the data is taken from, if not from live.
    old_root: Option<(String, View)>,
}

impl<'a> Keeper<'a> {
    pub(crate) fn open(
        options: &'a KeepOptions,
        config: &Config,
        old_root: Option<(String, View)>,
    ) -> Result<Self> {
        let root = &options.root.root;
        let storage = options.storage.as_ref().map(|dir| in_tree(dir, root, "use the storage"));
        let storage = storage.transpose()?;
        let machine = open_machine(config, root, options.storages.as_deref(), storage.as_ref())?;
        Ok(Self { options, file: config.file.clone(), machine, storage, old_root })
    }

    /// Plans to keep these paths, of each of which it is said whether it must be a directory.
    pub(crate) fn plan(
        &self,
        config: &Config,
        paths: &[(TreePath, bool)],
    ) -> Result<KeepPlan, Vec<RefusedPath>> {
        expect_no_swap_files(paths, config, self.options)?;
        let old_root = self.old_root.as_ref();
        let request = KeepRequest {
            paths,
            storage: self.storage.as_ref(),
            how: self.options.symlink.then_some(PlacementMethod::Symlink),
            old_root: old_root.map(|(name, view)| (name.as_str(), view)),
            adopt: self.options.adopt,
        };
        let open = || config.open_backend(&self.options.root.root).map(Some);
        keep_request::plan_keep(&request, &self.machine, config, &open)
    }

    /// Looks at what [`execute`](Self::execute) would refuse when it starts. Returns notes.
    pub(crate) fn check(&self, plan: &KeepPlan) -> Result<Vec<String>, Vec<RefusedPath>> {
        keep_execute::check_before_keep(plan, &self.context())
    }

    /// Does the steps of a plan, and tells of each that is done.
    pub(crate) fn execute(
        &self,
        plan: &KeepPlan,
        out: &mut impl Write,
    ) -> Result<ExitCode, Failure> {
        write_preface(plan, out)?;
        execute_and_print(plan, &self.context(), out, &self.options.host.host)
    }

    fn context(&self) -> KeepContext<'_> {
        KeepContext {
            machine: &self.machine,
            config: &self.file,
            old_root: self.old_root.as_ref().map(|(_, view)| view.as_fd()),
            even_if_unseen: self.options.even_if_unseen,
        }
    }
}

/// A copy of a swap file is none.
fn expect_no_swap_files(
    paths: &[(TreePath, bool)],
    config: &Config,
    options: &KeepOptions,
) -> Result<(), Vec<RefusedPath>> {
    let (root, host) = (&options.root.root, &options.host.host);
    let open = |dir| HostRoot::open(dir).map_err(RefusedPath::all);
    let swaps = swap_files::find_swap_files(&open(root)?, &open(host)?);
    let swaps = swaps.map_err(RefusedPath::all)?;
    if swaps.is_empty() {
        return Ok(());
    }
    let place = match config.open_backend(root) {
        Ok(backend) => backend.how_to_place_swap(),
        Err(_) => PLACE_FOR_SWAP.to_string(),
    };
    let refused = paths.iter().filter_map(|(path, _)| {
        let error = swap_files::expect_none_in(&swaps, path, &place).err()?;
        Some(RefusedPath::new(path, error))
    });
    let refused: Vec<RefusedPath> = refused.collect();
    if refused.is_empty() { Ok(()) } else { Err(refused) }
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
