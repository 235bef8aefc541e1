//! System calls that histories need and no library offers safely. Independent of production code,
//! which they test.

#![expect(unsafe_code, reason = "these calls exist in no safe form")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// `F_SETSIG` of `asm-generic/fcntl.h`.
const F_SETSIG: i32 = 10;

/// `struct btrfs_ioctl_vol_args` of `linux/btrfs.h`.
#[repr(C)]
struct Args {
    fd: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_vol_args_v2` of `linux/btrfs.h`.
#[repr(C)]
struct Args2 {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

/// `struct file_clone_range` of `linux/fs.h`.
#[repr(C)]
struct CloneRange {
    fd: i64,
    from: u64,
    len: u64,
    to: u64,
}

/// `BTRFS_SUBVOL_RDONLY`.
const READ_ONLY: u64 = 1 << 1;

mod ioctl {
    //! The raw calls; the numbers are those of `linux/fs.h` and `linux/btrfs.h`.

    nix::ioctl_write_ptr!(
        /// `FICLONERANGE`.
        ficlonerange,
        0x94,
        13,
        super::CloneRange
    );
    nix::ioctl_write_ptr!(
        /// `BTRFS_IOC_SUBVOL_CREATE`.
        subvol_create,
        0x94,
        14,
        super::Args
    );
    nix::ioctl_write_ptr!(
        /// `BTRFS_IOC_SNAP_DESTROY`.
        snap_destroy,
        0x94,
        15,
        super::Args
    );
    nix::ioctl_write_ptr!(
        /// `BTRFS_IOC_SNAP_CREATE_V2`.
        snap_create_v2,
        0x94,
        23,
        super::Args2
    );
}

/// Creates an empty subvolume at `path`.
pub fn create_subvolume(path: &Path) -> io::Result<()> {
    let (dir, args) = named(path)?;
    // SAFETY: reads one `Args`, which outlives the call and ends its name with a NUL.
    unsafe { ioctl::subvol_create(dir.as_raw_fd(), &raw const args) }?;
    Ok(())
}

/// Deletes the subvolume at `path`; not if there is another one in it.
pub fn delete_subvolume(path: &Path) -> io::Result<()> {
    let (dir, args) = named(path)?;
    // SAFETY: as above.
    unsafe { ioctl::snap_destroy(dir.as_raw_fd(), &raw const args) }?;
    Ok(())
}

/// Makes a snapshot of the subvolume `from` at `to`.
pub fn snapshot(from: &Path, to: &Path, read_only: bool) -> io::Result<()> {
    let (dir, named) = named(to)?;
    let source = File::open(from)?;
    let flags = if read_only { READ_ONLY } else { 0 };
    let fd = i64::from(source.as_raw_fd());
    let mut args = Args2 { fd, transid: 0, flags, unused: [0; 4], name: [0; 4040] };
    args.name.copy_from_slice(&named.name[..4040]);
    // SAFETY: reads one `Args2`, which outlives the call, as `source` does; a name has at most 255
    // bytes, so it ends with a NUL.
    unsafe { ioctl::snap_create_v2(dir.as_raw_fd(), &raw const args) }?;
    Ok(())
}

/// Makes `len` bytes of `to` share their extents with those of `from` (`FICLONERANGE`).
pub fn clone_range(from: &File, to: &File, from_at: u64, to_at: u64, len: u64) -> io::Result<()> {
    let args = CloneRange { fd: from.as_raw_fd().into(), from: from_at, len, to: to_at };
    // SAFETY: reads one `CloneRange`, which outlives the call, as both files do.
    unsafe { ioctl::ficlonerange(to.as_raw_fd(), &raw const args) }?;
    Ok(())
}

/// Takes a lease for writing on a file that nobody else has open (`F_SETLEASE`, fcntl(2)).
pub fn lease_for_writing(file: &File) -> io::Result<()> {
    // Who opens it makes the kernel send a signal, which by default is one that ends the process.
    let commands = [(F_SETSIG, nix::libc::SIGCHLD), (nix::libc::F_SETLEASE, nix::libc::F_WRLCK)];
    for (command, value) in commands {
        // SAFETY: takes numbers and touches no memory.
        if unsafe { nix::libc::fcntl(file.as_raw_fd(), command, value) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The directory that holds `path`, and its last component as an argument.
fn named(path: &Path) -> io::Result<(File, Args)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let name = name.as_bytes();
    let mut args = Args { fd: 0, name: [0; 4088] };
    args.name[..name.len()].copy_from_slice(name);
    Ok((File::open(parent)?, args))
}

/// Writes `bytes` at offset `at`, within the file's size, through a shared mapping.
pub fn write_mapped(file: &File, at: usize, bytes: &[u8]) -> io::Result<()> {
    let size = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    if bytes.is_empty() || at + bytes.len() > size {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file: BorrowedFd<'_> = std::os::fd::AsFd::as_fd(file);
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, wherever the kernel likes.
    let map = unsafe { mmap(ptr::null_mut(), size, protection, MapFlags::SHARED, file, 0) }?;
    // SAFETY: `at + bytes.len()` is within the mapping, and nobody shrinks the file meanwhile.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), map.cast::<u8>().add(at), bytes.len()) };
    // SAFETY: the whole mapping, to which no reference is left.
    unsafe { munmap(map.cast::<c_void>(), size) }?;
    Ok(())
}
