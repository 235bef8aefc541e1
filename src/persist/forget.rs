//! `forget`: declares paths disposable.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use dirfd::path::Escaped;
use dirfd::{Error, Result, TreePath};

use crate::cli::arguments::{Cli, Forget};
use crate::cli::invocation::{Failure, in_tree};
use crate::config::entry::EntryKind;
use crate::config::lock_and_write::rewrite_config;
use crate::config::{Config, edit};
use crate::host::{HostRoot, Machine};
use crate::persist::config_file::LockedConfig;
use crate::persist::keep_plan::{added_lines, escape_line};
use crate::persist::list;

/// What has a meaning in a pattern.
const WILD: &[u8] = b"*?[]{}\\";

pub(crate) fn run(cli: &Cli, args: &Forget) -> Result<ExitCode, Failure> {
    let root = &args.root.root;
    let locked = LockedConfig::lock_and_read(cli, root, true, args.dry_run)?;
    let host = HostRoot::open(root)?;
    let patterns = args.paths.iter().map(|path| pattern_argument(path, root, &host));
    let patterns = patterns.collect::<Result<Vec<_>>>()?;
    let plan = ForgetPlan::new(&locked.config, &patterns)?;
    let mut out = io::stdout().lock();
    plan.already.iter().try_for_each(|already| writeln!(out, "{already}"))?;
    if !plan.changes_config() {
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        write!(out, "{plan}")?;
    } else {
        plan.execute(&locked.config, &mut out)?;
    }
    if let Some(note) = locked.note(&locked.config, root) {
        writeln!(out, "note: {note}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What will be written to the configuration; prints as `--dry-run` shows it.
#[derive(Debug)]
pub(crate) struct ForgetPlan {
    /// What is done already.
    pub(crate) already: Vec<String>,
    before: String,
    /// The configuration as it will be.
    pub(crate) after: String,
}

impl ForgetPlan {
    /// Plans to declare what these patterns match disposable.
    pub(crate) fn new(config: &Config, patterns: &[String]) -> Result<Self> {
        patterns.iter().try_for_each(|pattern| Self::expect_not_kept(config, pattern))?;
        let declared = config.forget.patterns();
        let already =
            patterns.iter().filter(|one| declared.iter().any(|known| known.text == **one));
        let already = already
            .map(|one| format!("{} is forgotten already", Escaped(one.as_bytes())))
            .collect();
        let after = edit::add_forget(&config.text, patterns)?;
        Ok(Self { already, before: config.text.clone(), after })
    }

    /// What is kept cannot be disposable as well.
    pub(crate) fn expect_not_kept(config: &Config, pattern: &str) -> Result<()> {
        let wild = pattern.bytes().any(|byte| WILD.contains(&byte));
        let Ok(path) = TreePath::parse(pattern.as_bytes()) else { return Ok(()) };
        let list = list::keep_list(config);
        let kept = list.iter().filter(|_| !wild).find(|entry| {
            path == entry.path || (entry.kind == EntryKind::Dir && path.is_within(&entry.path))
        });
        let Some(entry) = kept else { return Ok(()) };
        let line = config.source(entry.place);
        let why = match path == entry.path {
            true => format!("it is kept {line}"),
            false => format!("it lies in {}, which is kept {line}", entry.path),
        };
        Err(Error::new(format!("forget {path}"), why)
            .hint(format!("stop keeping {} first, with `blankroot unkeep`", entry.path)))
    }

    pub(crate) fn changes_config(&self) -> bool {
        self.before != self.after
    }

    /// Writes the configuration, and tells so.
    pub(crate) fn execute(&self, config: &Config, out: &mut impl Write) -> Result<(), Failure> {
        rewrite_config(&config.file, &self.before, &self.after)?;
        Ok(write!(out, "done: {self}")?)
    }
}

impl fmt::Display for ForgetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "write to the configuration:")?;
        let lines = added_lines(&self.before, &self.after);
        lines.iter().try_for_each(|line| writeln!(f, "   + {}", escape_line(line)))
    }
}

/// The pattern that matches this path and what lies below it, and nothing else; an error where nobody may declare it
/// disposable.
pub(crate) fn literal_pattern(path: &TreePath, machine: &Machine) -> Result<String> {
    if path.depth() == 0 {
        return Err(Error::new(format!("forget {path}"), "it is the root itself")
            .hint("name what in it is disposable"));
    }
    refuse_users_own(path, machine)?;
    let bytes = path.as_bytes().iter();
    let escaped = bytes.flat_map(|&b| {
        let backslash = WILD.contains(&b).then_some(b'\\');
        backslash.into_iter().chain([b])
    });
    let pattern = [b"/", escaped.collect::<Vec<u8>>().as_slice()].concat();
    checked_pattern(&path.to_string(), pattern)
}

/// A path that is there is meant literally; anything else is a pattern.
fn pattern_argument(path: &Path, root: &Path, host: &HostRoot) -> Result<String> {
    let shown = Escaped::of_path(path).to_string();
    let wild = path.as_os_str().as_bytes().iter().any(|byte| WILD.contains(byte));
    match in_tree(path, root, "forget") {
        Ok(named) => {
            let machine = Machine::open(root)?;
            refuse_users_own(&named, &machine)?;
            let failed = |why| Error::io(format!("look at {named}"), why);
            match wild && !host.has(named.as_path()).map_err(failed)? {
                true => checked_pattern(&shown, [b"/", named.as_bytes()].concat()),
                false => literal_pattern(&named, &machine),
            }
        }
        // What cannot be a path may be a pattern all the same; its own check tells.
        Err(_) if wild => checked_pattern(&shown, path.as_os_str().as_bytes().to_vec()),
        Err(error) => Err(error),
    }
}

/// Nobody looks at what a user's own file system has.
fn refuse_users_own(path: &TreePath, machine: &Machine) -> Result<()> {
    let failed = |why| Error::io(format!("look at {path}"), why);
    match machine.users_own(path).map_err(failed)? {
        Some(why) => Err(Error::new(format!("look at {path}"), why)),
        None => Ok(()),
    }
}

/// A pattern as the configuration can hold it.
fn checked_pattern(shown: &str, pattern: Vec<u8>) -> Result<String> {
    refuse_named_class(shown, &pattern)?;
    String::from_utf8(pattern).map_err(|_| {
        Error::new(format!("forget `{shown}`"), "it is not UTF-8, as TOML must be")
            .hint("write `?` for each byte that is not, in quotes")
    })
}

/// A shell's classes by name would be read as something else: `[[:digit:]]` as one of `[:digt` with a
/// `]` behind it.
fn refuse_named_class(shown: &str, pattern: &[u8]) -> Result<()> {
    let mut in_brackets = false;
    let mut bytes = pattern.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if !in_brackets => drop(bytes.next()),
            b'[' if in_brackets && matches!(bytes.peek(), Some(b':' | b'.' | b'=')) => {
                let why = "its brackets have a class by name, which patterns do not know";
                return Err(Error::new(format!("forget `{shown}`"), why)
                    .hint("write the bytes themselves, as in `[0-9]` or `[a-zA-Z]`"));
            }
            b'[' => in_brackets = true,
            b']' => in_brackets = false,
            _ => {}
        }
    }
    Ok(())
}
