//! `forget`: declares paths disposable.

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
    let locked = LockedConfig::lock_and_read(cli, &args.root.root, true, args.dry_run)?;
    let config = &locked.config;
    let host = HostRoot::open(&args.root.root)?;
    let mut out = io::stdout().lock();
    let mut text = config.text.clone();
    for path in &args.paths {
        let pattern = pattern_argument(path, &args.root.root, &host)?;
        refuse_kept(config, &pattern)?;
        let edited = edit::add_forget(&text, &pattern)?;
        if edited == text {
            writeln!(out, "{} is forgotten already", Escaped(pattern.as_bytes()))?;
        }
        text = edited;
    }
    if text == config.text {
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        writeln!(out, "write to the configuration:")?;
    } else {
        rewrite_config(&config.file, &config.text, &text)?;
        writeln!(out, "done: write to the configuration:")?;
    }
    for line in added_lines(&config.text, &text) {
        writeln!(out, "   + {}", escape_line(&line))?;
    }
    if let Some(note) = locked.note(config, &args.root.root) {
        writeln!(out, "note: {note}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A path that is there is meant literally; anything else is a pattern.
fn pattern_argument(path: &Path, root: &Path, host: &HostRoot) -> Result<String> {
    let shown = Escaped::of_path(path).to_string();
    let wild = path.as_os_str().as_bytes().iter().any(|byte| WILD.contains(byte));
    let literal = |path: &TreePath| {
        let bytes = path.as_bytes().iter();
        let escaped = bytes.flat_map(|&b| {
            let backslash = WILD.contains(&b).then_some(b'\\');
            backslash.into_iter().chain([b])
        });
        [b"/", escaped.collect::<Vec<u8>>().as_slice()].concat()
    };
    let named = in_tree(path, root, "forget");
    let pattern = match named {
        Ok(named) => {
            let failed = |why| Error::io(format!("look at {named}"), why);
            if let Some(why) = Machine::open(root)?.users_own(&named).map_err(failed)? {
                return Err(Error::new(format!("look at {named}"), why));
            }
            let there = host.has(named.as_path()).map_err(failed)?;
            if wild && !there { [b"/", named.as_bytes()].concat() } else { literal(&named) }
        }
        // What cannot be a path may be a pattern all the same; its own check tells.
        Err(_) if wild => path.as_os_str().as_bytes().to_vec(),
        Err(error) => return Err(error),
    };
    refuse_named_class(&shown, &pattern)?;
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

/// What is kept cannot be disposable as well.
fn refuse_kept(config: &Config, pattern: &str) -> Result<()> {
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
