//! The tree that histories start from: some of everything that a root file system may hold.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::Path;

use rustix::fs::{CWD, Mode, makedev, mknodat};

use crate::apply::set_xattr;
use crate::kernel::create_subvolume;
use crate::{names, sandbox};

/// Where the nested subvolume is, or in a snapshot its stub.
pub const NESTED: &str = "var/machines";

/// Makes a subvolume at `root` and fills it.
pub fn build(root: &Path) {
    create_subvolume(root).unwrap();
    fill(root);
    nest(root);
}

/// Fills an empty tree.
pub fn fill(root: &Path) {
    plain(root);
    hostile_names(&root.join("names"));
    nodes(&root.join("dev"));
    attributes(&root.join("attributes"));
}

/// Makes a nested subvolume in the place of the stub, if there is one.
pub fn nest(root: &Path) {
    let nested = root.join(NESTED);
    if nested.exists() {
        fs::remove_dir(&nested).unwrap();
    }
    create_subvolume(&nested).unwrap();
    fs::write(nested.join("inside"), "of the subvolume\n").unwrap();
}

fn plain(root: &Path) {
    for dir in ["etc/conf.d", "empty", "var/lib/deep/er/and/deeper", "home/user name"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    for number in 0..12u8 {
        let content = names::content(number, usize::from(number) * 9);
        fs::write(root.join(format!("etc/conf.d/{number:02}.conf")), content).unwrap();
    }
    let inline = names::content(1, 1500);
    fs::write(root.join("etc/inline"), &inline).unwrap();
    fs::write(root.join("etc/empty"), "").unwrap();
    fs::write(root.join("var/lib/deep/er/and/deeper/file"), &inline).unwrap();
    fs::hard_link(root.join("etc/inline"), root.join("etc/inline too")).unwrap();
    fs::hard_link(root.join("etc/inline"), root.join("home/user name/third name")).unwrap();
    symlink("etc/inline", root.join("link")).unwrap();
    symlink("no such file", root.join("dangling")).unwrap();
    extents(&root.join("var/large"));
    let sparse = fs::File::create(root.join("var/sparse")).unwrap();
    sparse.set_len(400_000).unwrap();
    sparse.write_all_at(b"in the middle", 200_000).unwrap();
    fs::copy(root.join("var/large"), root.join("var/shares extents")).unwrap();
    let linked = root.join("var/linked");
    fs::create_dir(&linked).unwrap();
    for number in 0..70 {
        let name = format!("{}{number:03}", "name".repeat(62));
        fs::hard_link(root.join("etc/empty"), linked.join(name)).unwrap();
    }
}

/// A file of several extents: each piece reaches the disk before the next is written.
fn extents(path: &Path) {
    let file = fs::File::create(path).unwrap();
    for piece in 0..3u8 {
        let content = names::content(piece + 1, 50_000);
        file.write_all_at(&content, u64::from(piece) * 50_000).unwrap();
        sandbox::sync(path);
    }
}

fn hostile_names(dir: &Path) {
    fs::create_dir(dir).unwrap();
    for number in 0..23u8 {
        let path = dir.join(std::ffi::OsStr::from_bytes(&names::name(number)));
        // A directory for every third, so that what is in it has such a name above it.
        if number % 3 == 0 {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("inside"), [number]).unwrap();
        } else {
            fs::write(path, [number]).unwrap();
        }
    }
}

fn nodes(dir: &Path) {
    use rustix::fs::FileType::{BlockDevice, CharacterDevice, Fifo, Socket};
    fs::create_dir(dir).unwrap();
    let nodes = [
        ("fifo", Fifo, 0),
        ("socket", Socket, 0),
        ("null", CharacterDevice, makedev(1, 3)),
        ("loop", BlockDevice, makedev(7, 0)),
        ("whiteout", CharacterDevice, 0),
    ];
    for (name, kind, device) in nodes {
        mknodat(CWD, dir.join(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
    }
}

fn attributes(dir: &Path) {
    let file = |name: &str| {
        let path = dir.join(name);
        fs::write(&path, name).unwrap();
        path
    };
    fs::create_dir(dir).unwrap();
    lchown(file("owned"), Some(1000), Some(100)).unwrap();
    fs::set_permissions(file("setuid"), fs::Permissions::from_mode(0o4755)).unwrap();
    set_xattr(&file("xattr"), "user.one", b"1").unwrap();
    set_xattr(&file("large xattr"), "trusted.two", &names::content(1, 3000)).unwrap();
    set_xattr(&file("capable"), "security.capability", &names::capability(1 << 10)).unwrap();
    set_xattr(&file("acl"), "system.posix_acl_access", &names::acl(1, 7)).unwrap();
    let inherited = dir.join("passes on");
    fs::create_dir(&inherited).unwrap();
    set_xattr(&inherited, "system.posix_acl_default", &names::acl(2, 5)).unwrap();
    fs::write(inherited.join("heir"), "x").unwrap();
}
