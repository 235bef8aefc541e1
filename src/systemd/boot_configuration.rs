//! Which configuration a boot goes by, at a moment when storage may not be mounted yet.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use dirfd::{Error, TreePath};
use rustix::fs;

use crate::config::reader::ConfigError;
use crate::config::{Config, DEFAULT_FILE};
use crate::host::{HostRoot, is_not_found};
use crate::persist::list::{self, KeepEntry};

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

/// What there is.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// No configuration for this root.
    Nothing,
    /// A configuration, and its file.
    Config(Box<Config>, TreePath),
    /// A link to this place, where nothing is by now.
    Behind(TreePath),
}

/// Reads the copy that an initrd has; `None` if it has none.
pub(crate) fn load_in_initrd(host: &HostRoot) -> Result<Option<Config>, NotGenerated> {
    let path = configuration_path()?;
    if !is_there(host, path.as_path())? {
        return Ok(None);
    }
    let text = read_below(host, &path).map_err(|e| cannot_read(&path, e))?;
    Ok(Some(Config::parse(Path::new(DEFAULT_FILE), &text)?))
}

/// Reads the configuration that is in force in the running system.
pub(crate) fn load_in_force(host: &HostRoot) -> Result<Loaded, NotGenerated> {
    let path = configuration_path()?;
    if !is_there(host, path.as_path())? {
        return Ok(Loaded::Nothing);
    }
    let text = match read_below(host, &path) {
        Ok(text) => text,
        Err(error) => {
            return match link_target(host, &path).filter(|_| is_not_found(&error)) {
                Some(target) => Ok(Loaded::Behind(target)),
                None => Err(cannot_read(&path, error).into()),
            };
        }
    };
    let config = Box::new(Config::parse(Path::new(DEFAULT_FILE), &text)?);
    // Live's copy may be blank's, which is older than what the owner has written since.
    let Some(source) = kept_source(&list::keep_list(&config), &path) else {
        return Ok(Loaded::Config(config, path));
    };
    match read_below(host, &source) {
        Ok(text) => {
            let file = Path::new("/").join(source.as_path());
            Ok(Loaded::Config(Box::new(Config::parse(&file, &text)?), source))
        }
        Err(error) if is_not_found(&error) => Ok(Loaded::Config(config, path)),
        Err(error) => Err(Error::io(format!("read the kept configuration {source}"), error).into()),
    }
}

fn configuration_path() -> Result<TreePath, Error> {
    TreePath::parse(DEFAULT_FILE.as_bytes())
        .map_err(|why| Error::new("name the configuration", why))
}

fn cannot_read(path: &TreePath, why: io::Error) -> Error {
    Error::io(format!("read the configuration {path}"), why)
}

/// Where the data of the file is, if it or a directory that holds it is kept.
fn kept_source(list: &[KeepEntry], file: &TreePath) -> Option<TreePath> {
    let entry = list.iter().filter(|entry| file.is_within(&entry.path));
    let entry = entry.max_by_key(|entry| entry.path.as_bytes().len())?;
    let below = &file.as_bytes()[entry.path.as_bytes().len()..];
    TreePath::parse(&[entry.source().as_bytes(), below].concat()).ok()
}

/// Where the link at `path` leads, by its words alone: `apply` puts no links on the way. None of
/// what is no link.
fn link_target(host: &HostRoot, path: &TreePath) -> Option<TreePath> {
    let target = fs::readlinkat(host, path.as_path(), Vec::new()).ok()?;
    let target = Path::new(OsStr::from_bytes(target.to_bytes()));
    let mut place = path.as_path().parent().unwrap_or(Path::new("")).to_path_buf();
    for part in target.components() {
        match part {
            Component::RootDir | Component::Prefix(_) => place.clear(),
            Component::CurDir => {}
            // Above the root is the root.
            Component::ParentDir => drop(place.pop()),
            Component::Normal(name) => place.push(name),
        }
    }
    TreePath::parse(place.as_os_str().as_bytes()).ok()
}

fn read_below(host: &HostRoot, path: &TreePath) -> io::Result<Vec<u8>> {
    host.read(path.as_path())
}

fn is_there(host: &HostRoot, path: &Path) -> Result<bool, Error> {
    host.has(path).map_err(|e| Error::io(format!("look for {}", path.display()), e))
}
