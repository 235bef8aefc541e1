//! Makes an empty subvolume: for file systems that are filled from nothing.

use std::path::Path;

use btrfsutil::subvolume::Subvolume;

use super::locked::util;
use crate::error::{Error, Result};
use crate::fault::change;
use crate::path::Escaped;

/// Makes an empty subvolume at `path`, which nothing has the name of yet.
pub fn create_subvolume(path: &Path) -> Result<()> {
    change("btrfs: create empty subvolume", || util(Subvolume::create(path, None))).map_err(|e| {
        let shown = Escaped(path.as_os_str().as_encoded_bytes());
        Error::io(format!("make the subvolume {shown}"), e)
    })
}
