//! Throwaway file systems for tests and for `demo`: on nameless images behind loop devices, so that
//! nothing is left of them when the process ends, however it ends.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::{env, io};

use backends::sys::btrfs_control;
use dirfd::error::describe;
use dirfd::fault::change;
use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use dirfd::process::Program;
use dirfd::sys::loop_device::LoopDevice;
use dirfd::{Error, Result, TreeName};
use rustix::fs::{SeekFrom, copy_file_range, seek};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, fsopen};

/// Makes Btrfs file systems.
const MKFS_BTRFS: Program = Program::new("mkfs.btrfs", "btrfs-progs");

/// The label of every throwaway file system.
pub const LABEL: &str = "blankroot-throwaway";

/// With a long commit interval the disk holds what somebody made durable and no more, so that a
/// copy of the image is the state after a power cut, not the luck of a timer.
const OPTIONS: &str = "commit=300";

/// A file system that is gone when this, its mounts and the views of it are.
#[derive(Debug)]
pub struct Throwaway {
    /// Attached to `images` in the same order. Dropped first.
    devices: Vec<LoopDevice>,
    images: Vec<Image>,
    dir: PathBuf,
}

impl Throwaway {
    /// Why there can be no throwaway file system here; `None` if there can. The text completes
    /// "…, because …".
    pub fn unavailable() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("this is not run as root".into());
        }
        if let Err(error) = LoopDevice::probe() {
            return Some(format!("there is no loop device to be had: {}", describe(&error)));
        }
        // Also loads the module.
        if let Err(error) = fsopen("btrfs", FsOpenFlags::FSOPEN_CLOEXEC) {
            return Some(format!("the kernel offers no btrfs: {}", describe(&error.into())));
        }
        MKFS_BTRFS
            .find()
            .is_none()
            .then(|| "mkfs.btrfs is not installed (package btrfs-progs)".into())
    }

    /// An empty Btrfs on `devices` disks of `size` bytes each, held by the temporary directory's
    /// file system. Takes disk space only as it fills. Btrfs wants 109 MiB at the least.
    pub fn btrfs(size: u64, devices: usize) -> Result<Self> {
        Self::btrfs_in(&env::temp_dir(), size, devices)
    }

    /// The same, held by the file system of the directory `dir`.
    pub fn btrfs_in(dir: &Path, size: u64, devices: usize) -> Result<Self> {
        let images: io::Result<Vec<_>> = (0..devices).map(|_| Image::new(size, dir)).collect();
        let images = images.map_err(|e| Error::io(in_dir("create a disk image", dir), e))?;
        let made = Self::attach(images, dir)?;
        let options = ["--quiet", "--nodiscard", "--label", LABEL].map(OsStr::new);
        let args = options.into_iter().chain(made.devices().map(Path::as_os_str));
        // `change` speaks io::Error, which would lose the command's own words.
        change("throwaway: mkfs", || Ok(MKFS_BTRFS.run(args)))
            .map_err(|e| Error::io("make a throwaway file system", e))??;
        Ok(made)
    }

    /// The block device to name in a mount or a configuration: the first, if there are several.
    pub fn device(&self) -> &Path {
        self.devices.first().map(LoopDevice::path).unwrap_or_else(|| Path::new(""))
    }

    /// All block devices.
    pub fn devices(&self) -> impl Iterator<Item = &Path> {
        self.devices.iter().map(LoopDevice::path)
    }

    /// Mounts the tree, or the top level, at `dir`, where the current thread alone sees it.
    pub fn mount(
        &self,
        namespace: &PrivateNamespace,
        tree: Option<&TreeName>,
        dir: &Path,
    ) -> Result<MountPoint> {
        let mut options = OPTIONS.as_bytes().to_vec();
        for device in self.devices().skip(1) {
            options.extend_from_slice(b",device=");
            options.extend_from_slice(device.as_os_str().as_encoded_bytes());
        }
        match tree {
            // The kernel would take what follows the comma for an option of its own.
            Some(tree) if tree.as_bytes().contains(&b',') => {
                return Err(Error::new(format!("mount the tree {tree}"), "its name has a comma"));
            }
            Some(tree) => {
                options.extend_from_slice(b",subvol=");
                options.extend_from_slice(tree.as_bytes());
            }
            None => options.extend_from_slice(b",subvolid=5"),
        }
        namespace.mount(self.device(), "btrfs", dir, &options)
    }

    /// Copies the disks as they are now: the state that a power cut leaves. Nothing should write
    /// to the file system meanwhile.
    pub fn image_copy(&self) -> Result<PowerCut> {
        let images: io::Result<Vec<_>> = self.images.iter().map(|i| i.copy(&self.dir)).collect();
        let images = images.map_err(|e| Error::io(in_dir("copy a disk image", &self.dir), e))?;
        Ok(PowerCut { images, dir: self.dir.clone() })
    }

    fn attach(images: Vec<Image>, dir: &Path) -> Result<Self> {
        let devices: io::Result<Vec<_>> = images.iter().map(Image::attach).collect();
        let devices = devices.map_err(|e| Error::io("attach a disk image to a loop device", e))?;
        Ok(Self { devices, images, dir: dir.to_path_buf() })
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        for device in &self.devices {
            // The kernel remembers the devices of a file system that spans several, and would
            // refuse an older copy of them. Best effort: while it is mounted they are in use.
            let _ = change("throwaway: forget", || btrfs_control::forget(device.path()));
        }
    }
}

/// Copies of a throwaway's disks, not attached yet: two file systems with one identity cannot be
/// mounted together, so the original goes first.
#[derive(Debug)]
pub struct PowerCut {
    images: Vec<Image>,
    dir: PathBuf,
}

impl PowerCut {
    /// What the machine finds when the power is back. The original must be unmounted and dropped.
    pub fn attach(self) -> Result<Throwaway> {
        Throwaway::attach(self.images, &self.dir)
    }
}

fn in_dir(action: &str, dir: &Path) -> String {
    format!("{action} in {}", dirfd::path::Escaped::of_path(dir))
}

// Image files without a name: the disks of throwaway file systems, gone with their last user.

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
    use super::*;
    use std::fs;
    use std::os::unix::fs::{FileExt, MetadataExt};

    const SIZE: u64 = 256 << 20;

    /// Runs `story` in a thread of its own, since a namespace is a thread's; skips it where there
    /// can be no throwaway file system.
    fn in_sandbox(story: impl FnOnce(&PrivateNamespace, &Path) + Send + 'static) {
        if let Some(why) = Throwaway::unavailable() {
            assert!(std::env::var_os("BLANKROOT_REQUIRE_REAL").is_none(), "{why}");
            println!("SKIPPED: {why}");
            return;
        }
        let run = || {
            let namespace = PrivateNamespace::enter().unwrap();
            let dir = tempfile::tempdir().unwrap();
            story(&namespace, dir.path());
        };
        std::thread::spawn(run).join().unwrap();
    }

    fn mounts_here(dir: &Path) -> (bool, bool) {
        let seen = |file: &str| {
            let table = fs::read_to_string(file).unwrap();
            table.contains(&dir.display().to_string())
        };
        (seen("/proc/thread-self/mountinfo"), seen("/proc/self/mountinfo"))
    }

    fn backing(device: &Path) -> Option<String> {
        let name = device.file_name().unwrap().to_str().unwrap();
        fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).ok()
    }

    #[test]
    fn it_holds_files_and_the_machine_sees_neither_mount_nor_image() {
        in_sandbox(|namespace, dir| {
            let throwaway = Throwaway::btrfs(SIZE, 1).unwrap();
            let mount = throwaway.mount(namespace, None, dir).unwrap();
            fs::write(dir.join("a b\n"), "x").unwrap();
            assert_eq!(mounts_here(dir), (true, false));
            assert!(backing(throwaway.device()).unwrap().contains("(deleted)"));
            mount.unmount().unwrap();
            assert!(!dir.join("a b\n").exists());
        });
    }

    #[test]
    fn the_devices_go_with_the_last_user() {
        in_sandbox(|namespace, dir| {
            let throwaway = Throwaway::btrfs(SIZE, 1).unwrap();
            let mount = throwaway.mount(namespace, None, dir).unwrap();
            let device = throwaway.device().to_path_buf();
            let image = backing(&device);
            drop(throwaway);
            fs::write(dir.join("still there"), "x").unwrap();
            assert_eq!(backing(&device), image);
            mount.unmount().unwrap();
            // Where udev runs, it may look at the device for a moment longer.
            let started = std::time::Instant::now();
            while backing(&device) == image && started.elapsed().as_secs() < 10 {
                std::thread::yield_now();
            }
            assert_ne!(backing(&device), image);
        });
    }

    #[test]
    fn two_stand_side_by_side() {
        in_sandbox(|namespace, dir| {
            let first = Throwaway::btrfs(SIZE, 1).unwrap();
            let _mount = first.mount(namespace, None, dir).unwrap();
            let second = Throwaway::btrfs(SIZE, 1).unwrap();
            let other = tempfile::tempdir().unwrap();
            let _other = second.mount(namespace, None, other.path()).unwrap();
            fs::write(dir.join("x"), "x").unwrap();
            assert!(!other.path().join("x").exists());
        });
    }

    fn cut_the_power(devices: usize) {
        in_sandbox(move |namespace, dir| {
            let throwaway = Throwaway::btrfs(SIZE, devices).unwrap();
            assert_eq!(throwaway.devices().count(), devices);
            let mount = throwaway.mount(namespace, None, dir).unwrap();
            fs::write(dir.join("durable"), "x").unwrap();
            rustix::fs::syncfs(fs::File::open(dir).unwrap()).unwrap();
            fs::write(dir.join("not yet"), "x").unwrap();
            let cut = throwaway.image_copy().unwrap();
            mount.unmount().unwrap();
            drop(throwaway);

            let after = cut.attach().unwrap();
            let _mount = after.mount(namespace, None, dir).unwrap();
            assert_eq!(fs::read(dir.join("durable")).unwrap(), b"x");
            assert!(!dir.join("not yet").exists());
        });
    }

    #[test]
    fn a_power_cut_leaves_what_was_made_durable() {
        cut_the_power(1);
    }

    #[test]
    fn a_power_cut_hits_all_of_several_devices() {
        cut_the_power(2);
    }

    #[test]
    fn a_tree_is_mounted_by_its_name() {
        in_sandbox(|namespace, dir| {
            let throwaway = Throwaway::btrfs(SIZE, 1).unwrap();
            let missing = TreeName::new("no such tree").unwrap();
            let error = throwaway.mount(namespace, Some(&missing), dir).unwrap_err();
            assert!(error.to_string().ends_with("No such file or directory"), "{error}");
        });
    }

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
