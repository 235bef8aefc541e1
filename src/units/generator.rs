//! What systemd starts before any unit: reads the configuration and writes the units.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use backends::error::describe;
use backends::{Error, TreePath};

use super::kernel_log::{self, Level};
use super::{Units, write};
use crate::config::{Config, ConfigError, DEFAULT_FILE};
use crate::host::{HostRoot, is_not_found};
use crate::keep::{self, KeepEntry};

/// What makes a root an initrd (os-release(5)).
const INITRD: &str = "etc/initrd-release";

/// One run of the generator.
#[derive(Debug)]
pub struct Generator<'g> {
    /// The root whose configuration is read.
    pub root: &'g Path,
    /// Where units belong that outweigh those of packages and not those of administrators.
    pub normal_dir: &'g Path,
    /// What the services start: a path, or a name that systemd looks up.
    pub command: &'g str,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generated {
    /// How many units were written.
    pub units: usize,
    /// What the owner should know.
    pub warnings: Vec<String>,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum NotGenerated {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something could not be done.
    #[error(transparent)]
    Error(#[from] Error),
}

impl Generator<'_> {
    /// What the services start unless the package that is being built says otherwise: systemd looks a
    /// bare name up itself.
    pub const COMMAND: &'static str = match option_env!("BLANKROOT_COMMAND") {
        Some(path) => path,
        None => "blankroot",
    };

    /// Runs it, and tells what went wrong on standard error and in the kernel's log.
    pub fn run(&self) -> Result<Generated, NotGenerated> {
        let done = self.generate();
        let (level, messages) = match &done {
            Ok(generated) => (Level::Warning, generated.warnings.clone()),
            Err(error) => (Level::Error, vec![error.to_string()]),
        };
        messages.iter().for_each(|message| self.tell(level, message));
        done
    }

    fn tell(&self, level: Level, message: &str) {
        say(&message);
        let logged = HostRoot::open(self.root).map_err(|error| error.to_string());
        let logged = logged.and_then(|host| match kernel_log::write(&host, level, message) {
            Err(error) if !is_not_found(&error) => Err(describe(&error)),
            _ => Ok(()),
        });
        if let Err(why) = logged {
            say(&format_args!("cannot write to /dev/kmsg: {why}"));
        }
    }

    /// Runs it silently.
    pub fn generate(&self) -> Result<Generated, NotGenerated> {
        let host = &HostRoot::open(self.root)?;
        // The initrd's copy of the list is about another root than the one that runs there.
        if is_there(host, Path::new(INITRD))? {
            return Ok(Generated::default());
        }
        let Some((config, origin)) = load(host)? else { return Ok(Generated::default()) };
        let units = Units::of(&config, self.command, &origin)
            .map_err(|why| Error::new("make units", format!("a path {why}")))?;
        let there = write::into(self.normal_dir, &units)?;
        let left = units.left.iter().map(|left| {
            let (path, why) = (&left.path, left.why);
            format!(
                "no mount unit for {path}, which `blankroot apply` mounts later: its path {why}"
            )
        });
        let doubled = there.iter().map(|name| {
            format!(
                "cannot write the unit {name}: another generator has made it\n  mend: if it is \
                 in /etc/fstab, keep that line or the entry of the keep list"
            )
        });
        let warnings = left.chain(doubled).collect();
        Ok(Generated { units: units.files.len() - there.len(), warnings })
    }
}

/// The configuration that is in force, and its file; `None` where there is none at all.
fn load(host: &HostRoot) -> Result<Option<(Config, TreePath)>, NotGenerated> {
    let path = tree_path(DEFAULT_FILE.as_bytes())?;
    if !is_there(host, path.as_path())? {
        return Ok(None);
    }
    let text = read(host, &path).map_err(|error| {
        let mend = "if it is a link into storage, mount the storage in the initrd, or keep the \
                    file with `how = \"bind\"`";
        let failed = Error::io(format!("read the configuration {path}"), error);
        NotGenerated::Error(failed.mend(mend))
    })?;
    let config = Config::parse(Path::new(DEFAULT_FILE), &text)?;
    // Live's copy may be blank's, which is older than what the owner has written since.
    let Some(source) = kept_source(&keep::list(&config), &path) else {
        return Ok(Some((config, path)));
    };
    match read(host, &source) {
        Ok(text) => {
            let file = Path::new("/").join(source.as_path());
            Ok(Some((Config::parse(&file, &text)?, source)))
        }
        Err(error) if is_not_found(&error) => Ok(Some((config, path))),
        Err(error) => Err(Error::io(format!("read the kept configuration {source}"), error).into()),
    }
}

/// Where the data of the file is, if it or a directory that holds it is kept.
fn kept_source(list: &[KeepEntry], file: &TreePath) -> Option<TreePath> {
    let entry = list.iter().filter(|entry| file.is_within(&entry.path));
    let entry = entry.max_by_key(|entry| entry.path.as_bytes().len())?;
    let below = &file.as_bytes()[entry.path.as_bytes().len()..];
    TreePath::parse(&[entry.source().as_bytes(), below].concat()).ok()
}

fn read(host: &HostRoot, path: &TreePath) -> io::Result<Vec<u8>> {
    host.read(path.as_path())
}

fn is_there(host: &HostRoot, path: &Path) -> Result<bool, Error> {
    host.has(path).map_err(|e| Error::io(format!("look for {}", path.display()), e))
}

fn tree_path(path: &[u8]) -> Result<TreePath, Error> {
    TreePath::parse(path).map_err(|why| Error::new("name the configuration", why))
}

fn say(message: &impl Display) {
    // Nobody is left to tell that standard error is closed.
    let _ = writeln!(io::stderr(), "blankroot-generator: {message}");
}
