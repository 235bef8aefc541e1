//! Speaks to `/dev/btrfs-control` of the devices that the kernel knows as parts of Btrfs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// `BTRFS_PATH_NAME_MAX` and the terminating NUL, `linux/btrfs.h`.
const NAME_SIZE: usize = 4088;

/// `struct btrfs_ioctl_vol_args` of `linux/btrfs.h`.
#[repr(C)]
struct VolumeArgs {
    fd: i64,
    name: [u8; NAME_SIZE],
}

mod ioctl {
    //! The raw call; the number is that of `linux/btrfs.h`.

    nix::ioctl_write_ptr!(
        /// `BTRFS_IOC_SCAN_DEV`.
        scan_dev,
        0x94,
        4,
        super::VolumeArgs
    );
    nix::ioctl_write_ptr!(
        /// `BTRFS_IOC_FORGET_DEV` (Linux 5.4).
        forget_dev,
        0x94,
        5,
        super::VolumeArgs
    );
}

/// Makes the kernel forget a device that was part of a file system and is not mounted; `EBUSY` if
/// it is.
pub fn forget(device: &Path) -> io::Result<()> {
    let (control, args) = call_about(device)?;
    // SAFETY: the call reads one `VolumeArgs`, which has the layout of `struct
    // btrfs_ioctl_vol_args`, ends its name with a NUL and lives until the call returns.
    unsafe { ioctl::forget_dev(control.as_raw_fd(), &raw const args) }?;
    Ok(())
}

/// Tells the kernel that `device` may be part of a Btrfs file system; an error if it is none.
pub fn scan(device: &Path) -> io::Result<()> {
    let (control, args) = call_about(device)?;
    // SAFETY: as in `forget`.
    unsafe { ioctl::scan_dev(control.as_raw_fd(), &raw const args) }?;
    Ok(())
}

fn call_about(device: &Path) -> io::Result<(File, VolumeArgs)> {
    let bytes = device.as_os_str().as_encoded_bytes();
    let mut args = VolumeArgs { fd: 0, name: [0; NAME_SIZE] };
    // To forget an empty name would mean every device of the machine.
    match args.name.get_mut(..bytes.len()) {
        Some(name) if !bytes.is_empty() && bytes.len() < NAME_SIZE => name.copy_from_slice(bytes),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    let control = OpenOptions::new().read(true).write(true).open("/dev/btrfs-control")?;
    Ok((control, args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_has_the_size_of_the_kernels() {
        assert_eq!(std::mem::size_of::<VolumeArgs>(), 4096);
    }

    #[test]
    fn no_name_is_refused_before_the_kernel_is_asked() {
        assert_eq!(forget(Path::new("")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
