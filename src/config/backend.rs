//! Opens the backend that the configuration names. Together with `[root]` and the search for it,
//! the only room in `src/` that knows backends by name.

use std::path::Path;

#[cfg(not(all(feature = "btrfs", feature = "zfs")))]
use backends::Error;
use backends::directory::Directory;
use backends::lock::patiently;
use backends::tmpfs::Tmpfs;
use backends::{Backend, Layout, LockedBackend, Result};

use super::Config;
use super::root::RootConfig;

impl Config {
    /// Opens what `[root]` names, for reading. `root` is where live is mounted, which matters only
    /// to a file system that has no other name.
    pub fn open_backend(&self, root: &Path) -> Result<Box<dyn Backend>> {
        self.root.open(root)
    }

    /// Opens the same for changes, under the lock, and does `work` with it; `waiting` is called if it
    /// has to wait for the lock.
    pub fn with_lock<T>(
        &self,
        root: &Path,
        waiting: impl FnOnce(),
        work: impl FnOnce(&mut dyn LockedBackend) -> Result<T>,
    ) -> Result<T> {
        match &self.root {
            #[cfg(feature = "btrfs")]
            RootConfig::Btrfs { device, layout } => {
                let lock = || backends::btrfs::lock(device, layout);
                work(&mut patiently(lock, waiting)?)
            }
            other => {
                let backend = other.open(root)?;
                work(patiently(|| backend.lock(), waiting)?.as_mut())
            }
        }
    }
}

impl RootConfig {
    /// The same without the rest of the configuration.
    pub fn open(&self, root: &Path) -> Result<Box<dyn Backend>> {
        match self {
            Self::Btrfs { device, layout } => open_btrfs(device, layout.clone()),
            Self::Zfs { dataset, layout } => open_zfs(dataset, layout.clone()),
            Self::Tmpfs => Ok(Box::new(Tmpfs::open(root)?)),
            Self::Directory { path, layout } => {
                Ok(Box::new(Directory::open(path, layout.clone())?))
            }
        }
    }
}

#[cfg(feature = "btrfs")]
fn open_btrfs(device: &Path, layout: Layout) -> Result<Box<dyn Backend>> {
    Ok(Box::new(backends::btrfs::Btrfs::open(device, layout)?))
}

#[cfg(not(feature = "btrfs"))]
fn open_btrfs(_device: &Path, _layout: Layout) -> Result<Box<dyn Backend>> {
    Err(not_built_in("btrfs").mend("build blankroot with the feature `btrfs`"))
}

#[cfg(feature = "zfs")]
fn open_zfs(dataset: &str, layout: Layout) -> Result<Box<dyn Backend>> {
    Ok(Box::new(backends::zfs::Zfs::open(dataset, layout)?))
}

#[cfg(not(feature = "zfs"))]
fn open_zfs(_dataset: &str, _layout: Layout) -> Result<Box<dyn Backend>> {
    Err(not_built_in("zfs").mend("install `blankroot-zfs`, or use another backend"))
}

#[cfg(not(all(feature = "btrfs", feature = "zfs")))]
fn not_built_in(backend: &str) -> Error {
    Error::new(format!("open the backend {backend}"), format!("this build has no {backend}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "zfs"))]
    #[test]
    fn a_backend_that_is_not_built_in_says_so() {
        let text = b"[root]\nbackend = \"zfs\"\ndataset = \"tank/root\"\n";
        let config = Config::parse(Path::new("f"), text).unwrap();
        let error = config.open_backend(Path::new("/nowhere")).err().unwrap().to_string();
        assert!(error.starts_with("cannot open the backend zfs: this build has no zfs"), "{error}");
    }

    #[test]
    fn a_directory_is_opened_by_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("[root]\nbackend = \"directory\"\npath = \"{}\"", dir.path().display());
        let config = Config::parse(Path::new("f"), text.as_bytes()).unwrap();
        assert!(config.open_backend(Path::new("/nowhere")).is_ok());
    }
}
