//! The directories that every demo disk has, whatever it lies on.

use std::fs;
use std::path::Path;

use dirfd::fault::change;
use dirfd::path::Escaped;
use dirfd::{Error, Result};

/// The name of the top of the file system on a stage.
pub(crate) const DISK: &str = "disk";
/// The name of the directory that stands for the host.
pub(crate) const HOST: &str = "host";
/// Where the machine has its storage, in live.
pub(crate) const STORAGE: &str = "persist";

/// Makes a directory and those that lead to it.
pub(crate) fn make_dirs(dir: &Path) -> Result<()> {
    change("stage: make directory", || fs::create_dir_all(dir))
        .map_err(|e| Error::io(format!("make the directory {}", Escaped::of_path(dir)), e))
}
