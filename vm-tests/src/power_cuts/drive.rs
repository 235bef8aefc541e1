//! The disk under test: a sparse file in memory that is written to, copied and attached.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dirfd::sys::loop_device::LoopDevice;
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::log_writes::Change;

/// Bytes of the file system on it.
pub const FILE_SYSTEM: u64 = 256 << 20;
/// What is behind the file system: there a guest marks moments, by writing what is in no file.
const MARKS: u64 = 1 << 20;

/// A disk whose file goes with it.
#[derive(Debug)]
pub struct Drive {
    file: NamedTempFile,
}

impl Drive {
    /// An empty one.
    pub fn new() -> Self {
        let file = NamedTempFile::new_in(memory()).unwrap();
        file.as_file().set_len(FILE_SYSTEM + MARKS).unwrap();
        Self { file }
    }

    /// A copy of what `file` holds.
    pub fn of(file: &Path) -> Self {
        let copy = Self::new();
        copy_data(&File::open(file).unwrap(), copy.file.as_file());
        copy
    }

    /// A copy of it as it is now.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::of(self.path())
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Does to it what was done to the recorded one.
    pub fn change(&self, change: Change<'_>) {
        match change {
            Change::Write(at, data) => {
                let end = at + data.len() as u64;
                assert!(end <= FILE_SYSTEM + MARKS, "a write ends beyond the disk, at {end}");
                self.file.as_file().write_all_at(data, at).unwrap();
            }
            Change::Discard(at, length) => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(self.file.as_file(), flags, at, length).unwrap();
            }
            Change::Nothing | Change::Mark(_) => {}
        }
    }

    /// Makes it a block device.
    pub fn attach(&self) -> LoopDevice {
        LoopDevice::attach(self.file.as_file().as_fd()).unwrap()
    }

    /// Whether both hold the same bytes.
    pub fn equals(&self, other: &Path) -> bool {
        let mut pieces = [vec![0; 1 << 20], vec![0; 1 << 20]];
        let files = [File::open(self.path()).unwrap(), File::open(other).unwrap()];
        (0..FILE_SYSTEM + MARKS).step_by(1 << 20).all(|at| {
            for (file, piece) in files.iter().zip(&mut pieces) {
                file.read_exact_at(piece, at).unwrap();
            }
            pieces[0] == pieces[1]
        })
    }
}

impl Default for Drive {
    fn default() -> Self {
        Self::new()
    }
}

/// Copies what is no hole to the same place.
pub fn copy_data(from: &File, to: &File) {
    let size = from.metadata().unwrap().len();
    let mut piece = vec![0; 1 << 18];
    let mut at = 0;
    while let Some(start) = find(from, SeekFrom::Data(at)) {
        let end = find(from, SeekFrom::Hole(start)).unwrap_or(size);
        for at in (start..end).step_by(piece.len()) {
            let length = usize::try_from(end - at).unwrap().min(piece.len());
            from.read_exact_at(&mut piece[..length], at).unwrap();
            to.write_all_at(&piece[..length], at).unwrap();
        }
        at = end;
    }
}

fn find(file: &File, position: SeekFrom) -> Option<u64> {
    match seek(file, position) {
        Ok(at) => Some(at),
        Err(Errno::NXIO) => None,
        Err(error) => panic!("cannot look for data in a file: {error}"),
    }
}

/// Where files cost no disk.
pub fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_goes_its_own_way() {
        let one = Drive::new();
        one.change(Change::Write(4096, b"first"));
        one.change(Change::Write(200 << 20, &[7; 8192]));
        let two = one.copy();
        assert!(one.equals(two.path()));
        two.change(Change::Discard((200 << 20) + 4096, 4096));
        assert!(!one.equals(two.path()));
        one.change(Change::Write((200 << 20) + 4096, &[0; 4096]));
        assert!(one.equals(two.path()));
    }
}
