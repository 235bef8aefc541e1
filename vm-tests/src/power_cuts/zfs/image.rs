//! In the guest: the disk of each cut, made in memory and written to a partition.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::OFlags;

use super::aligned::Aligned;
use super::scenario::BEFORE;
use crate::log_writes::Change;

/// Bytes that are written at once.
const PIECE: usize = 4 << 20;

/// The pool's partition.
#[derive(Debug)]
pub struct Image {
    memory: Aligned,
}

impl Image {
    /// An empty one of so many bytes.
    pub fn new(length: usize) -> Self {
        Self { memory: Aligned::zeroed(length) }
    }

    /// Does to it what was done to the recorded disk. What is not of the partition is a mark.
    pub fn change(&mut self, change: Change<'_>) {
        if let Some((start, data)) = self.place(change) {
            let length = data.map_or_else(|| length(change), <[u8]>::len);
            let bytes = &mut self.memory.bytes_mut()[start..start + length];
            match data {
                Some(data) => bytes.copy_from_slice(data),
                None => bytes.fill(0),
            }
        }
    }

    /// The same for as long as `work` takes.
    pub fn changed<R>(&mut self, changes: &[Change<'_>], work: impl FnOnce(&Self) -> R) -> R {
        let mut before = Vec::new();
        for change in changes {
            if let Some((start, _)) = self.place(*change) {
                before.push((start, self.memory.bytes()[start..start + length(*change)].to_vec()));
            }
            self.change(*change);
        }
        let done = work(self);
        for (start, bytes) in before.iter().rev() {
            self.memory.bytes_mut()[*start..start + bytes.len()].copy_from_slice(bytes);
        }
        done
    }

    /// Makes the device have these bytes and no others.
    pub fn write(&self, device: &str) {
        let flags = OFlags::DIRECT | OFlags::EXCL;
        let flags = i32::try_from(flags.bits()).unwrap();
        let device = File::options().write(true).custom_flags(flags).open(device).unwrap();
        for (index, piece) in self.memory.bytes().chunks(PIECE).enumerate() {
            device.write_all_at(piece, (index * PIECE) as u64).unwrap();
        }
    }

    fn place<'c>(&self, change: Change<'c>) -> Option<(usize, Option<&'c [u8]>)> {
        let (at, data) = match change {
            Change::Write(at, data) => (at, Some(data)),
            Change::Discard(at, _) => (at, None),
            Change::Nothing | Change::Mark(_) => return None,
        };
        Some((usize::try_from(at.checked_sub(BEFORE)?).unwrap(), data))
    }
}

fn length(change: Change<'_>) -> usize {
    match change {
        Change::Write(_, data) => data.len(),
        Change::Discard(_, length) => usize::try_from(length).unwrap(),
        Change::Nothing | Change::Mark(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_for_a_while_is_as_before_afterwards() {
        let mut image = Image::new(8192);
        let write = |at, data| Change::Write(BEFORE + at, data);
        image.change(write(4096, &[1; 4096]));
        image.change(Change::Write(512, b"a mark"));
        let changes = [write(0, &[2; 8192]), Change::Discard(BEFORE, 6000), write(10, b"xy")];
        image.changed(&changes, |image| {
            let bytes = image.memory.bytes();
            assert_eq!((bytes[9], &bytes[10..12], bytes[12]), (0, &b"xy"[..], 0));
            assert_eq!(bytes[6000..], [2; 2192]);
        });
        assert_eq!(image.memory.bytes()[..4096], [0; 4096]);
        assert_eq!(image.memory.bytes()[4096..], [1; 4096]);
    }
}
