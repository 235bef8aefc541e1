//! `digest`: writes down what this boot made of a root that starts empty, before it is gone.

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use backends::old_root_files::Boot;
use chrono::Utc;
use dirfd::{Error, Result, TreePath};

use crate::boot::facts;
use crate::cli::arguments::{Cli, MakeDigest};
use crate::cli::invocation::{Failure, load_config};
use crate::config::Config;
use crate::diff::list_everything;
use crate::evidence::make_digest::{DigestOf, digest_until};
use crate::evidence::stored_digests::{empty_tree, store, tree_of_boot};
use crate::host::HostRoot;
use crate::persist::own_directory::{refuse_storage_in_live, storage_of_own_directory};
use crate::ui;

pub(crate) fn run(cli: &Cli, args: &MakeDigest) -> Result<ExitCode, Failure> {
    let root = &args.host.host;
    let config = load_config(cli, root)?;
    if config.root.layout().is_some() {
        ui::print_text("nothing to do: `blankroot expire` makes a digest of each old root\n");
        return Ok(ExitCode::SUCCESS);
    }
    let Some(storage) = storage_of_own_directory(&config).cloned() else {
        return Err(Error::new("write the digest of this boot", "no storage is declared")
            .hint("declare one in the configuration: what is written into the root is gone at the next boot")
            .into());
    };
    let within = Duration::from_secs(args.within);
    let (send, done) = mpsc::channel();
    let root = root.clone();
    thread::spawn(move || {
        let made = make_and_store(&config, &root, &storage, Instant::now() + within / 2);
        // Nobody listens any more where the time is up.
        let _ = send.send(made);
    });
    match done.recv_timeout(within) {
        Ok(Ok(done)) => {
            ui::print_text(&format!("{done}\n"));
            Ok(ExitCode::SUCCESS)
        }
        Ok(Err(why)) => Err(why.into()),
        Err(_) => {
            let seconds = args.within;
            ui::report_problem(Error::new(
                "write the digest of this boot",
                format!("it was not ready within {seconds} s, so there is none"),
            ));
            Ok(ExitCode::from(1))
        }
    }
}

/// Reads until `until`, then writes what was read.
fn make_and_store(
    config: &Config,
    root: &Path,
    storage: &TreePath,
    until: Instant,
) -> Result<String> {
    let host = HostRoot::open(root)?;
    let boot = facts::boot_id(&host)?;
    let backend = config.open_backend(root)?;
    let survey = backend.survey_without_mounts()?;
    let live = survey.live.tree().ok_or_else(|| {
        Error::new(
            "write the digest of this boot",
            "there is no root of the kind that is configured",
        )
    })?;
    let action = "write the digest of this boot";
    refuse_storage_in_live(backend.as_ref(), live, &host, storage, action)?;
    let changes = list_everything(backend.as_ref(), live, &|_| {})?.changes;
    let of = DigestOf {
        tree: tree_of_boot(&boot),
        blank: empty_tree(),
        boots: vec![Boot { id: boot.clone(), time: Utc::now() }],
        open: Vec::new(),
    };
    let digest = digest_until(backend.as_ref(), live, of, changes, &|| Instant::now() >= until)?;
    let bytes = digest.encode().map_err(|why| Error::new(action, why))?;
    store(&host, storage, &boot, &bytes)?;
    let (header, size) = (digest.header(), bytes.len());
    let cut = header.cut.as_ref().map_or(String::new(), |why| format!("; it was cut: {why}"));
    Ok(format!(
        "done: write the digest of this boot into {storage}: {} paths, {size} bytes{cut}",
        header.paths
    ))
}
