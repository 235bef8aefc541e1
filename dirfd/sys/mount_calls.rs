//! Mount namespaces one after the other, and their mounts by number: `NS_MNT_GET_NEXT`
//! (`linux/nsfs.h`, Linux 6.12), `listmount(2)` and `statmount(2)` (`linux/mount.h`).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc::{self, c_long, syscall};

mod raw {

    nix::ioctl_read!(info, 0xb7, 10, super::RawNamespace);
    nix::ioctl_read!(next, 0xb7, 11, super::RawNamespace);
    nix::ioctl_read!(previous, 0xb7, 12, super::RawNamespace);
}

/// `statmount` and `listmount`, which have these numbers on most processors; elsewhere, what calls
/// them is told that the kernel lacks them.
const CALLS: Option<(c_long, c_long)> =
    if cfg!(any(target_arch = "mips", target_arch = "mips64", target_abi = "x32")) {
        None
    } else {
        Some((457, 458))
    };

/// Where the walk goes: the kernel keeps all namespaces in one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To those that were made later.
    Next,
    /// To those that were made earlier.
    Previous,
}

/// A mount namespace, kept alive by an open descriptor.
#[derive(Debug)]
pub struct MountNamespace {
    fd: OwnedFd,
    /// The number that no other namespace ever has.
    id: u64,
}

/// What `statmount` tells of every mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountFacts {
    /// The mount's number in mount tables, where numbers are used again.
    pub table_id: u64,
    /// The mount that it is mounted on; the topmost one of a namespace is on itself.
    pub parent: u64,
    /// Major and minor number of the file system's device, as mount tables have it.
    pub dev: (u32, u32),
    /// The kind of file system (`linux/magic.h`).
    pub magic: u64,
}

/// What takes a look at the file system itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountText {
    /// Where it is mounted, from the root of its namespace.
    pub mount_point: Vec<u8>,
    /// The file system's own options.
    pub options: Vec<u8>,
}

#[repr(C)]
#[derive(Default)]
struct RawNamespace {
    size: u32,
    mounts: u32,
    id: u64,
}

#[repr(C)]
struct RawRequest {
    size: u32,
    spare: u32,
    mount: u64,
    param: u64,
    namespace: u64,
}

const _: () = {
    assert!(size_of::<RawNamespace>() == 16, "the ioctls' numbers contain its size");
    assert!(size_of::<RawRequest>() == 32, "its first field is MNT_ID_REQ_SIZE_VER1");
};

/// Bytes of `struct statmount` before its strings.
const HEAD: usize = 512;
/// Room for two paths in which every byte is escaped.
const STRINGS: usize = 32 << 10;

/// What may be asked for, and told (`STATMOUNT_*`).
const SUPER_BASIC: u64 = 1;
const MOUNT_BASIC: u64 = 2;
const MOUNT_POINT: u64 = 0x10;
const OPTIONS: u64 = 0x80;

/// Where in `struct statmount` is what.
mod at {

    pub const OPTIONS: usize = 4;
    pub const MASK: usize = 8;
    pub const DEVICE: usize = 16;
    pub const MAGIC: usize = 24;
    pub const PARENT: usize = 48;
    pub const TABLE_ID: usize = 56;
    pub const MOUNT_POINT: usize = 108;
}

impl MountNamespace {
    /// The one that `fd`, an open `/proc/PID/ns/mnt`, stands for.
    pub fn of(fd: OwnedFd) -> io::Result<Self> {
        let mut told = RawNamespace::default();
        // SAFETY: the kernel writes at most the size that the ioctl's number carries, that of `told`.
        unsafe { raw::info(fd.as_raw_fd(), &raw mut told) }?;
        Ok(Self { fd, id: told.id })
    }

    /// How many mounts are in it at this moment, but for its topmost one.
    pub fn count(&self) -> io::Result<usize> {
        let mut told = RawNamespace::default();
        // SAFETY: as above.
        unsafe { raw::info(self.fd.as_raw_fd(), &raw mut told) }?;
        Ok(told.mounts as usize)
    }

    /// The nearest one in that direction in which we have `CAP_SYS_ADMIN`; `None` where the list
    /// ends. An error where we may not see those of others.
    pub fn neighbour(&self, direction: Direction) -> io::Result<Option<Self>> {
        let mut told = RawNamespace::default();
        let fd = self.fd.as_fd().as_raw_fd();
        // SAFETY: the kernel writes at most the size that the ioctl's number carries, that of `told`.
        let opened: Result<RawFd, Errno> = unsafe {
            match direction {
                Direction::Next => raw::next(fd, &raw mut told),
                Direction::Previous => raw::previous(fd, &raw mut told),
            }
        };
        match opened {
            Ok(fd) => {
                // SAFETY: the call has just made this descriptor, and nobody else knows of it.
                let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                Ok(Some(Self { fd, id: told.id }))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// One mount of this namespace.
    pub fn any(&self) -> io::Result<u64> {
        const BELOW_ROOT: u64 = u64::MAX;
        let mut place = [0];
        match self.list_into(BELOW_ROOT, 0, &mut place)? {
            0 => Err(Errno::ENOENT.into()),
            _ => Ok(place[0]),
        }
    }

    /// The mounts below mount `top`, covered ones too, but not `top` itself. `go_on` is asked between
    /// two calls, and its error ends the list.
    pub fn below(&self, top: u64, go_on: impl Fn() -> io::Result<()>) -> io::Result<Vec<u64>> {
        const AT_ONCE: usize = 256;
        let mut found = Vec::new();
        loop {
            let mut place = [0; AT_ONCE];
            let count = self.list_into(top, found.last().copied().unwrap_or(0), &mut place)?;
            found.extend_from_slice(place.get(..count).unwrap_or(&place));
            if count < AT_ONCE {
                return Ok(found);
            }
            go_on()?;
        }
    }

    /// How many numbers were written to `place`: those of mounts below `top` after `last`.
    fn list_into(&self, top: u64, last: u64, place: &mut [u64]) -> io::Result<usize> {
        let (_, list) = CALLS.ok_or(Errno::ENOSYS)?;
        let request = self.request(top, last);
        let none: c_long = 0;
        // SAFETY: the kernel reads `request`, whose size is in it, and writes at most as many
        // numbers as `place` has.
        let count =
            unsafe { syscall(list, &raw const request, place.as_mut_ptr(), place.len(), none) };
        Ok(usize::try_from(Errno::result(count)?).unwrap_or(0))
    }

    /// What there is to know of `mount` without a look at its file system; `None` if it is gone.
    pub fn facts(&self, mount: u64) -> io::Result<Option<MountFacts>> {
        let mut answer = [0; HEAD];
        if !self.ask(mount, SUPER_BASIC | MOUNT_BASIC, &mut answer)? {
            return Ok(None);
        }
        expect_mask(&answer, SUPER_BASIC | MOUNT_BASIC)?;
        Ok(Some(MountFacts {
            table_id: u32_at(&answer, at::TABLE_ID).into(),
            parent: u64_at(&answer, at::PARENT),
            dev: (u32_at(&answer, at::DEVICE), u32_at(&answer, at::DEVICE + 4)),
            magic: u64_at(&answer, at::MAGIC),
        }))
    }

    /// Where `mount` is and with which options; `None` if it is gone.
    pub fn text(&self, mount: u64) -> io::Result<Option<MountText>> {
        let mut answer = vec![0; HEAD + STRINGS];
        if !self.ask(mount, MOUNT_POINT | OPTIONS, &mut answer)? {
            return Ok(None);
        }
        expect_mask(&answer, MOUNT_POINT)?;
        let text = |at| string_at(&answer, u32_at(&answer, at)).ok_or(Errno::EPROTO);
        // A file system without options of its own has no string for them.
        let has_options = u64_at(&answer, at::MASK) & OPTIONS != 0;
        let options = if has_options { text(at::OPTIONS)? } else { Vec::new() };
        Ok(Some(MountText { mount_point: text(at::MOUNT_POINT)?, options }))
    }

    /// Asks for what is `wanted`; `false` if the mount is gone.
    fn ask(&self, mount: u64, wanted: u64, answer: &mut [u8]) -> io::Result<bool> {
        let (stat, _) = CALLS.ok_or(Errno::ENOSYS)?;
        let request = self.request(mount, wanted);
        let none: c_long = 0;
        // SAFETY: the kernel reads `request`, whose size is in it, and writes at most as many bytes
        // as `answer` has.
        let done =
            unsafe { syscall(stat, &raw const request, answer.as_mut_ptr(), answer.len(), none) };
        match Errno::result(done) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn request(&self, mount: u64, param: u64) -> RawRequest {
        RawRequest { size: 32, spare: 0, mount, param, namespace: self.id }
    }
}

/// An error unless the kernel told what was wanted.
fn expect_mask(answer: &[u8], wanted: u64) -> io::Result<()> {
    if u64_at(answer, at::MASK) & wanted == wanted { Ok(()) } else { Err(Errno::EPROTO.into()) }
}

fn u32_at(answer: &[u8], at: usize) -> u32 {
    let bytes = answer.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn u64_at(answer: &[u8], at: usize) -> u64 {
    let bytes = answer.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

/// The string that starts at an offset behind the head, and ends with a zero byte.
fn string_at(answer: &[u8], at: u32) -> Option<Vec<u8>> {
    let rest = answer.get(HEAD..)?.get(usize::try_from(at).ok()?..)?;
    let end = rest.iter().position(|&b| b == 0)?;
    Some(rest[..end].to_vec())
}

// Sets what one mount allows, without touching other mounts of its file system (`mount_setattr(2)`,
// Linux 5.12).

/// The `MOUNT_ATTR_…` bits of `linux/mount.h` to set and to clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Bits to set.
    pub set: u64,
    /// Bits to clear; done before the others are set.
    pub clear: u64,
}

/// Changes the attributes of the mount whose root is open as `mount`.
pub fn set_mount_attributes(mount: BorrowedFd<'_>, attributes: Attributes) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: attributes.set,
        attr_clr: attributes.clear,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a C string, `attr` has the layout of `struct mount_attr` and lives until
    // the call returns, and its size is handed over with it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn strings_end_at_their_zero_and_never_beyond_the_answer() {
        let answer = [&[b'x'; HEAD][..], b"ab\0c\0d"].concat();
        let text = |at| string_at(&answer, at);
        assert_eq!((text(0), text(3)), (Some(b"ab".to_vec()), Some(b"c".to_vec())));
        assert_eq!((text(2), text(5), text(7)), (Some(Vec::new()), None, None));
        assert_eq!((string_at(b"", 0), text(u32::MAX)), (None, None));
        assert_eq!((u32_at(&[1, 0, 0, 0, 9], 0), u32_at(&[1, 0, 0], 0)), (1u32.to_le(), 0));
    }

    #[test]
    fn our_own_namespace_has_its_topmost_mount_and_all_below_it() {
        let own = File::open("/proc/thread-self/ns/mnt").unwrap();
        let Ok(own) = MountNamespace::of(own.into()) else {
            eprintln!("skipped: this kernel does not list mount namespaces");
            return;
        };
        let some = own.any().unwrap();
        let facts = own.facts(some).unwrap().unwrap();
        assert!(own.text(some).unwrap().unwrap().mount_point.starts_with(b"/"));
        assert!(facts.table_id > 0 && facts.magic > 0);
        assert_eq!(own.facts(u64::MAX - 1).unwrap(), None);
        assert!(own.below(some, || Ok(())).is_ok());
    }
}
