//! The tree that is measured: directories of two hundred small files, and, for a larger one, ten
//! times as many that are not touched in between.

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat};
use rustix::io::write;

use crate::Result;

/// Files in each directory.
pub const FILES: usize = 200;
/// Directories below each of the directories in the root.
const WIDTH: usize = 50;
/// Inline, this much makes an extent item of 53 bytes: that of a larger file is as long, but would
/// take at least 4 KiB of disk for its data.
const CONTENT: [u8; 32] = *b"not an empty file, but short...\n";

/// How large a tree is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Directories of [`FILES`] files each, which changes are made to.
    pub directories: usize,
    /// Directories of [`FILES`] empty files each, made after each of those.
    pub filler: usize,
}

impl Shape {
    /// `files` files, all of which may change.
    pub fn of(files: usize) -> Self {
        Self { directories: files / FILES, filler: 0 }
    }

    /// How many files may change.
    pub fn files(self) -> usize {
        self.directories * FILES
    }

    /// How many names there are, directories included.
    pub fn names(self) -> usize {
        let directories = self.directories * (1 + self.filler);
        directories * (1 + FILES) + self.directories.div_ceil(WIDTH)
    }
}

/// The path of directory `number`, relative to the tree.
pub fn directory(number: usize) -> PathBuf {
    format!("part-{:03}/dir-{number:05}", number / WIDTH).into()
}

/// The path of file `number`, relative to the tree.
pub fn file(number: usize) -> PathBuf {
    directory(number / FILES).join(file_name(number % FILES))
}

/// Makes the tree in the empty directory `root`.
pub fn build(root: &Path, shape: Shape) -> Result<()> {
    for number in 0..shape.directories {
        if number.is_multiple_of(WIDTH) {
            std::fs::create_dir(root.join(format!("part-{:03}", number / WIDTH)))?;
        }
        fill(&root.join(directory(number)), &CONTENT)?;
        for more in 0..shape.filler {
            fill(&root.join(format!("part-{:03}/dir-{number:05}.{more}", number / WIDTH)), b"")?;
        }
    }
    Ok(())
}

fn fill(dir: &Path, content: &[u8]) -> Result<()> {
    mkdirat(CWD, dir, Mode::from_raw_mode(0o755))?;
    let dir = openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    let mode = Mode::from_raw_mode(0o644);
    for number in 0..FILES {
        let name = file_name(number);
        if content.is_empty() {
            mknodat(&dir, &*name, FileType::RegularFile, mode, 0)?;
        } else {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
            write(openat(&dir, &*name, flags, mode)?, content)?;
        }
    }
    Ok(())
}

fn file_name(number: usize) -> String {
    format!("file-{number:03}.conf")
}
