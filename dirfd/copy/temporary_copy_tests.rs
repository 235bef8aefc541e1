use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::copy::private_directory;
use crate::xattrs;

struct Bed {
    dir: tempfile::TempDir,
}

impl Bed {
    /// A directory with everything that a tree may hold.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        for below in ["tree/a b\n/deep", "tree/empty"] {
            std::fs::create_dir_all(from.join(below)).unwrap();
        }
        std::fs::create_dir(dir.path().join("to")).unwrap();
        let tree = from.join("tree");
        std::fs::write(tree.join("a b\n/deep/file"), "content").unwrap();
        std::fs::write(tree.join(OsStr::from_bytes(b"\xff raw")), "x").unwrap();
        std::fs::hard_link(tree.join("a b\n/deep/file"), tree.join("second name")).unwrap();
        std::fs::hard_link(tree.join(OsStr::from_bytes(b"\xff raw")), from.join("outside"))
            .unwrap();
        symlink("nowhere", tree.join("dangling")).unwrap();
        let sparse = File::create(tree.join("sparse")).unwrap();
        sparse.set_len(1 << 20).unwrap();
        sparse.write_all_at(b"middle", 500_000).unwrap();
        nix::unistd::mkfifo(&tree.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        std::fs::set_permissions(&tree, std::fs::Permissions::from_mode(0o711)).unwrap();
        Self { dir }
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.dir.path().join(below)
    }

    fn copy(&self, name: &CStr) -> Result<(Aside, (u64, u64))> {
        let (from, to) =
            (File::open(self.path("from")).unwrap(), File::open(self.path("to")).unwrap());
        let mut told = (0, 0);
        let from = Place { dir: from.as_fd(), name };
        let shown = TreePath::parse(name.to_bytes()).unwrap();
        let (base, to) = (to.as_fd(), Place { dir: to.as_fd(), name: c"copy" });
        let copy = Aside::make(from, to, base, (&shown, &shown), &mut |names, bytes| {
            told = (told.0 + names, told.1 + bytes);
        })?;
        Ok((copy, told))
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_tree_is_copied_whole_and_named_at_the_end() {
    let bed = Bed::new();
    let (copy, (_, bytes)) = bed.copy(c"tree").unwrap();
    assert_eq!(names(&bed.path("to")), [".blankroot.tmp-0"]);
    assert_eq!(bed.path("to/.blankroot.tmp-0").metadata().unwrap().mode() & 0o7777, 0o700);
    assert_eq!(bytes, (1 << 20) + 8, "every byte is told of once");
    let copied = copy.name().unwrap();
    let outside: Vec<String> =
        copied.linked_outside.first().iter().map(ToString::to_string).collect();
    assert_eq!(outside, ["/tree/\\xff raw"]);
    assert_eq!(names(&bed.path("to")), ["copy"]);
    let (one, two) = (bed.path("to/copy/a b\n/deep/file"), bed.path("to/copy/second name"));
    assert_eq!(one.metadata().unwrap().ino(), two.metadata().unwrap().ino());
    assert!(bed.path("to/copy/sparse").metadata().unwrap().blocks() < 1024);
    assert_eq!(bed.path("to/copy").metadata().unwrap().mode() & 0o7777, 0o711);
}

#[test]
fn single_files_links_and_special_files_are_copied() {
    let bed = Bed::new();
    let tree = bed.path("from/tree");
    for name in ["dangling", "fifo", "sparse"] {
        nix_rename(&tree.join(name), &bed.path("from").join(name));
    }
    for name in [c"dangling", c"fifo", c"sparse"] {
        bed.copy(name).unwrap().0.name().unwrap();
        let (from, to) = (bed.path("from").join(name.to_str().unwrap()), bed.path("to/copy"));
        let of = |path: &Path| std::fs::symlink_metadata(path).unwrap();
        assert_eq!(of(&from).file_type(), of(&to).file_type());
        assert_eq!(of(&from).modified().unwrap(), of(&to).modified().unwrap(), "{name:?}");
        std::fs::remove_file(to).unwrap();
    }
    let (copy, _) = bed.copy(c"outside").unwrap();
    assert_eq!(copy.name().unwrap().linked_outside.len(), 1);
}

#[test]
fn a_name_that_is_taken_is_left_alone_and_can_be_exchanged() {
    let bed = Bed::new();
    std::fs::write(bed.path("to/copy"), "somebody's").unwrap();
    let error = bed.copy(c"tree").unwrap().0.name().unwrap_err().to_string();
    assert_eq!(error, "cannot give the copy its name /tree: File exists");
    assert_eq!(names(&bed.path("to")), ["copy"]);
    let (to, of) = (File::open(bed.path("to")).unwrap(), |name| {
        let from = File::open(bed.path("to")).unwrap();
        Place { dir: from.as_fd(), name }.stat().unwrap()
    });
    let old = of(c"copy");
    std::fs::write(bed.path("to/another"), "another").unwrap();
    nix_rename(&bed.path("to/another"), &bed.path("to/copy"));
    let error = bed.copy(c"tree").unwrap().0.replace(&old).unwrap_err().to_string();
    assert!(error.ends_with("another one has that name by now"), "{error}");
    assert_eq!(std::fs::read(bed.path("to/copy")).unwrap(), b"another");
    assert_eq!(names(&bed.path("to")), ["copy"]);
    bed.copy(c"tree").unwrap().0.replace(&of(c"copy")).unwrap();
    assert!(bed.path("to/copy/a b\n/deep/file").exists());
    assert_eq!(names(&bed.path("to")), ["copy"]);
    drop(to);
}

#[test]
fn what_a_crash_left_is_removed_by_the_next_copy_and_what_is_in_use_or_not_ours_is_not() {
    let bed = Bed::new();
    let (copy, _) = bed.copy(c"tree").unwrap();
    let crashed = bed.path("to/.blankroot.tmp-1");
    std::fs::create_dir_all(crashed.join("copy/deep")).unwrap();
    std::fs::set_permissions(&crashed, std::fs::Permissions::from_mode(0o700)).unwrap();
    xattrs::mark_as_private(File::open(&crashed).unwrap().as_fd()).unwrap();
    std::fs::create_dir(bed.path("to/.blankroot.tmp-2")).unwrap();
    std::fs::set_permissions(
        bed.path("to/.blankroot.tmp-2"),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    std::fs::write(bed.path("to/.blankroot.tmp-3"), "somebody's").unwrap();
    let to = File::open(bed.path("to")).unwrap();
    private_directory::remove_left_behind(to.as_fd(), to.as_fd()).unwrap();
    let mut left = names(&bed.path("to"));
    left.sort();
    if rustix::process::geteuid().is_root() {
        assert_eq!(left, [".blankroot.tmp-0", ".blankroot.tmp-2", ".blankroot.tmp-3"]);
    }
    copy.name().unwrap();
}

#[test]
fn what_differs_is_named() {
    let bed = Bed::new();
    let (copy, _) = bed.copy(c"tree").unwrap();
    std::fs::write(bed.path("from/tree/second name"), "CONTENT").unwrap();
    let from = File::open(bed.path("from")).unwrap();
    let one = Place { dir: from.as_fd(), name: c"tree" };
    let shown = TreePath::parse(b"/tree").unwrap();
    let differs = difference(one, copy.place(), &shown).unwrap().unwrap();
    assert_eq!(differs.to_string(), "/tree/a b\\n/deep/file");
    copy.discard().unwrap();
    assert_eq!(names(&bed.path("to")), [""; 0]);
}

#[expect(clippy::disallowed_methods, reason = "the test arranges its files")]
fn nix_rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}
