//! Six calls of `/dev/zfs`: the identity of a dataset, another name for it, a snapshot that goes with its
//! maker, the kernel's own list of what was written between two snapshots, and the delegations of a dataset,
//! read and set.
//!
//! Their argument is `zfs_cmd_t` of `include/sys/zfs_ioctl.h`, which ZFS shares with its own programs
//! alone. Its layout was compared in the sources of every release from 2.1.0 to 2.4.4: it is the same in
//! all but 2.3.1, so only with those is the door opened.

use std::fs::File;
use std::io::{self, PipeWriter, Read};
use std::mem::{offset_of, size_of};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;

use dirfd::atomic_file;
use nix::libc;

/// `ZFS_IOC_OBJSET_STATS` of `include/sys/fs/zfs.h`.
const OBJSET_STATS: libc::Ioctl = 0x5a12;
/// `ZFS_IOC_RENAME`.
const RENAME: libc::Ioctl = 0x5a1a;
/// `ZFS_IOC_SET_FSACL`.
const SET_FSACL: libc::Ioctl = 0x5a28;
/// `ZFS_IOC_GET_FSACL`.
const GET_FSACL: libc::Ioctl = 0x5a29;
/// `ZFS_IOC_DIFF`.
const DIFF: libc::Ioctl = 0x5a36;
/// `ZFS_IOC_TMP_SNAPSHOT`.
const TMP_SNAPSHOT: libc::Ioctl = 0x5a37;

/// `MAXPATHLEN` on Linux.
const PATH: usize = 4096;
/// `sizeof (zfs_cmd_t)`.
const SIZE: usize = 13_744;
/// What is handed over. Should a kernel's structure be longer after all, it is still within.
const ROOM: usize = 32_768;

/// The fields of `zfs_cmd_t` that are used here; the kernel ignores the others for these calls, or takes
/// zeros for "none".
#[repr(C)]
struct Command {
    name: [u8; PATH],
    source: u64,
    source_size: u64,
    destination: u64,
    destination_size: u64,
    before_value: [u64; 2],
    value: [u8; 2 * PATH],
    string: [u8; 256],
    before_cookie: [u64; 3],
    cookie: u64,
    before_stats: [u64; 12],
    guid: u64,
    before_cleanup: [u8; 936],
    cleanup_fd: i32,
    behind: [u8; ROOM - 13_668],
}

const _: () = assert!(size_of::<Command>() == ROOM && ROOM > SIZE);
const _: () = assert!(offset_of!(Command, value) == 4144, "zc_value");
const _: () = assert!(offset_of!(Command, cookie) == 12_616, "zc_cookie");
const _: () = assert!(offset_of!(Command, destination_size) == 4120, "zc_nvlist_dst_size");
const _: () = assert!(offset_of!(Command, guid) == 12_720, "zc_objset_stats.dds_guid");
const _: () = assert!(offset_of!(Command, cleanup_fd) == 13_664, "zc_cleanup_fd");

impl Command {
    fn new(name: &str) -> io::Result<Box<Self>> {
        // On the heap: a thread's stack has better uses.
        let mut command = Box::new(Self {
            name: [0; PATH],
            source: 0,
            source_size: 0,
            destination: 0,
            destination_size: 0,
            before_value: [0; 2],
            value: [0; 2 * PATH],
            string: [0; 256],
            before_cookie: [0; 3],
            cookie: 0,
            before_stats: [0; 12],
            guid: 0,
            before_cleanup: [0; 936],
            cleanup_fd: 0,
            behind: [0; ROOM - 13_668],
        });
        put(&mut command.name, name)?;
        Ok(command)
    }
}

/// Memory that a call reads or writes beside its structure.
enum Buffer<'a> {
    None,
    Read(&'a [u8]),
    Write(&'a mut [u8]),
}

/// Maximum size of packed delegations, in bytes.
const MAX_DELEGATIONS: usize = 4 << 20;

/// Writes a text that ends with a NUL.
fn put(field: &mut [u8], text: &str) -> io::Result<()> {
    if text.len() >= field.len() || text.contains('\0') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    field[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

/// The kernel's door to all pools.
#[derive(Debug)]
pub struct Door {
    file: File,
}

/// Why the door stays closed.
#[derive(Debug)]
pub enum Closed {
    /// The module is of a release whose structures were not compared; its version, as it tells it.
    Unknown(String),
    /// It could not be opened.
    Failed(io::Error),
}

impl Door {
    /// Opens it where the layout of its calls is known.
    pub fn open() -> Result<Self, Closed> {
        let version =
            atomic_file::read_path(Path::new("/sys/module/zfs/version"), atomic_file::MAX_OWN)
                .and_then(|text| String::from_utf8(text).map_err(io::Error::other))
                .map_err(Closed::Failed)?;
        let version = version.trim();
        if !is_known(version) || !cfg!(target_pointer_width = "64") {
            return Err(Closed::Unknown(version.to_string()));
        }
        let file = File::options().read(true).write(true).open("/dev/zfs");
        file.map(|file| Self { file }).map_err(Closed::Failed)
    }

    /// The identity of a dataset or of a snapshot.
    pub fn guid(&self, name: &str) -> io::Result<u64> {
        let mut command = Command::new(name)?;
        self.call(OBJSET_STATS, &mut command)?;
        Ok(command.guid)
    }

    /// Gives a dataset another name, as `lzc_rename` of libzfs_core does; what is mounted stays mounted.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut command = Command::new(from)?;
        put(&mut command.value, to)?;
        self.call(RENAME, &mut command)
    }

    /// The delegations of a dataset and of each above it, as a packed list (`dsl_deleg_get` of
    /// module/zfs/dsl_deleg.c).
    pub fn delegations(&self, dataset: &str) -> io::Result<Vec<u8>> {
        let mut packed = vec![0; 64 << 10];
        loop {
            let mut command = Command::new(dataset)?;
            let called = self.call_with(GET_FSACL, &mut command, Buffer::Write(&mut packed));
            let size = usize::try_from(command.destination_size).unwrap_or(usize::MAX);
            match called {
                Err(why) if why.kind() == io::ErrorKind::OutOfMemory => {
                    if size <= packed.len() || size > MAX_DELEGATIONS {
                        return Err(why);
                    }
                    packed.resize(size, 0);
                }
                called => {
                    called?;
                    packed.truncate(size);
                    return Ok(packed);
                }
            }
        }
    }

    /// Delegates on a dataset what the packed list tells of it alone, beside what is delegated already.
    pub fn delegate(&self, dataset: &str, packed: &[u8]) -> io::Result<()> {
        let mut command = Command::new(dataset)?;
        self.call_with(SET_FSACL, &mut command, Buffer::Read(packed))
    }

    /// Makes a snapshot of a dataset, whose name starts with `prefix`, and returns that name, which
    /// follows the `@`. The kernel destroys it when the door is closed, which the end of this process does
    /// too; only what is mounted by then stays until the pool is imported again.
    pub fn temporary_snapshot(&self, dataset: &str, prefix: &str) -> io::Result<String> {
        let mut command = Command::new(dataset)?;
        put(&mut command.value, prefix)?;
        command.cleanup_fd = self.file.as_raw_fd();
        self.call(TMP_SNAPSHOT, &mut command)?;
        let name: Vec<u8> = command.value.iter().copied().take_while(|&byte| byte != 0).collect();
        String::from_utf8(name).map_err(io::Error::other)
    }

    /// What the kernel tells of the objects whose blocks of dnodes were written in the snapshot `to` since
    /// the snapshot `from`: records of `dmu_diff_record_t`. `EXDEV` if the one does not stem from the other.
    pub fn diff(&self, from: &str, to: &str) -> io::Result<Vec<u8>> {
        let mut command = Command::new(to)?;
        put(&mut command.value, from)?;
        let (mut reader, writer) = io::pipe()?;
        thread::scope(|scope| {
            let reading = thread::Builder::new().spawn_scoped(scope, move || {
                let mut records = Vec::new();
                reader.read_to_end(&mut records).map(|_| records)
            })?;
            let called = self.diff_into(writer, &mut command);
            let records = reading.join().map_err(|_| io::Error::other("the reader ended"))?;
            called.and(records)
        })
    }

    /// The writer is closed behind it, so that who reads sees an end.
    fn diff_into(&self, writer: PipeWriter, command: &mut Command) -> io::Result<()> {
        command.cookie = writer.as_raw_fd().try_into().map_err(io::Error::other)?;
        self.call(DIFF, command)
    }

    fn call(&self, number: libc::Ioctl, command: &mut Command) -> io::Result<()> {
        self.call_with(number, command, Buffer::None)
    }

    fn call_with(
        &self,
        number: libc::Ioctl,
        command: &mut Command,
        buffer: Buffer<'_>,
    ) -> io::Result<()> {
        match buffer {
            Buffer::None => {}
            Buffer::Read(bytes) => {
                command.source = bytes.as_ptr().expose_provenance() as u64;
                command.source_size = bytes.len() as u64;
            }
            Buffer::Write(bytes) => {
                command.destination = bytes.as_mut_ptr().expose_provenance() as u64;
                command.destination_size = bytes.len() as u64;
            }
        }
        let command: *mut Command = command;
        // SAFETY: the kernel reads and writes one `zfs_cmd_t` at `command`, which is exclusively borrowed
        // and longer than that; all bytes of all its fields are valid whatever is written. Of its pointers
        // all are zero but those to `buffer`, which is borrowed until the call has returned, exclusively
        // where it is written, and of which the length is told.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), number, command) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Whether the layout of the calls is known of this version of the module, as in `2.3.2-2` or
/// `2.2.2-0ubuntu9`.
fn is_known(version: &str) -> bool {
    let (release, rest) = version.split_once('-').unwrap_or((version, ""));
    let numbers: Result<Vec<u32>, _> = release.split('.').map(str::parse).collect();
    match numbers.as_deref() {
        // Its `zinject_record_t` is 16 bytes longer, and so all behind it is elsewhere.
        Ok([2, 3, 1]) => false,
        // 99 is what comes before the next series, and changes every day.
        Ok([2, 1..=4, patch]) => *patch < 99 && !rest.starts_with("rc"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_releases_that_were_compared_are_known() {
        for known in ["2.1.0-1", "2.1.11-1+deb12u1", "2.2.2-0ubuntu9.4", "2.3.9-1", "2.4.4"] {
            assert!(is_known(known), "{known}");
        }
        for unknown in ["2.3.1-1ubuntu2", "2.0.7", "2.5.0-1", "2.4.0-rc2", "2.3.99-12_g1", "", "x"]
        {
            assert!(!is_known(unknown), "{unknown}");
        }
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        assert!(Command::new(&"x".repeat(PATH)).is_err());
        assert!(Command::new("a\0b").is_err());
        assert_eq!(&Command::new("pool").unwrap().name[..5], b"pool\0");
    }
}
