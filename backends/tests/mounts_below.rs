//! Whatever was mounted below a directory is found, so that it can be unmounted: in real mounts, in a
//! namespace that this thread alone is in.
#![expect(clippy::unwrap_used, reason = "a test that cannot mount has failed")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use dirfd::private_namespace::{MountPoint, PrivateNamespace};

#[test]
fn mounts_are_found_the_last_first_and_links_do_not_lead_out() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("BLANKROOT_REQUIRE_REAL").is_none(), "this is not run as root");
        println!("SKIPPED: this is not run as root");
        return;
    }
    std::thread::spawn(story).join().unwrap();
}

fn story() {
    let base = tempfile::tempdir().unwrap();
    let base = base.path().canonicalize().unwrap();
    let namespace = PrivateNamespace::enter().unwrap();
    let mount = |dir: &Path| {
        fs::create_dir_all(dir).unwrap();
        namespace.mount(Path::new("tmpfs"), "tmpfs", dir, b"").unwrap()
    };
    let (live, beside) = (base.join("live"), base.join("live beside"));
    let (_live, _beside) = (mount(&live), mount(&beside));
    let inner = [live.join("a b"), live.join("a b/c\nd"), live.join("0")];
    for dir in &inner {
        mount(dir).leave();
    }
    // Two at the same place.
    mount(&inner[2]).leave();
    symlink(&beside, live.join("link")).unwrap();

    let below = namespace.mounts_below(&live).unwrap();
    let dirs: Vec<PathBuf> = below.iter().map(|mount| mount.dir().to_path_buf()).collect();
    assert_eq!(dirs, [2, 2, 1, 0].map(|at| inner[at].clone()));
    below.into_iter().try_for_each(MountPoint::unmount).unwrap();
    assert!(namespace.mounts_below(&live).unwrap().is_empty());

    // The kernel mounts where a link leads; nothing is unmounted there.
    let linked = namespace.mount(Path::new("tmpfs"), "tmpfs", &live.join("link"), b"").unwrap();
    let error = linked.unmount().unwrap_err().to_string();
    assert!(error.starts_with("cannot unmount "), "{error}");
    assert_eq!(namespace.mounts_below(&base).unwrap().len(), 3, "what it leads to is mounted");
}
