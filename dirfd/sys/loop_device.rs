//! Attaches an image file to a free loop device that goes away with its last user.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Where the kernel offers loop devices (`loop(4)`).
const CONTROL: &str = "/dev/loop-control";
/// Detach when the last descriptor or mount goes (`LO_FLAGS_AUTOCLEAR`, `linux/loop.h`).
const AUTOCLEAR: u32 = 4;
/// Others take free devices too; more lost races in a row than this mean something else is wrong.
const ATTEMPTS: usize = 64;

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

mod ioctl {

    //! The raw calls; the numbers are those of `linux/loop.h`.

    nix::ioctl_none_bad!(
        /// `LOOP_CTL_GET_FREE`: answers the number of a device that nobody uses.
        get_free,
        0x4C82
    );
    nix::ioctl_write_ptr_bad!(
        /// `LOOP_CONFIGURE`: backing file and flags in one step (Linux 5.8).
        configure,
        0x4C0A,
        super::Config
    );
}

/// A loop device with an image attached. It is detached when this and every mount of it are gone,
/// also when the process is killed.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    fd: File,
}

impl LoopDevice {
    /// Attaches `image`, open for reading and writing; it may have no name any more.
    pub fn attach(image: BorrowedFd<'_>) -> io::Result<Self> {
        let config = Config {
            fd: image.as_raw_fd().cast_unsigned(),
            block_size: 0,
            info: Info {
                device: 0,
                inode: 0,
                rdevice: 0,
                offset: 0,
                size_limit: 0,
                number: 0,
                encrypt_type: 0,
                encrypt_key_size: 0,
                flags: AUTOCLEAR,
                file_name: [0; 64],
                crypt_name: [0; 64],
                encrypt_key: [0; 32],
                init: [0; 2],
            },
            reserved: [0; 8],
        };
        for _ in 0..ATTEMPTS {
            let device = Self::free()?;
            // SAFETY: `configure` reads one `Config`, which has the layout of `struct loop_config`
            // and lives until the call returns; both descriptors are open for that long.
            match unsafe { ioctl::configure(device.fd.as_raw_fd(), &raw const config) } {
                Ok(_) => return Ok(device),
                Err(nix::Error::EBUSY) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::other("others took every free loop device first"))
    }

    /// Whether a device could be attached now.
    pub fn probe() -> io::Result<()> {
        Self::free().map(drop)
    }

    /// The device node.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A device that was free a moment ago.
    fn free() -> io::Result<Self> {
        let control = open_device(Path::new(CONTROL))?;
        // SAFETY: the call takes no argument and `control` is open.
        let number = unsafe { ioctl::get_free(control.as_raw_fd()) }?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        Ok(Self { fd: open_device(&path)?, path })
    }
}

impl AsFd for LoopDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn open_device(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_size_of_the_kernels() {
        assert_eq!(size_of::<Info>(), 232);
        assert_eq!(size_of::<Config>(), 304);
    }
}
