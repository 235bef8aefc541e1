//! `diff`: what appeared, changed or vanished since blank, each with its verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::ExitCode;
use std::{fmt, io};

use backends::{Backend, Tree};
use dirfd::cause::Cause;
use dirfd::path::Escaped;
use dirfd::{Error, TreePath};
use rustix::fs::OFlags;

use crate::cli::arguments::{Cli, Diff, Format, GroupBy};
use crate::cli::invocation::{Failure, in_tree, load_config};
use crate::diff::judge::{ComparedTrees, JudgedDiff, find_and_judge};
use crate::diff::ownerships::{OwnerViews, Ownerships};
use crate::diff::{
    DiffReport, DiffRow, diff_flat, diff_json, diff_owners, diff_stat, diff_tree, leftovers_report,
};
use crate::evidence::ask_old_roots::AskedRoots;
use crate::host::HostRoot;
use crate::persist::create;
use crate::persist::resolve::ancestors;
use crate::ui;

pub(crate) fn run(cli: &Cli, args: &Diff) -> Result<ExitCode, Failure> {
    let root = &args.root.root;
    let only = args
        .paths
        .iter()
        .map(|path| in_tree(path, root, "look below"))
        .collect::<Result<Vec<_>, _>>()?;
    let config = load_config(cli, root)?;
    if args.storage {
        return leftovers_report::run(cli, args, &config, &only);
    }
    let backend = config.open_backend(root)?;
    let trees = ComparedTrees::find(backend.as_ref())?;
    let ComparedTrees { blank, live } = &trees;
    warn_if_elsewhere(backend.as_ref(), &trees, root);
    let asked = AskedRoots::last(config.evidence.old_roots as usize);
    let JudgedDiff { diff, verdicts, classes, evidence_problem } =
        find_and_judge(backend.as_ref(), &trees, &config, root, &asked)?;
    // The changes are told without that, too, and why it is missing.
    if let Some(why) = evidence_problem {
        ui::report_warning(format_args!("no old root is asked about the changes: {why}"));
    }
    let blank = blank.as_ref();
    let mut report = DiffReport {
        blank,
        live,
        diff: &diff,
        verdicts: &verdicts,
        classes: classes.as_ref(),
        only: &only,
        all: args.all,
    };
    let trees: Vec<&Tree> = blank.into_iter().chain([live]).collect();
    let elsewhere = expect_comparable(backend.as_ref(), &trees, root, &report)?;
    for (path, place) in &elsewhere {
        ui::report_warning(format_args!("{path} {place}"));
    }
    // Of what lies elsewhere alone nothing can be said, not even that nothing changed.
    let only: Vec<TreePath> =
        only.iter().filter(|path| !elsewhere.contains_key(path)).cloned().collect();
    if only.is_empty() && !elsewhere.is_empty() && args.format == Format::Human {
        return Ok(ExitCode::SUCCESS);
    }
    if !only.is_empty() {
        report.only = &only;
    }
    if args.by == Some(GroupBy::Owner) {
        let views = OwnerViews::open(backend.as_ref(), blank, live)?;
        let (owners, warnings) = Ownerships::read(backend.as_ref(), &views, &diff.changes)?;
        warnings.iter().for_each(ui::report_warning);
        let (out, style) = (io::stdout().lock(), ui::style_of_output(cli));
        match args.format {
            Format::Json => diff_json::write_diff_json(&report, Some(&owners), out)?,
            Format::Human => diff_owners::write_diff_by_owner(&report, &owners, &style, out)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    write_report(cli, args, &report)?;
    Ok(ExitCode::SUCCESS)
}

/// Where a path lies that is no part of live or blank.
#[derive(Debug)]
enum Elsewhere {
    /// On what is mounted there.
    Mount(TreePath),
    /// In this nested subvolume.
    Subvolume(TreePath),
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount(point) => write!(
                f,
                "lies on what is mounted at {point}: that is not compared, and no rollback touches it"
            ),
            Self::Subvolume(tree) => write!(
                f,
                "lies in {tree}, a subvolume of its own: that is not compared, and goes with the old root"
            ),
        }
    }
}

/// Refuses a path that neither tree has. Returns each without changes that is no part of either.
fn expect_comparable(
    backend: &dyn Backend,
    trees: &[&Tree],
    root: &Path,
    report: &DiffReport<'_>,
) -> Result<BTreeMap<TreePath, Elsewhere>, Error> {
    let mut changed = BTreeSet::new();
    let find = |row: &DiffRow<'_>| {
        let within = |path: &&TreePath| crate::diff::is_within(row.path, path.as_bytes());
        changed.extend(report.only.iter().filter(within));
        Ok(())
    };
    if !report.only.is_empty() {
        let Ok(()) = report.for_each::<Infallible>(find);
    }
    // A path with changes was compared. Only for the others it matters where they are.
    let unchanged = report.only.iter().filter(|path| !changed.contains(path) && path.depth() > 0);
    let unchanged: Vec<&TreePath> = unchanged.collect();
    let mut elsewhere = BTreeMap::new();
    if unchanged.is_empty() {
        return Ok(elsewhere);
    }
    let views = trees.iter().map(|tree| backend.view(tree)).collect::<Result<Vec<_>, _>>()?;
    let root = HostRoot::open(root)?;
    for path in unchanged {
        let failed = |why| Error::io(format!("look below {path}"), why);
        let point = mount_on_the_way(&root, path).map_err(failed)?;
        let (mut is_there, mut nested) = (false, None);
        for view in &views {
            is_there |= has_path(view.as_fd(), path).map_err(failed)?;
            nested = nested.or(subvolume_on_the_way(view.as_fd(), path).map_err(failed)?);
        }
        let action = || format!("look below {path}");
        match (point, is_there) {
            (None, true) => {
                let place = nested.map(|tree| (path.clone(), Elsewhere::Subvolume(tree)));
                elsewhere.extend(place);
            }
            (Some(point), true) => drop(elsewhere.insert(path.clone(), Elsewhere::Mount(point))),
            (Some(point), false) => {
                let why =
                    format!("it lies on what is mounted at {point}, which no rollback touches");
                return Err(Error::new(action(), why)
                    .hint("name a path of the root itself; `findmnt` lists what is mounted"));
            }
            (None, false) => {
                return Err(Error::new(action(), "neither live nor blank has it")
                    .hint("name a path as it is on the machine, without links on the way"));
            }
        }
    }
    Ok(elsewhere)
}

/// Whether a tree has something at `path`, without passing a link.
fn has_path(tree: BorrowedFd<'_>, path: &TreePath) -> io::Result<bool> {
    match create::open_beneath(tree, path.as_path(), OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(why) if Cause::of(&why).leads_nowhere() => Ok(false),
        Err(why) => Err(why),
    }
}

/// The first directory on the way to `path`, which itself does not count, that is a nested subvolume: each has
/// a device number of its own.
fn subvolume_on_the_way(tree: BorrowedFd<'_>, path: &TreePath) -> io::Result<Option<TreePath>> {
    let device = dirfd::stat::of_open(tree)?.device;
    let mut way: Vec<TreePath> = ancestors(path).collect();
    way.reverse();
    for dir in way {
        match create::open_beneath(tree, dir.as_path(), OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(opened) if dirfd::stat::of_open(opened.as_fd())?.device != device => {
                return Ok(Some(dir));
            }
            Ok(_) => {}
            Err(why) if Cause::of(&why).leads_nowhere() => return Ok(None),
            Err(why) => return Err(why),
        }
    }
    Ok(None)
}

/// The first directory on the way to `path` that is on another mount than the root; `path` itself
/// counts, too.
fn mount_on_the_way(root: &HostRoot, path: &TreePath) -> io::Result<Option<TreePath>> {
    let mount_of = |path: &TreePath| -> io::Result<Option<u64>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let opened = match create::open_beneath(root.as_fd(), path.as_path(), flags) {
            Ok(opened) => opened,
            Err(why) if Cause::of(&why).leads_nowhere() => return Ok(None),
            Err(why) => return Err(why),
        };
        Ok(dirfd::stat::mount_of(opened.as_fd()))
    };
    let at_root = mount_of(&TreePath::root())?;
    let mut way: Vec<TreePath> = ancestors(path).collect();
    way.reverse();
    for dir in way.into_iter().chain([path.clone()]) {
        match mount_of(&dir)? {
            None => return Ok(None),
            found if found != at_root => return Ok(Some(dir)),
            _ => {}
        }
    }
    Ok(None)
}

fn write_report(cli: &Cli, args: &Diff, report: &DiffReport<'_>) -> io::Result<()> {
    let (out, style) = (io::stdout().lock(), ui::style_of_output(cli));
    match args.format {
        Format::Json => diff_json::write_diff_json(report, None, out),
        Format::Human if args.null => diff_flat::write_diff_nul(report, out),
        Format::Human if args.flat => diff_flat::write_diff_flat(report, &style, out),
        Format::Human if args.stat => diff_stat::write_diff_stat(report, &style, out),
        Format::Human => diff_tree::write_diff_tree(report, &style, out),
    }
}

/// What is shown is live as configured; the reader may think of what is mounted.
pub(crate) fn warn_if_elsewhere(backend: &dyn Backend, trees: &ComparedTrees, root: &Path) {
    if let Ok(false) = trees.is_live_at(backend, root) {
        let root = Escaped::of_path(root);
        ui::report_warning(format_args!(
            "this is about `{}`, which is not what is at {root}",
            trees.live.name
        ));
    }
}
