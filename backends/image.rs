//! Image files without a name: the disks of throwaway file systems, gone with their last user.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{SeekFrom, copy_file_range, seek};
use rustix::io::Errno;

use crate::fault::change;
use crate::kernel::loopdev::LoopDevice;

/// A sparse file that was never given a name, or lost it before anything was written.
#[derive(Debug)]
pub struct Image {
    file: File,
}

impl Image {
    /// An empty disk of `size` bytes; `dir` is any directory on the file system that holds it.
    pub fn new(size: u64, dir: &Path) -> io::Result<Self> {
        let file = change("image: create", || tempfile::tempfile_in(dir))?;
        change("image: size", || file.set_len(size))?;
        Ok(Self { file })
    }

    /// A copy of what is on this disk now, that is, without what a file system on it has not yet
    /// written. Holes stay holes.
    ///
    /// It takes a moment: nobody should write to the disk meanwhile.
    pub fn copy(&self, dir: &Path) -> io::Result<Self> {
        let size = self.file.metadata()?.len();
        let copy = Self::new(size, dir)?;
        let mut at = 0;
        while let Some(data) = find(&self.file, SeekFrom::Data(at))? {
            let end = find(&self.file, SeekFrom::Hole(data))?.unwrap_or(size);
            change("image: copy", || copy_range(&self.file, &copy.file, data, end))?;
            at = end;
        }
        Ok(copy)
    }

    /// Makes it a block device.
    pub fn attach(&self) -> io::Result<LoopDevice> {
        change("image: attach", || LoopDevice::attach(self.file.as_fd()))
    }
}

/// The offset that `seek` finds, or `None` past the last data.
fn find(file: &File, position: SeekFrom) -> io::Result<Option<u64>> {
    match seek(file, position) {
        Ok(at) => Ok(Some(at)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn copy_range(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let rest = usize::try_from(end - read).unwrap_or(usize::MAX);
        if copy_file_range(from, Some(&mut read), to, Some(&mut written), rest)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    #[test]
    fn a_copy_has_the_bytes_and_keeps_the_holes() {
        let dir = std::env::temp_dir();
        let image = Image::new(64 << 20, &dir).unwrap();
        image.file.write_all_at(b"first", 0).unwrap();
        image.file.write_all_at(b"last", (64 << 20) - 4).unwrap();
        image.file.write_all_at(&[7; 300_000], 9 << 20).unwrap();

        let copy = image.copy(&dir).unwrap();

        let all = |image: &Image| {
            let mut bytes = vec![1; 64 << 20];
            image.file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        assert!(all(&copy) == all(&image));
        assert!(copy.file.metadata().unwrap().blocks() * 512 < 2 << 20, "the holes were filled");
    }
}
