//! The configuration as a file that a command is about to change.

use std::io::{self, Write};
use std::path::Path;

use backends::lock::FileLock;
use dirfd::cause::Cause;
use dirfd::path::Escaped;
use dirfd::{Error, Result, TreePath};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::cli::arguments::Cli;
use crate::cli::invocation::{Failure, load_config};
use crate::config::lock_and_write::lock_config;
use crate::config::{Config, DEFAULT_FILE};
use crate::host::Machine;
use crate::persist::keep_execute::{self, KeepContext};
use crate::persist::keep_request::{self, KeepRequest};
use crate::persist::list;
use crate::ui;

/// A configuration that no other command changes meanwhile.
#[derive(Debug)]
pub(crate) struct LockedConfig {
    pub(crate) config: Config,
    /// None of a dry run, which changes nothing.
    _lock: Option<FileLock>,
}

/// Whether the configuration is where a change of it survives, as far as that was declared.
#[derive(PartialEq, Eq)]
enum ConfigPlace {
    Final,
    /// It is to keep itself, and is not in its storage yet.
    BeforeStorage,
}

impl LockedConfig {
    /// Reads the configuration below `root` under its lock, unless it cannot be changed where it is.
    ///
    /// One that is to keep itself, and is not in its storage yet, is brought there first: what would be
    /// written to live's own is gone at the next boot.
    pub(crate) fn lock_and_read(
        cli: &Cli,
        root: &Path,
        even_if_unseen: bool,
        dry_run: bool,
    ) -> Result<Self, Failure> {
        loop {
            let (locked, place) = Self::lock_current(cli, root, dry_run)?;
            if place == ConfigPlace::Final {
                return Ok(locked);
            }
            // From then on the storage's is the one to edit, so that all is read again.
            keep_itself(&locked.config, root, even_if_unseen, dry_run)?;
            if dry_run {
                return Ok(locked);
            }
        }
    }

    /// The same for who may not write before somebody has agreed: a configuration that has to be brought into its
    /// storage first is an error.
    pub(crate) fn lock_in_place(cli: &Cli, root: &Path, dry_run: bool) -> Result<Self, Failure> {
        let (locked, place) = Self::lock_current(cli, root, dry_run)?;
        if place == ConfigPlace::Final {
            return Ok(locked);
        }
        let why = "it is to be kept, and is not in its storage yet";
        Err(Error::new(change_action(&locked.config.file), why)
            .hint(format!("run `blankroot keep {DEFAULT_FILE}` first"))
            .into())
    }

    /// An error if nobody here could write it, as far as the system tells without a write.
    pub(crate) fn expect_writable(&self) -> Result<()> {
        let file = &self.config.file;
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = parent.unwrap_or(Path::new("."));
        let allowed = accessat(CWD, dir, Access::WRITE_OK, AtFlags::EACCESS);
        allowed.map_err(|why| {
            let error = Error::io(change_action(file), why);
            match error.cause() {
                Cause::ReadOnly => error.hint("declare it where the file is made"),
                _ => error,
            }
        })
    }

    fn lock_current(cli: &Cli, root: &Path, dry_run: bool) -> Result<(Self, ConfigPlace), Failure> {
        loop {
            let config = load_config(cli, root)?;
            expect_editable(&config.file)?;
            let lock = match dry_run {
                true => None,
                false => Some(lock_config(&config.file, ui::report_waiting)?),
            };
            let is_named = cli.config.is_some();
            let stored = list::kept_configuration(&config, root).filter(|_| !is_named);
            // Until the lock was held, another command may have written it, or moved it into its storage.
            if !config.is_current() || stored.as_ref().is_some_and(|stored| *stored != config.file)
            {
                continue;
            }
            let place = match is_named || stored.is_some() || !is_to_be_kept(&config) {
                true => ConfigPlace::Final,
                false => ConfigPlace::BeforeStorage,
            };
            return Ok((Self { config, _lock: lock }, place));
        }
    }

    /// What the owner may want to know about it: where it is, it may not survive itself. `after` is what it says
    /// by now.
    pub(crate) fn note(&self, after: &Config, root: &Path) -> Option<String> {
        let usual = root.join(DEFAULT_FILE.trim_start_matches('/'));
        let own = own_tree_path().ok()?;
        let is_kept = || list::keep_list(after).iter().any(|entry| own.is_within(&entry.path));
        (self.config.file == usual && !is_kept()).then(|| {
            format!(
                "{DEFAULT_FILE} is not kept itself, so this change is gone at the next boot: run \
                 `blankroot keep {DEFAULT_FILE}`"
            )
        })
    }
}

fn change_action(file: &Path) -> String {
    format!("change the configuration {}", Escaped::of_path(file))
}

/// An error if the file cannot be changed where it is.
fn expect_editable(file: &Path) -> Result<()> {
    let failed = |why| Error::io(change_action(file), why);
    if file.symlink_metadata().map_err(failed)?.is_symlink() {
        let real = file.canonicalize().map_err(failed)?;
        let bytes = real.as_os_str().as_encoded_bytes();
        let why = format!("it is a link to {}", Escaped(bytes));
        let hint = if bytes.starts_with(b"/nix/store/") {
            "declare it in the configuration that this file is made of".to_string()
        } else {
            format!("name the file itself with `--config {}`", Escaped(bytes))
        };
        return Err(Error::new(change_action(file), why).hint(hint));
    }
    Ok(())
}

fn own_tree_path() -> Result<TreePath> {
    TreePath::parse(DEFAULT_FILE.as_bytes())
        .map_err(|why| Error::new("keep the configuration", why))
}

fn is_to_be_kept(config: &Config) -> bool {
    own_tree_path().is_ok_and(|path| list::keep_list(config).iter().any(|entry| entry.path == path))
}

/// Moves the configuration into the storage that it declares for itself.
fn keep_itself(
    config: &Config,
    root: &Path,
    even_if_unseen: bool,
    dry_run: bool,
) -> Result<(), Failure> {
    let machine = Machine::open(root)?;
    let paths = [(own_tree_path()?, false)];
    let request =
        KeepRequest { paths: &paths, storage: None, how: None, old_root: None, adopt: false };
    let open = || config.open_backend(root).map(Some);
    let plan = keep_request::plan_keep(&request, &machine, config, &open);
    let plan = plan.map_err(|refused| match refused.into_iter().next() {
        Some(refused) => refused.error,
        None => Error::new("keep the configuration", "there is no plan for it"),
    })?;
    let mut out = io::stdout().lock();
    if dry_run {
        write!(out, "{plan}")?;
        return Ok(());
    }
    let context =
        KeepContext { machine: &machine, config: &config.file, old_root: None, even_if_unseen };
    let done = keep_execute::execute_keep(&plan, &context, &mut |_, _| {}, |step| {
        drop(writeln!(out, "done: {step}"));
    });
    let kept = done.map_err(|stopped| stopped.error)?;
    for note in &kept.notes {
        writeln!(out, "note: {note}")?;
    }
    if list::kept_configuration(config, root).is_none() {
        return Err(Error::new(
            change_action(&config.file),
            "it is to be kept, and is not in its storage yet",
        )
        .hint("see why with `blankroot apply`")
        .into());
    }
    Ok(())
}
