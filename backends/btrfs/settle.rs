//! Makes a new file's content part of the running transaction, so that whatever commits that one
//! makes it durable: a snapshot does, and a wait for the disk is saved.
//!
//! Written data is in memory first, and no part of any transaction until it has been written out.
//! Once the file's extents are items of its tree, they are committed no later than any name that the
//! file is given from then on.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use super::items::{FileExtent, Source, kind};
use super::search::Searcher;
use super::top::Top;
use crate::kernel::fiemap;

/// Sees to it that `file`, which is complete, is durable no later than a name that it gets next.
pub fn settle(top: &Top, file: &File) -> io::Result<()> {
    match fiemap::write_data(file).and_then(|()| is_in_tree(top, file)) {
        Ok(true) => Ok(()),
        // Not proven, on whatever kernel: then the long way, which also tells what is wrong.
        Ok(false) | Err(_) => file.sync_all(),
    }
}

/// Whether all of the content is in the file's tree: in it, or at a place on the disk that it names
/// since the data was written there.
pub(super) fn is_in_tree(top: &Top, file: &File) -> io::Result<bool> {
    let found = file.metadata()?;
    let mut reached = Some(0);
    Searcher::few(file.as_fd(), top).each_of(found.ino(), kind::EXTENT_DATA, |item| {
        let extent = FileExtent::parse(item.key.offset, item.data);
        let extent = extent.filter(|e| Some(e.start) == reached && e.source != Source::Zero);
        reached = extent.and_then(|e| e.start.checked_add(e.len));
    })?;
    Ok(reached.is_some_and(|end| end >= found.len()))
}
