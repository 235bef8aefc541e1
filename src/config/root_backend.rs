//! Opens the backend that the configuration names. Together with `[root]` and the search for it,
//! the only room in `src/` that knows backends by name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use backends::directory::Directory;
use backends::lock::patiently;
use backends::tmpfs::Tmpfs;
use backends::{Backend, Layout, LockedBackend};
use dirfd::mountinfo::{self, Mounted};
use dirfd::path::{Escaped, shell_word};
use dirfd::{Error, Result, TreeName};

use crate::config::Config;
use crate::config::root::{DEFAULT_BLANK, DEFAULT_OLD, RootConfig, default_zfs_blank};

impl Config {
    /// Opens what `[root]` names, for reading. `root` is where live is mounted, which matters only
    /// to a file system that has no other name.
    pub fn open_backend(&self, root: &Path) -> Result<Box<dyn Backend>> {
        self.root.open(root)
    }

    /// Opens the same for changes, under the lock, and does `work` with it; `waiting` is called if it
    /// has to wait for the lock.
    pub(crate) fn with_lock<T>(
        &self,
        root: &Path,
        waiting: impl FnOnce(),
        work: impl FnOnce(&mut LockedBackend<'_>) -> Result<T>,
    ) -> Result<T> {
        match &self.root {
            #[cfg(feature = "btrfs")]
            RootConfig::Btrfs { device, layout } => {
                let lock = || backends::btrfs::lock_layout(device, layout);
                work(&mut patiently(lock, waiting)?)
            }
            other => {
                let backend = other.open(root)?;
                work(&mut patiently(|| backend.lock(), waiting)?)
            }
        }
    }
}

impl RootConfig {
    /// The same without the rest of the configuration.
    pub(crate) fn open(&self, root: &Path) -> Result<Box<dyn Backend>> {
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
    Err(not_built_in("btrfs").hint("build blankroot with the feature `btrfs`"))
}

#[cfg(feature = "zfs")]
fn open_zfs(dataset: &str, layout: Layout) -> Result<Box<dyn Backend>> {
    Ok(Box::new(backends::zfs::Zfs::open(dataset, layout)?))
}

#[cfg(not(feature = "zfs"))]
fn open_zfs(_dataset: &str, _layout: Layout) -> Result<Box<dyn Backend>> {
    Err(not_built_in("zfs").hint("install `blankroot-zfs`, or use another backend"))
}

#[cfg(not(all(feature = "btrfs", feature = "zfs")))]
fn not_built_in(backend: &str) -> Error {
    Error::new(format!("open the backend {backend}"), format!("this build has no {backend}"))
}

/// What `[root]` would say of the tree that is mounted at `root`. Device names are looked up below
/// `host`.
///
/// Errors name what was found, and what can be done to have a root that can be rolled back.
pub fn detect_root(root: &Path, host: &Path) -> Result<RootConfig> {
    let found = mountinfo::at(root)?;
    match found.mount.fs_type.as_slice() {
        b"btrfs" => detect_btrfs(root, host, &found),
        b"zfs" => detect_zfs(root, &found.mount.source),
        b"tmpfs" => Ok(RootConfig::Tmpfs),
        other => Err(unsuitable_file_system(root, other)),
    }
}

fn detect_action(root: &Path) -> String {
    format!("find the root file system at {}", Escaped::of_path(root))
}

fn unsuitable_file_system(root: &Path, fs_type: &[u8]) -> Error {
    let what = format!("its type is {}, which has no snapshots", Escaped(fs_type));
    match fs_type {
        b"overlay" => Error::new(detect_action(root), "it is an overlay: of a container or a live medium")
            .hint("name the mounted root of the machine itself with `--root DIR`"),
        b"ext2" | b"ext3" | b"ext4" | b"xfs" | b"f2fs" => Error::new(detect_action(root), what).hint(
            "move the root to Btrfs (btrfs-convert(8) does it in place for ext4), or use a tmpfs as \
             the root; `backend = \"directory\"` works on any file system, with whole copies",
        ),
        _ => Error::new(detect_action(root), what)
            .hint("name a mounted root on Btrfs with `--root DIR`, or a configuration with --config"),
    }
}

/// The dataset that is mounted, beside which the others are to be.
fn detect_zfs(root: &Path, source: &[u8]) -> Result<RootConfig> {
    let name = String::from_utf8_lossy(source).into_owned();
    let Some((dataset, live)) = name.rsplit_once('/') else {
        let why = format!("the pool `{}` itself is mounted there", Escaped(source));
        return Err(Error::new(detect_action(root), why)
            .hint("make the root a dataset of its own, as `POOL/root`, and boot that"));
    };
    if name.contains('@') {
        let why = format!("the snapshot `{}` is mounted there", Escaped(source));
        return Err(
            Error::new(detect_action(root), why).hint("name a mounted root with `--root DIR`")
        );
    }
    let named = |name: &str| {
        TreeName::new(name).map_err(|why| {
            Error::new(
                detect_action(root),
                format!("the dataset's name `{}` {why}", Escaped(source)),
            )
        })
    };
    let live = named(live)?;
    let layout =
        Layout { blank: named(&default_zfs_blank(&live))?, old: named(DEFAULT_OLD)?, live };
    Ok(RootConfig::Zfs { dataset: dataset.to_string(), layout })
}

fn detect_btrfs(root: &Path, host: &Path, found: &Mounted) -> Result<RootConfig> {
    let device = stable_device(root, host, found)?;
    if found.path.is_empty() {
        let here = |name: &str| shell_word(root.join(name).as_os_str());
        let why = "the top level of the Btrfs file system is mounted there, which can be neither \
                   set aside nor replaced";
        return Err(Error::new(detect_action(root), why).hint(format!(
            "make it a subvolume with `btrfs subvolume snapshot {} {}`, boot that with \
             `rootflags=subvol=root` and `subvol=root` in its fstab, and run this again",
            shell_word(root.as_os_str()),
            here("root"),
        )));
    }
    let name = |bytes: &[u8]| {
        TreeName::new(bytes).map_err(|why| {
            Error::new(
                detect_action(root),
                format!("the subvolume's name `{}` {why}", Escaped(bytes)),
            )
        })
    };
    let live = name(&found.path)?;
    // Beside live, so that a root inside of `@` or `os` stays one with its trees.
    let beside = |last: &str| match live.split().0 {
        Some(parent) => name(&[parent.as_os_str().as_bytes(), b"/", last.as_bytes()].concat()),
        None => name(last.as_bytes()),
    };
    let (blank, old) = (beside(DEFAULT_BLANK)?, beside(DEFAULT_OLD)?);
    Ok(RootConfig::Btrfs { device, layout: Layout { live, blank, old } })
}

/// A name of the device that stays the same from boot to boot where there is one.
fn stable_device(root: &Path, host: &Path, found: &Mounted) -> Result<PathBuf> {
    let source = Path::new(OsStr::from_bytes(&found.mount.source));
    if let Some(id) = file_system_id(root)? {
        let link = Path::new("dev/disk/by-uuid").join(id);
        if host.join(&link).exists() {
            return Ok(Path::new("/").join(link));
        }
    }
    let below_host = host.join(source.strip_prefix("/").unwrap_or(source));
    if source.is_absolute() && below_host.exists() {
        return Ok(source.to_path_buf());
    }
    let why = format!("its device is called {}, which is not there", Escaped::of_path(source));
    Err(Error::new(detect_action(root), why)
        .hint("write a configuration with its `device` and name it with `--config FILE`"))
}

#[cfg(feature = "btrfs")]
fn file_system_id(root: &Path) -> Result<Option<String>> {
    let dir = std::fs::File::open(root).map_err(|e| Error::io(detect_action(root), e))?;
    let info =
        backends::sys::btrfs_ioctls::fs_info(dir).map_err(|e| Error::io(detect_action(root), e))?;
    Ok(Some(info.fsid.hyphenated().to_string()))
}

#[cfg(not(feature = "btrfs"))]
fn file_system_id(_root: &Path) -> Result<Option<String>> {
    Ok(None)
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

    #[test]
    fn the_datasets_are_beside_the_one_that_is_mounted() {
        let found = detect_zfs(Path::new("/"), b"rpool/lo cal/root").unwrap();
        let RootConfig::Zfs { dataset, layout } = &found else { panic!("{found:?}") };
        let names = [&layout.live, &layout.blank, &layout.old].map(ToString::to_string);
        assert_eq!(
            (dataset.as_str(), names),
            ("rpool/lo cal", ["root".into(), "root@blank".into(), "old-roots".into()])
        );
        for bad in [&b"rpool"[..], b"rpool/root@blank"] {
            assert!(detect_zfs(Path::new("/"), bad).unwrap_err().hint_text().is_some());
        }
    }

    #[test]
    fn what_cannot_be_rolled_back_is_named_with_a_way_out() {
        for (fs_type, why, hint) in [
            (&b"ext4"[..], "its type is ext4, which has no snapshots", "btrfs-convert"),
            (b"overlay", "it is an overlay", "--root DIR"),
            (b"odd\n", "its type is odd\\n, which", "--config"),
        ] {
            let error = unsuitable_file_system(Path::new("/a b"), fs_type);
            let text = error.to_string();
            let start = format!("cannot find the root file system at /a b: {why}");
            assert!(text.starts_with(&start), "{text}");
            assert!(error.hint_text().is_some_and(|text| text.contains(hint)), "{text}");
        }
    }
}
