//! Copies disks that are files.

use std::fs::File;
use std::path::Path;

use rustix::fs::{SeekFrom, copy_file_range, seek};
use rustix::io::Errno;

/// Copies a disk, without the holes in it. Unlike `cp`, it makes no hole of each block of zeros: some file systems
/// take most of a minute to free the ten thousand pieces that this would leave.
pub fn copy_disk(from: &Path, to: &Path) {
    let (source, target) = (File::open(from).unwrap(), File::create(to).unwrap());
    target.set_len(source.metadata().unwrap().len()).unwrap();
    let mut end = 0;
    loop {
        let start = match seek(&source, SeekFrom::Data(end)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return,
            Err(why) => panic!("cannot copy {}: {why}", from.display()),
        };
        end = seek(&source, SeekFrom::Hole(start)).unwrap();
        let (mut read, mut written) = (start, start);
        while read < end {
            let count = usize::try_from(end - read).unwrap();
            let copied =
                copy_file_range(&source, Some(&mut read), &target, Some(&mut written), count);
            assert_ne!(copied.unwrap(), 0, "{} was cut short", from.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn holes_stay_holes_and_zeros_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
        let disk = File::create(&from).unwrap();
        disk.set_len(64 << 20).unwrap();
        disk.write_all_at(&[0; 1 << 20], 8 << 20).unwrap();
        disk.write_all_at(b"end", 32 << 20).unwrap();
        copy_disk(&from, &to);
        assert_eq!(std::fs::read(&from).unwrap(), std::fs::read(&to).unwrap());
        let [before, after] = [&from, &to].map(|file| file.metadata().unwrap());
        assert_eq!((before.len(), before.blocks()), (after.len(), after.blocks()));
    }
}
