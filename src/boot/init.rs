//! `init`: makes the blank snapshot, the place for old roots and a starter configuration.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use backends::lock::patiently;
use backends::{Backend, Kinship, LockedBackend, Origin, Survey};
use dirfd::path::{Escaped, shell_path};
use dirfd::{Error, TreeName, TreePath};

use crate::boot::init_plan::{
    self, ConfigFile, InitPlan, InitRefusal, InitSituation, InitStep, WantedBlank,
};
use crate::boot::next_root::BootSources;
use crate::boot::swap_files::{self, SwapFile};
use crate::boot::{execute_steps, fstab, mounts_at_boot};
use crate::cli::arguments::{Cli, Init};
use crate::cli::invocation::{Failure, command_line_of, config_file, refuse_host_path};
use crate::config::entry::EntryKind;
use crate::config::reader::ConfigError;
use crate::config::{Config, DEFAULT_FILE, edit, root, root_backend, starter};
use crate::doctor::entries::Mounts;
use crate::doctor::machine_facts::Lies;
use crate::host::{self, HostRoot, Machine};
use crate::persist::keepable::{self, KeepChecker};
use crate::persist::list;
use crate::persist::observed::VolatileStorage;
use crate::ui;

pub(crate) fn run(cli: &Cli, args: &Init) -> Result<ExitCode, Failure> {
    let wanted = wanted_blank(args)?;
    let path = config_file(cli, &args.root.root);
    let (config, file) = load_or_start_config(&path, args, &wanted)?;
    let backend = config.open_backend(&args.root.root)?;
    let host = HostRoot::open(&args.host.host)?;
    let swaps = swap_files::find_swap_files(&HostRoot::open(&args.root.root)?, &host)?;
    // What is no path in a tree was refused with the configuration.
    for path in args.keep.iter().flat_map(|path| TreePath::parse(path.as_os_str().as_bytes())) {
        swap_files::expect_none_in(&swaps, &path, &backend.how_to_place_swap())?;
    }
    let mut out = io::stdout().lock();
    // What is refused leaves nothing behind, not even the directory that the lock is on.
    let survey = backend.survey()?;
    let planned =
        gather_and_plan(&wanted, &config, &file, backend.as_ref(), &survey, args, &swaps)?;
    // Blank cannot be changed later, and what it would not bring back is hidden or gone by then.
    if !planned.steps.is_empty() {
        let refused = keepable::find_refusals(&config, &Machine::open(&args.root.root)?)?;
        if !refused.is_empty() {
            return Err(Failure::Errors(refused));
        }
    }
    if args.dry_run {
        write!(out, "{planned}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut locked = patiently(|| backend.lock(), ui::report_waiting)?;
    // Another run may have written it, and a command may have edited that by now.
    let (config, file) = load_or_start_config(&path, args, &wanted)?;
    let survey = locked.survey()?;
    let plan = gather_and_plan(&wanted, &config, &file, backend.as_ref(), &survey, args, &swaps)?;
    execute_plan(&plan, &mut locked, &mut out)?;
    Ok(ExitCode::SUCCESS)
}

fn execute_plan(
    plan: &InitPlan,
    locked: &mut LockedBackend<'_>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    for there in &plan.there {
        writeln!(out, "there already: {there}")?;
    }
    for warning in &plan.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    // A reader that goes away does not undo or stop what is being done.
    execute_steps::execute_init(&plan.steps, locked, |step| {
        let _ = writeln!(out, "done: {step}");
    })?;
    for note in &plan.notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(out.flush()?)
}

fn gather_and_plan(
    wanted: &WantedBlank,
    config: &Config,
    file: &ConfigFile,
    backend: &dyn Backend,
    survey: &Survey,
    args: &Init,
    swaps: &[SwapFile],
) -> Result<InitPlan, Failure> {
    let root = args.root.root.as_path();
    let blank = survey.blank.tree();
    let mut against = not_booted(wanted, config, backend, survey, args)?;
    against.extend(wiped_storages(config, root)?);
    let how_to_make_read_only = blank.and_then(|blank| backend.how_to_make_read_only(blank));
    let situation = InitSituation {
        config: file,
        layout: config.root.layout(),
        strategy: config.rollback.strategy,
        survey,
        abilities: backend.abilities(),
        against: &against,
        how_to_make_read_only: how_to_make_read_only.as_deref(),
        remake_initrd: host::initrd_tool(&args.root.root),
    };
    let mut plan = init_plan::plan_init(wanted, situation).map_err(Failure::Refused)?;
    let takes_live =
        |step: &InitStep| matches!(step, InitStep::Capture { origin: Origin::Live, .. });
    if plan.steps.iter().any(takes_live) {
        let place = backend.how_to_place_swap();
        let refusals = swap_files::refusals_of_swap(swaps, &place);
        if !refusals.is_empty() {
            return Err(Failure::Refused(refusals));
        }
        plan.warnings = swap_files::warnings_of_swap(swaps, &place);
        plan.warnings.extend(mounted_by_hand(config, args)?);
    }
    Ok(plan)
}

/// What live's fstab, blank's and the kernel command line have against it, as far as they can be read.
fn not_booted(
    wanted: &WantedBlank,
    config: &Config,
    backend: &dyn Backend,
    survey: &Survey,
    args: &Init,
) -> Result<Vec<InitRefusal>, Failure> {
    let root = &args.root.root;
    let line = command_line_of(root, &args.host.host)?;
    let text = fstab::read_fstab(HostRoot::open(root)?.as_fd())
        .map_err(|e| Error::io("read /etc/fstab", e))?;
    let fstab = fstab::root_entries(&text);
    let now = BootSources { line: line.as_ref(), fstab: &fstab, whose: "/etc/fstab" };
    let mut against = now.refusals(&config.root, &survey.file_system);
    if !against.is_empty() {
        return Ok(against);
    }
    // A blank that may be another system's is refused as that; its fstab is right for whom it is of.
    let is_foreign = matches!(survey.kinship, Kinship::Unrelated(_));
    let is_wanted =
        !is_foreign || matches!(wanted, WantedBlank::Adopted { even_if_unrelated: true, .. });
    // What is right in live by now may be wrong in blank, which was made before.
    if let Some(blank) = survey.blank.tree().filter(|_| is_wanted) {
        let text = fstab::read_fstab(backend.view(blank)?.as_fd())
            .map_err(|e| Error::io("read blank's fstab", e))?;
        let fstab = fstab::root_entries(&text);
        let next = BootSources { line: line.as_ref(), fstab: &fstab, whose: "blank's fstab" };
        against.extend(next.refusals(&config.root, &survey.file_system));
        for refusal in &mut against {
            // Another system's stays where that looks for it.
            refusal.hint = match is_foreign {
                true => "write another name for `blank` into the configuration, and run `blankroot init`".into(),
                false => format!(
                    "make blank anew of a live whose /etc/fstab is right: give `{}` another name, and \
                     run `blankroot init`",
                    blank.name
                ),
            };
        }
    }
    Ok(against)
}

/// Storages that would go with the old root, or are in memory. One that is not there is told by `apply`.
fn wiped_storages(config: &Config, root: &Path) -> Result<Vec<InitRefusal>, Error> {
    let mounts = Mounts::read(root)?;
    let mut wiped = Vec::new();
    for storage in config.storages.iter().filter(|storage| storage.enable) {
        let path = &storage.path;
        if !root.join(path.as_path()).exists() {
            continue;
        }
        let why = match mounts.lies(path) {
            Lies::InLive => VolatileStorage::OnLive,
            Lies::InMemory => VolatileStorage::InMemory,
            Lies::Missing | Lies::NotMade | Lies::Safe | Lies::Unknown => continue,
        };
        wiped.push(InitRefusal { reason: why.reason(path), hint: VolatileStorage::HINT.into() });
    }
    Ok(wiped)
}

/// Storages that are mounted now, and not after the next boot, if blank is made of live as it is.
fn mounted_by_hand(config: &Config, args: &Init) -> Result<Vec<String>, Error> {
    let (mounts, root) = (Mounts::read(&args.root.root)?, HostRoot::open(&args.root.root)?);
    let host = HostRoot::open(&args.host.host)?;
    let mut warnings = Vec::new();
    for storage in config.storages.iter().filter(|storage| storage.enable) {
        let path = &storage.path;
        if mounts.lies(path) != Lies::Safe {
            continue;
        }
        let Some((point, mount)) = mounts.showing(path) else { continue };
        if !mounts_at_boot::mounts_at_boot(&point, mount, root.as_fd(), &host)? {
            let advice = mounts_at_boot::advise_fstab_line(
                mounts_at_boot::fstab_line_of(&point, mount).as_deref(),
            );
            warnings.push(format!(
                "nothing mounts {point} at boot, so that the storage {path} is not there then: before blank \
                 is made, {advice}"
            ));
        }
    }
    Ok(warnings)
}

fn wanted_blank(args: &Init) -> Result<WantedBlank, Error> {
    match &args.adopt {
        None if args.no_blank => Ok(WantedBlank::Later),
        None => Ok(WantedBlank::New(if args.empty { Origin::Empty } else { Origin::Live })),
        Some(name) => {
            // Most people would write the name as `btrfs subvolume list` or a path shows it.
            let name = name.as_bytes();
            let name = TreeName::new(name).map_err(|why| {
                Error::new(format!("adopt `{}`", Escaped(name)), format!("the name {why}"))
                    .hint("name it relative to the top of the file system, as in `root-blank`")
            })?;
            Ok(WantedBlank::Adopted { name, even_if_unrelated: args.even_if_unrelated })
        }
    }
}

/// The configuration that is there, or the one that would be written.
fn load_or_start_config(
    path: &Path,
    args: &Init,
    wanted: &WantedBlank,
) -> Result<(Config, ConfigFile), Failure> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => start_config(path, args, wanted),
        _ => {
            let config = Config::load(path)?;
            args.storage.as_deref().map_or(Ok(()), |dir| expect_kept(&config, dir))?;
            expect_no_more(&args.keep)?;
            let blank_line = root::line_of_root_key(&config.text, "blank");
            Ok((config, ConfigFile::There { path: path.to_path_buf(), blank_line }))
        }
    }
}

fn start_config(
    path: &Path,
    args: &Init,
    wanted: &WantedBlank,
) -> Result<(Config, ConfigFile), Failure> {
    let mut root = root_backend::detect_root(&args.root.root, &args.host.host)?;
    if let WantedBlank::Adopted { name, .. } = wanted {
        root = root.with_blank(name.clone());
    }
    let mut text = starter::starter_text(&root)?;
    if let Some(dir) = &args.storage {
        expect_there(&args.root.root, dir)?;
        expect_no_older(&args.root.root, dir)?;
        text = edit::add_entry(&text, dir, &config_path_in_storage()?, EntryKind::File, None)?;
        let machine = Machine::open(&args.root.root)?;
        let storages = TreePath::parse(dir.as_os_str().as_bytes()).into_iter().collect();
        let live = root.layout().map(|layout| &layout.live);
        let keepable = KeepChecker::new(&machine, storages, live)?;
        for path in &args.keep {
            let (path, kind) = kept_path(&args.root.root, path, &keepable)?;
            text = edit::add_entry(&text, dir, &path, kind, None)?;
        }
    }
    let config = Config::parse(path, text.as_bytes()).map_err(|error: ConfigError| {
        let why =
            error.problems().first().map_or(error.to_string(), |problem| problem.what.clone());
        Error::new("write a configuration for this root", why)
            .hint("write one by hand and name it with `--config FILE`")
    })?;
    Ok((config, ConfigFile::New { path: path.to_path_buf(), text }))
}

fn config_path_in_storage() -> Result<TreePath, Error> {
    TreePath::parse(DEFAULT_FILE.as_bytes()).map_err(|why| Error::new("keep it", why))
}

/// A storage is never made: where it is not mounted yet, a directory would be wiped with live.
fn expect_there(root: &Path, dir: &Path) -> Result<(), Error> {
    let action = || format!("use the storage {}", Escaped::of_path(dir));
    refuse_host_path(dir, root, "use the storage")?;
    let below = TreePath::parse(dir.as_os_str().as_bytes());
    let below = below.map_err(|why| Error::new(action(), format!("its path {why}")))?;
    match root.join(below.as_path()).metadata() {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Error::new(action(), "it is no directory")),
        Err(why) => Err(Error::io(action(), why).hint(
            "make it on a file system that survives, \
                                                       and mount it there",
        )),
    }
}

/// From the first run on, the configuration in a storage counts: one of a former installation would be
/// followed, and nothing that is written now.
fn expect_no_older(root: &Path, dir: &Path) -> Result<(), Error> {
    let below = TreePath::parse(dir.as_os_str().as_bytes()).unwrap_or_default();
    let older = below.join_path(&config_path_in_storage()?);
    match root.join(older.as_path()).symlink_metadata() {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(why) => Err(Error::io(format!("look at {older}"), why)),
        Ok(_) => {
            let action = format!("keep the configuration in {below}");
            let why = format!("{older} is there already, and would be followed instead");
            let hint = format!(
                "move it away; or, to go on with it, `cp {} {DEFAULT_FILE}`, see that its `[root]` is this \
                 system's, and run `blankroot init` alone",
                shell_path(&older)
            );
            Err(Error::new(action, why).hint(hint))
        }
    }
}

/// A path that is to be kept, and what it is: blank can only hold what is there.
fn kept_path(
    root: &Path,
    path: &Path,
    keepable: &KeepChecker<'_>,
) -> Result<(TreePath, EntryKind), Error> {
    let action = || format!("keep {}", Escaped::of_path(path));
    refuse_host_path(path, root, "keep")?;
    let below = TreePath::parse(path.as_os_str().as_bytes());
    let below = below.map_err(|why| Error::new(action(), format!("its path {why}")))?;
    let (live, note) = keepable.check_undeclared(&below)?;
    note.iter().for_each(ui::report_warning);
    let none = || {
        Error::new(action(), "nothing is there")
            .hint("make it first, or add it to the configuration by hand")
    };
    let kind = keepable::kind_of_live(&below, &live.ok_or_else(none)?, false)?;
    Ok((below, kind))
}

/// The same for what would have to be added to it.
fn expect_no_more(keep: &[PathBuf]) -> Result<(), Error> {
    let Some(path) = keep.first() else { return Ok(()) };
    let path = Escaped::of_path(path);
    Err(Error::new(format!("keep {path}"), "there is a configuration already")
        .hint(format!("blankroot keep {path}")))
}

/// A configuration that is there already is not changed.
fn expect_kept(config: &Config, dir: &Path) -> Result<(), Error> {
    let path = config_path_in_storage()?;
    let kept = list::keep_list(config).into_iter().find(|entry| entry.path == path);
    let storage = TreePath::parse(dir.as_os_str().as_bytes()).ok();
    if kept.is_some_and(|entry| Some(entry.storage) == storage) {
        return Ok(());
    }
    let action = format!("keep the configuration in {}", Escaped::of_path(dir));
    Err(Error::new(action, "it is there already, and does not say so")
        .hint(format!("add `{DEFAULT_FILE}` to the `files` of that storage, before blank is made")))
}
