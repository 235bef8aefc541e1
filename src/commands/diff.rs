//! `diff`: what appeared, changed or vanished since blank, each with its verdict.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use backends::path::Escaped;
use backends::{Backend, Error, Slot, Tree};

use super::named::in_tree;
use super::show::{self, Progress};
use super::{Failure, leftovers, load_config};
use crate::classify::classify;
use crate::cli::{Cli, Diff, Format};
use crate::diff::{diff, everything};
use crate::report::{DiffReport, flat, json, stat, tree};

pub fn run(cli: &Cli, args: &Diff) -> Result<ExitCode, Failure> {
    let root = &args.root.root;
    let only = args
        .paths
        .iter()
        .map(|path| in_tree(path, root, "look below"))
        .collect::<Result<Vec<_>, _>>()?;
    let config = load_config(cli, root)?;
    if args.storage {
        return leftovers::run(cli, args, &config, &only);
    }
    let backend = config.open_backend(root)?;
    let (live, blank) = backend.live_and_blank()?;
    let live = needed("live", &live, "set `live` in the configuration to the name of the root")?;
    warn_if_elsewhere(backend.as_ref(), live, root);
    let needs_blank = backend.abilities().needs_rollback;
    let blank = if needs_blank {
        Some(needed("blank", &blank, "make it with `blankroot init`")?)
    } else {
        None
    };
    let progress = Progress::new("comparing");
    let found = match blank {
        Some(blank) => diff(backend.as_ref(), blank, live, &|count| progress.at(count))?,
        None => everything(backend.as_ref(), live, &|count| progress.at(count))?,
    };
    drop(progress);
    let verdicts = classify(&found.changes, &config);
    let report = DiffReport { blank, live, diff: &found, verdicts: &verdicts, only: &only };
    write(cli, args, &report)?;
    Ok(ExitCode::SUCCESS)
}

fn write(cli: &Cli, args: &Diff, report: &DiffReport<'_>) -> io::Result<()> {
    let (out, style) = (io::stdout().lock(), show::style(cli));
    match args.format {
        Format::Json => json::write(report, out),
        Format::Human if args.null => flat::write_nul(report, out),
        Format::Human if args.flat => flat::write(report, &style, out),
        Format::Human if args.stat => stat::write(report, &style, out),
        Format::Human => tree::write(report, &style, out),
    }
}

fn needed<'s>(what: &str, slot: &'s Slot, mend: &str) -> Result<&'s Tree, Error> {
    let why = match slot {
        Slot::Present(tree) => return Ok(tree),
        Slot::Missing => format!("{what} is missing"),
        Slot::NotATree(found) => format!("{what} is {found}"),
    };
    Err(Error::new("compare live with blank", why).mend(mend))
}

/// What is shown is live as configured; the reader may think of what is mounted.
fn warn_if_elsewhere(backend: &dyn Backend, live: &Tree, root: &Path) {
    let mounted = std::fs::File::open(root).ok().map(|dir| backend.identify(dir.as_fd()));
    if let Some(Ok(found)) = mounted
        && found.as_ref() != Some(&live.id)
    {
        let root = Escaped(root.as_os_str().as_bytes());
        show::warning(format_args!(
            "this is about `{}`, which is not what is at {root}",
            live.name
        ));
    }
}
