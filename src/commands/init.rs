//! `init`: makes the blank snapshot, the place for old roots and a starter configuration.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use backends::path::Escaped;
use backends::{Backend, Error, LockedBackend, Origin, Survey, TreeName};

use super::{Failure, config_file};
use crate::apply;
use crate::cli::{Cli, Init};
use crate::config::{Config, ConfigError, detect, line, starter};
use crate::plan::init::{self, ConfigFile, InitPlan, Situation, Wanted};

pub fn run(cli: &Cli, args: &Init) -> Result<ExitCode, Failure> {
    let wanted = wanted(args)?;
    let path = config_file(cli, &args.root.root);
    let (config, file) = configuration(&path, args, &wanted)?;
    let backend = config.open_backend(&args.root.root)?;
    let mut out = io::stdout().lock();
    if args.dry_run {
        let survey = backend.survey()?;
        let plan = plan(&wanted, &config, &file, backend.as_ref(), &survey)?;
        write!(out, "{plan}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut locked = backend.lock()?;
    let survey = locked.survey()?;
    let plan = plan(&wanted, &config, &file, backend.as_ref(), &survey)?;
    execute(&plan, locked.as_mut(), &mut out)?;
    Ok(ExitCode::SUCCESS)
}

fn execute(
    plan: &InitPlan,
    locked: &mut dyn LockedBackend,
    out: &mut impl Write,
) -> Result<(), Failure> {
    for there in &plan.there {
        writeln!(out, "there already: {there}")?;
    }
    // A reader that goes away does not undo or stop what is being done.
    apply::init(&plan.steps, locked, |step| {
        let _ = writeln!(out, "done: {step}");
    })?;
    for note in &plan.notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(out.flush()?)
}

fn plan(
    wanted: &Wanted,
    config: &Config,
    file: &ConfigFile,
    backend: &dyn Backend,
    survey: &Survey,
) -> Result<InitPlan, Failure> {
    let blank = survey.blank.tree();
    let how_to_make_read_only = blank.and_then(|blank| backend.how_to_make_read_only(blank));
    let situation = Situation {
        config: file,
        layout: config.root.layout(),
        survey,
        abilities: backend.abilities(),
        how_to_make_read_only: how_to_make_read_only.as_deref(),
    };
    init::plan(wanted, situation).map_err(Failure::Refused)
}

fn wanted(args: &Init) -> Result<Wanted, Error> {
    match &args.adopt {
        None => Ok(Wanted::New(if args.empty { Origin::Empty } else { Origin::Live })),
        Some(name) => {
            // Most people would write the name as `btrfs subvolume list` or a path shows it.
            let name = name.as_bytes();
            TreeName::new(name).map(Wanted::Adopted).map_err(|why| {
                Error::new(format!("adopt `{}`", Escaped(name)), format!("the name {why}"))
                    .mend("name it relative to the top of the file system, as in `root-blank`")
            })
        }
    }
}

/// The configuration that is there, or the one that would be written.
fn configuration(
    path: &Path,
    args: &Init,
    wanted: &Wanted,
) -> Result<(Config, ConfigFile), Failure> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => starter_for(path, args, wanted),
        _ => {
            let config = Config::load(path)?;
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let blank_line = line::of_root_key(&text, "blank");
            Ok((config, ConfigFile::There { path: path.to_path_buf(), blank_line }))
        }
    }
}

fn starter_for(path: &Path, args: &Init, wanted: &Wanted) -> Result<(Config, ConfigFile), Failure> {
    let mut root = detect::detect(&args.root.root, &args.host.host)?;
    if let Wanted::Adopted(name) = wanted {
        root = root.with_blank(name.clone());
    }
    let text = starter::starter(&root)?;
    let config = Config::parse(path, text.as_bytes()).map_err(|error: ConfigError| {
        let why =
            error.problems().first().map_or(error.to_string(), |problem| problem.what.clone());
        Error::new("write a configuration for this root", why)
            .mend("write one by hand and name it with `--config FILE`")
    })?;
    Ok((config, ConfigFile::New { path: path.to_path_buf(), text }))
}
