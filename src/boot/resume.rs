//! Whether a hibernation image may be waiting: to change a file system that a sleeping kernel still
//! holds in its memory destroys it.
//!
//! An image is looked for where this boot would resume from (`resume=`, what the kernel was told,
//! what systemd left in the firmware), and in the first page of every block device.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::{fmt, io};

use dirfd::error::describe;
use dirfd::path::Escaped;

use crate::boot::command_line::CommandLine;
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
pub(crate) fn probe_resume(
    host: &HostRoot,
    command_line: &CommandLine,
    page_size: usize,
) -> Resume {
    if command_line.no_resume {
        return Resume::RuledOut;
    }
    let search = ImageSearch { host, page_size };
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

struct ImageSearch<'a> {
    host: &'a HostRoot,
    page_size: usize,
}

impl ImageSearch<'_> {
    fn named_on_command_line(&self, line: &CommandLine) -> Resume {
        let Some(name) = &line.resume else {
            return Resume::RuledOut;
        };
        let what = format!("resume={}", Escaped(name));
        let offset = match line.resume_offset.as_deref().map(parse_number) {
            None => 0,
            Some(Some(offset)) => offset,
            Some(None) => return cannot_tell(what, "`resume_offset=` is no number"),
        };
        match find_device(self.host, name).and_then(|path| self.has_image(&path, offset)) {
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
                parse_number(text.trim_ascii())
                    .ok_or_else(|| io::Error::other("its offset is no number"))
            }),
        };
        let looked = device.and_then(|device| match device.trim_ascii() {
            b"0:0" | b"" => Ok(false),
            device => self.has_image(&device_by_number(self.host, device)?, offset?),
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
            let path = device_path(device.as_bytes());
            // A drive without a medium, or a device that only its owner can read, holds no image
            // that this boot resumes from by itself.
            if self.has_medium(&device) && self.has_image(&path, 0).unwrap_or(false) {
                let name = Escaped::of_path(&path).to_string();
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
        Ok(is_image(&self.host.read_at(device, start, self.page_size)?))
    }
}

fn parse_number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn cannot_tell(what: String, why: &str) -> Resume {
    Resume::CannotTell { what, why: why.to_string() }
}

/// The links that udev makes for each tag.
const TAGS: [(&[u8], &str); 5] = [
    (b"UUID=", "dev/disk/by-uuid"),
    (b"LABEL=", "dev/disk/by-label"),
    (b"PARTUUID=", "dev/disk/by-partuuid"),
    (b"PARTLABEL=", "dev/disk/by-partlabel"),
    (b"ID=", "dev/disk/by-id"),
];

/// Finds the device that `name` stands for: a path, a tag, or a number.
fn find_device(host: &HostRoot, name: &[u8]) -> io::Result<PathBuf> {
    for (tag, directory) in TAGS {
        if let Some(value) = name.strip_prefix(tag) {
            return device_by_tag(host, directory, value);
        }
    }
    if name.starts_with(b"/") {
        let path: Vec<u8> = name.iter().copied().skip_while(|&b| b == b'/').collect();
        return Ok(PathBuf::from(OsString::from_vec(path)));
    }
    if name.contains(&b':') {
        return device_by_number(host, name);
    }
    Err(io::Error::other("it is no form of device name that is known here"))
}

/// Finds the device with a number, `8:2`.
fn device_by_number(host: &HostRoot, number: &[u8]) -> io::Result<PathBuf> {
    if number.iter().any(|b| !matches!(b, b'0'..=b'9' | b':')) {
        return Err(io::Error::other("it is no device number"));
    }
    let uevent = Path::new("sys/dev/block").join(String::from_utf8_lossy(number).as_ref());
    let uevent = host.read(uevent.join("uevent"))?;
    let name = uevent.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"DEVNAME="));
    let name = name.ok_or_else(|| io::Error::other("the kernel tells no name of this device"))?;
    Ok(path_in_dev(name.to_vec()))
}

/// The device of an entry in `/sys/class/block`, where `!` stands for `/`.
pub fn device_path(entry: &[u8]) -> PathBuf {
    path_in_dev(entry.iter().map(|&b| if b == b'!' { b'/' } else { b }).collect())
}

/// Not by joining paths: a name with a slash at its start would lead out of `dev`.
fn path_in_dev(name: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec([b"dev/".to_vec(), name].concat()))
}

/// UUIDs are compared by name, and some write them in capitals.
fn device_by_tag(host: &HostRoot, directory: &str, value: &[u8]) -> io::Result<PathBuf> {
    let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    let path = Path::new(directory).join(encode_tag(value));
    let small = Path::new(directory).join(encode_tag(&value.to_ascii_lowercase()));
    let is_uuid = directory.ends_with("uuid");
    Ok(if is_uuid && !host.has(&path)? && host.has(&small)? { small } else { path })
}

/// A tag's value as udev spells it in a link's name: all that is neither UTF-8 nor one of a few
/// ASCII characters becomes `\xNN` (`encode_devnode_name` in systemd).
pub fn encode_tag(value: &[u8]) -> String {
    let mut name = String::new();
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            if !c.is_ascii() || c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c) {
                name.push(c);
            } else {
                name.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
        }
        for byte in chunk.invalid() {
            name.push_str(&format!("\\x{byte:02x}"));
        }
    }
    name
}

/// What hibernation puts where a swap area's own signature was, at the end of the page: the kernel's
/// (`HIBERNATE_SIG` in kernel/power/swap.c), and those of userland implementations that libblkid
/// knows (libblkid/src/superblocks/swap.c).
const AT_THE_END: [&[u8]; 4] = [b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001"];

/// TuxOnIce leaves the swap area's signature alone and writes its own before it, at the start; its
/// older versions at the end.
const TUX_ON_ICE: &[u8] = b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c";

/// How many bytes the signature has at the end of the page.
const LENGTH: usize = 10;

/// Whether a first page is that of a hibernation image. A page that was cut short is not.
pub fn is_image(page: &[u8]) -> bool {
    let Some(at) = page.len().checked_sub(LENGTH) else {
        return false;
    };
    let end = &page[at..];
    page.starts_with(TUX_ON_ICE)
        || end.starts_with(TUX_ON_ICE)
        || AT_THE_END.iter().any(|signature| end.starts_with(signature))
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
