//! Whether a hibernation image may be waiting: to change a file system that a sleeping kernel still
//! holds in its memory destroys it.
//!
//! An image is looked for where this boot would resume from (`resume=`, what the kernel was told,
//! what systemd left in the firmware), and in the first page of every block device.

pub mod device;
pub mod signature;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use backends::error::describe;
use backends::path::Escaped;

use super::command_line::CommandLine;
use crate::host::{HostRoot, is_not_found};

/// Where systemd writes down what it hibernated to (sd-efi: vendor UUID of systemd's variables).
const EFI_VARIABLE: &str =
    "sys/firmware/efi/efivars/HibernateLocation-8cf2644b-4b0b-428f-9387-6d876050dc67";

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Nothing will be resumed.
    RuledOut,
    /// There is an image.
    Pending {
        /// Where, in words: `the swap header of dev/sda2`.
        place: String,
    },
    /// There may be one.
    CannotTell {
        /// What could not be looked at: `resume=UUID=…`.
        what: String,
        /// Why not.
        why: String,
    },
}

impl fmt::Display for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RuledOut => f.write_str("no hibernation image is waiting"),
            Self::Pending { place } => write!(f, "a hibernation image is waiting: {place}"),
            Self::CannotTell { what, why } => {
                write!(f, "a hibernation image may be waiting: cannot look at {what}: {why}")
            }
        }
    }
}

/// Looks everywhere. An image that is found outweighs a place that cannot be looked at.
///
/// With `noresume` nobody resumes in this boot, and an image that is left is stale already, since
/// the root will be mounted and written to.
pub fn probe(host: &HostRoot, command_line: &CommandLine, page_size: usize) -> Resume {
    if command_line.no_resume {
        return Resume::RuledOut;
    }
    let search = Search { host, page_size };
    let answers = [
        search.named_on_command_line(command_line),
        search.told_to_kernel(),
        search.left_in_firmware(),
        search.every_block_device(),
    ];
    let weight = |answer: &Resume| match answer {
        Resume::Pending { .. } => 0,
        Resume::CannotTell { .. } => 1,
        Resume::RuledOut => 2,
    };
    answers.into_iter().min_by_key(weight).unwrap_or(Resume::RuledOut)
}

struct Search<'a> {
    host: &'a HostRoot,
    page_size: usize,
}

impl Search<'_> {
    fn named_on_command_line(&self, line: &CommandLine) -> Resume {
        let Some(name) = &line.resume else {
            return Resume::RuledOut;
        };
        let what = format!("resume={}", Escaped(name));
        let offset = match line.resume_offset.as_deref().map(number) {
            None => 0,
            Some(Some(offset)) => offset,
            Some(None) => return cannot_tell(what, "`resume_offset=` is no number"),
        };
        match device::find(self.host, name).and_then(|path| self.has_image(&path, offset)) {
            Ok(false) => Resume::RuledOut,
            Ok(true) => Resume::Pending { place: format!("in the swap area of {what}") },
            Err(error) => cannot_tell(what, &describe(&error)),
        }
    }

    /// The device whose number somebody wrote to `/sys/power/resume`; the kernel itself does for
    /// `resume=`.
    fn told_to_kernel(&self) -> Resume {
        let what = || "the device in sys/power/resume".to_string();
        let device = match self.host.read("sys/power/resume") {
            // A kernel without hibernation.
            Err(error) if is_not_found(&error) => return Resume::RuledOut,
            device => device,
        };
        let offset = match self.host.read("sys/power/resume_offset") {
            // A kernel older than 4.17.
            Err(error) if is_not_found(&error) => Ok(0),
            offset => offset.and_then(|text| {
                number(text.trim_ascii()).ok_or_else(|| io::Error::other("its offset is no number"))
            }),
        };
        let looked = device.and_then(|device| match device.trim_ascii() {
            b"0:0" | b"" => Ok(false),
            device => self.has_image(&device::by_number(self.host, device)?, offset?),
        });
        match looked {
            Ok(false) => Resume::RuledOut,
            Ok(true) => Resume::Pending { place: format!("in the swap area of {}", what()) },
            Err(error) => cannot_tell(what(), &describe(&error)),
        }
    }

    fn left_in_firmware(&self) -> Resume {
        let what = "the EFI variable HibernateLocation";
        match self.host.has(EFI_VARIABLE) {
            Ok(false) => Resume::RuledOut,
            Ok(true) => Resume::Pending { place: format!("{what} is set") },
            Err(error) => cannot_tell(what.to_string(), &describe(&error)),
        }
    }

    fn every_block_device(&self) -> Resume {
        let devices = match self.host.names("sys/class/block") {
            Ok(devices) => devices,
            Err(error) => {
                return cannot_tell("the list of block devices".to_string(), &describe(&error));
            }
        };
        for device in devices {
            let path = device::path_of(device.as_bytes());
            // A drive without a medium, or a device that only its owner can read, holds no image
            // that this boot resumes from by itself.
            if self.has_medium(&device) && self.has_image(&path, 0).unwrap_or(false) {
                let name = Escaped(path.as_os_str().as_bytes()).to_string();
                return Resume::Pending { place: format!("in the swap area of {name}") };
            }
        }
        Resume::RuledOut
    }

    /// A size of zero spares an empty drive, and us the time that it takes to open one.
    fn has_medium(&self, device: &OsStr) -> bool {
        let size = self.host.read(Path::new("sys/class/block").join(device).join("size"));
        size.map_or(true, |size| size.trim_ascii() != b"0")
    }

    /// `offset` is in pages: where a swap file starts on its device.
    fn has_image(&self, device: &PathBuf, offset: u64) -> io::Result<bool> {
        let start = offset.checked_mul(self.page_size as u64).filter(|&at| at <= i64::MAX as u64);
        let start = start.ok_or_else(|| io::Error::other("its offset is too large"))?;
        Ok(signature::is_image(&self.host.read_at(device, start, self.page_size)?))
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn cannot_tell(what: String, why: &str) -> Resume {
    Resume::CannotTell { what, why: why.to_string() }
}

#[cfg(test)]
mod tests;
