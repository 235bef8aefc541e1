//! One small pair of trees for each thing that a walk must see, or must not mind.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    CWD, FileType, IFlags, Mode, XattrFlags, ioctl_setflags, lsetxattr, makedev, mknodat,
};
use rustix::mount::{MountFlags, mount};
use rustix::process::geteuid;
use rustix::thread::{set_thread_gid, set_thread_uid};
use support::every_kind_of_file::fill;
use support::own_mounts::own_mounts;

use super::{Known, compare_by_walk, first_difference, walk_added, walk_knowing};
use crate::stat::Stat;
use crate::{Changes, Result};

/// Two trees, the newer a copy of the older, for a test to change.
struct Pair {
    dir: tempfile::TempDir,
}

impl Pair {
    fn of(make: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let older = dir.path().join("older");
        fs::create_dir(&older).unwrap();
        make(&older);
        let (from, to) = (File::open(&older).unwrap(), File::open(dir.path()).unwrap());
        crate::copy::copy_tree(from.as_fd(), to.as_fd(), c"newer").unwrap();
        Self { dir }
    }

    fn empty() -> Self {
        Self::of(|_| {})
    }

    fn older(&self) -> PathBuf {
        self.dir.path().join("older")
    }

    fn newer(&self) -> PathBuf {
        self.dir.path().join("newer")
    }

    fn walk(&self) -> Result<Changes> {
        let (older, newer) = (File::open(self.older()).unwrap(), File::open(self.newer()).unwrap());
        compare_by_walk(older.as_fd(), newer.as_fd(), &|_| {})
    }

    /// Each change as `kind type path`.
    fn changes(&self) -> Vec<String> {
        text(&self.walk().unwrap())
    }
}

fn text(changes: &Changes) -> Vec<String> {
    let line = |change: crate::Change| {
        format!("{} {} {}", change.kind.word(), change.facts.file_type, change.path)
    };
    changes.iter().map(line).collect()
}

fn chmod(path: PathBuf, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_copy_is_no_change_and_neither_are_times() {
    let pair = Pair::of(fill);
    let file = File::options().write(true).open(pair.newer().join("plain")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(pair.changes(), [""; 0]);
}

#[test]
fn the_first_difference_is_found_at_sight_before_anything_is_read() {
    let pair = Pair::of(fill);
    let first = |pair: &Pair| {
        let (older, newer) = (File::open(pair.older()).unwrap(), File::open(pair.newer()).unwrap());
        first_difference(older.as_fd(), newer.as_fd()).unwrap().map(|path| path.to_string())
    };
    assert_eq!(first(&pair), None);
    let size = fs::read(pair.newer().join("plain")).unwrap().len();
    fs::write(pair.newer().join("plain"), vec![b'?'; size]).unwrap();
    assert_eq!(
        first(&pair).as_deref(),
        Some("/dir/second name"),
        "bytes alone tell; it has two names"
    );
    fs::write(pair.newer().join("zz"), "new").unwrap();
    assert_eq!(first(&pair).as_deref(), Some("/zz"), "a name tells more quickly");
    chmod(pair.newer(), 0o700);
    assert_eq!(first(&pair).as_deref(), Some("/"));
}

#[test]
fn every_kind_of_file_can_appear_and_vanish() {
    let pair = Pair::empty();
    let dir = pair.newer();
    fs::write(dir.join("file"), "").unwrap();
    fs::create_dir_all(dir.join("dir/inner")).unwrap();
    symlink("x", dir.join("link")).unwrap();
    mknodat(CWD, dir.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    mknodat(CWD, dir.join("socket"), FileType::Socket, Mode::RWXU, 0).unwrap();
    let expected = [
        "dir /dir",
        "dir /dir/inner",
        "fifo /fifo",
        "file /file",
        "symlink /link",
        "socket /socket",
    ];
    assert_eq!(pair.changes(), expected.map(|row| format!("added {row}")));
    let (older, newer) = (File::open(pair.newer()).unwrap(), File::open(pair.older()).unwrap());
    let removed = compare_by_walk(older.as_fd(), newer.as_fd(), &|_| {}).unwrap();
    assert_eq!(text(&removed), expected.map(|row| format!("removed {row}")));
}

#[test]
fn content_is_compared_by_bytes_not_by_size_or_time() {
    let big = |root: &Path| {
        fs::write(root.join("one byte"), vec![1; 3_000_000]).unwrap();
        fs::write(root.join("longer"), "x").unwrap();
        fs::write(root.join("emptied"), "x").unwrap();
    };
    let pair = Pair::of(big);
    let changed = pair.newer().join("one byte");
    let time = fs::metadata(&changed).unwrap().modified().unwrap();
    let file = File::options().write(true).open(&changed).unwrap();
    file.write_all_at(&[2], 2_999_999).unwrap();
    file.set_modified(time).unwrap();
    fs::write(pair.newer().join("longer"), "xx").unwrap();
    fs::write(pair.newer().join("emptied"), "").unwrap();
    let expected = ["/emptied", "/longer", "/one byte"].map(|p| format!("modified file {p}"));
    assert_eq!(pair.changes(), expected);
}

#[test]
fn holes_equal_zeros_and_hide_nothing() {
    let sparse = |root: &Path| {
        for name in ["zeros", "end", "both"] {
            File::create(root.join(name)).unwrap().set_len(4 << 20).unwrap();
        }
        let both = File::options().write(true).open(root.join("both")).unwrap();
        both.write_all_at(b"x", 3 << 20).unwrap();
    };
    let pair = Pair::of(sparse);
    fs::write(pair.newer().join("zeros"), vec![0; 4 << 20]).unwrap();
    let end = File::options().write(true).open(pair.newer().join("end")).unwrap();
    end.write_all_at(b"x", (4 << 20) - 1).unwrap();
    assert_eq!(pair.changes(), ["modified file /end"]);
}

#[test]
fn links_and_devices_are_compared_by_what_they_stand_for() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can make these files");
        return;
    }
    let device = |at: PathBuf, minor| {
        mknodat(CWD, at, FileType::CharacterDevice, Mode::RUSR, makedev(1, minor)).unwrap();
    };
    let pair = Pair::of(|root| {
        symlink("here", root.join("link")).unwrap();
        device(root.join("null"), 3);
        device(root.join("same"), 3);
    });
    fs::remove_file(pair.newer().join("link")).unwrap();
    symlink("away", pair.newer().join("link")).unwrap();
    fs::remove_file(pair.newer().join("null")).unwrap();
    device(pair.newer().join("null"), 5);
    chmod(pair.newer().join("null"), 0o400);
    assert_eq!(pair.changes(), ["modified symlink /link", "modified char /null"]);
}

#[test]
fn owners_modes_and_attributes_are_metadata() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can make these files");
        return;
    }
    let pair = Pair::of(|root| {
        for name in ["group", "mode", "owner", "xattr", "xattr value", "content too"] {
            fs::write(root.join(name), "x").unwrap();
        }
        fs::create_dir(root.join("dir")).unwrap();
        let value = root.join("xattr value");
        lsetxattr(&value, "user.a", b"1", XattrFlags::empty()).unwrap();
    });
    let at = |name: &str| pair.newer().join(name);
    std::os::unix::fs::chown(at("group"), None, Some(77)).unwrap();
    std::os::unix::fs::chown(at("owner"), Some(77), None).unwrap();
    chmod(at("mode"), 0o4644);
    chmod(at("dir"), 0o1777);
    lsetxattr(at("xattr"), "user.a", b"", XattrFlags::empty()).unwrap();
    lsetxattr(at("xattr value"), "user.a", b"2", XattrFlags::empty()).unwrap();
    fs::write(at("content too"), "y").unwrap();
    chmod(at("content too"), 0o600);
    chmod(pair.newer(), 0o700);
    let expected = [
        "metadata dir /",
        "modified file /content too",
        "metadata dir /dir",
        "metadata file /group",
        "metadata file /mode",
        "metadata file /owner",
        "metadata file /xattr",
        "metadata file /xattr value",
    ];
    assert_eq!(pair.changes(), expected);
}

#[test]
fn a_directory_that_became_a_file_lists_what_was_in_it() {
    let pair = Pair::of(|root| {
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/c"), "").unwrap();
        fs::write(root.join("file"), "").unwrap();
    });
    rustix::fs::rename(pair.newer().join("a"), pair.newer().join("moved")).unwrap();
    fs::write(pair.newer().join("a"), "").unwrap();
    fs::remove_file(pair.newer().join("file")).unwrap();
    fs::create_dir(pair.newer().join("file")).unwrap();
    fs::write(pair.newer().join("file/new"), "").unwrap();
    let expected = [
        "replaced file /a",
        "removed dir /a/b",
        "removed file /a/b/c",
        "replaced dir /file",
        "added file /file/new",
        "added dir /moved",
        "added dir /moved/b",
        "added file /moved/b/c",
    ];
    assert_eq!(pair.changes(), expected);
}

#[test]
fn rows_are_sorted_by_whole_paths_and_any_name_is_one() {
    let pair = Pair::empty();
    let long = [b'n'; 255];
    for name in [&b"a"[..], b"a-b", b"a\n", b"a0", b"\xff", &long] {
        let dir = pair.newer().join(OsStr::from_bytes(name));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(OsStr::from_bytes(&long)), "").unwrap();
    }
    let found = pair.walk().unwrap();
    let paths: Vec<_> = found.iter().map(|change| change.path).collect();
    assert!(paths.is_sorted() && paths.len() == 12);
    let last = &paths[11];
    assert_eq!(last.as_bytes(), [&b"\xff/"[..], &long].concat());
}

#[test]
fn a_hard_link_counts_under_each_of_its_names() {
    let pair = Pair::of(|root| {
        fs::write(root.join("one"), "x").unwrap();
        fs::hard_link(root.join("one"), root.join("two")).unwrap();
    });
    fs::write(pair.newer().join("two"), "y").unwrap();
    assert_eq!(pair.changes(), ["modified file /one", "modified file /two"]);
}

#[test]
fn without_an_older_tree_everything_but_the_root_is_added() {
    let pair = Pair::of(|root| {
        fs::create_dir(root.join("dir")).unwrap();
        fs::write(root.join("dir/file"), "").unwrap();
    });
    let seen = Cell::new(0);
    let newer = File::open(pair.newer()).unwrap();
    let found = walk_added(newer.as_fd(), &|names| seen.set(names)).unwrap();
    assert_eq!(text(&found), ["added dir /dir", "added file /dir/file"]);
    assert_eq!(seen.get(), 2);
}

#[test]
fn a_tree_that_changes_meanwhile_is_no_failure() {
    let pair = Pair::of(|root| {
        for number in 0..50 {
            fs::create_dir(root.join(format!("{number}"))).unwrap();
            fs::write(root.join(format!("{number}/file")), "x").unwrap();
        }
    });
    let (newer, done) = (pair.newer(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0..50).cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let (dir, file) =
                    (newer.join(format!("{number}")), newer.join(format!("{number}/file")));
                fs::remove_file(&file).unwrap();
                fs::remove_dir(&dir).unwrap();
                symlink("nowhere", &dir).unwrap();
                fs::remove_file(&dir).unwrap();
                fs::create_dir(&dir).unwrap();
                fs::write(&file, "x").unwrap();
            }
        });
        let walked: Vec<Result<Changes>> = (0..100).map(|_| pair.walk()).collect();
        done.store(true, Ordering::Relaxed);
        for result in walked {
            result.unwrap();
        }
    });
}

#[test]
fn what_an_unprivileged_user_cannot_read_is_an_error_with_its_path() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can make these files");
        return;
    }
    let pair = Pair::of(|root| {
        fs::create_dir(root.join("fine")).unwrap();
        fs::create_dir(root.join("closed\n")).unwrap();
    });
    chmod(pair.dir.path().to_owned(), 0o755);
    let walk_as_nobody = || {
        let as_nobody = || {
            set_thread_gid(rustix::fs::Gid::from_raw(65534)).unwrap();
            set_thread_uid(rustix::fs::Uid::from_raw(65534)).unwrap();
            pair.walk()
        };
        std::thread::scope(|scope| scope.spawn(as_nobody).join().unwrap())
    };
    assert!(walk_as_nobody().unwrap().is_empty());
    chmod(pair.newer().join("closed\n"), 0o700);
    let refused = walk_as_nobody().unwrap_err().to_string();
    assert_eq!(
        refused,
        "cannot read /closed\\n in the newer tree: Permission denied\n  hint: run it as root"
    );
}

/// Who goes by times, which all tell that nothing was changed.
struct ByTimes;

impl Known for ByTimes {
    fn is_unchanged(&self, _inode: u64) -> bool {
        false
    }

    fn is_same_but_for_flags(&self, _was: &Stat, _is: &Stat) -> bool {
        true
    }
}

#[test]
fn flags_are_compared_where_times_tell_of_no_change() {
    let pair = Pair::of(|root| {
        fs::create_dir(root.join("dir")).unwrap();
        for name in ["dir/file", "other", "same"] {
            fs::write(root.join(name), "x").unwrap();
        }
        symlink("other", root.join("link")).unwrap();
    });
    for name in ["dir", "dir/file"] {
        let file = File::open(pair.newer().join(name)).unwrap();
        if let Err(error) = ioctl_setflags(&file, IFlags::NODUMP) {
            eprintln!("skipped: this file system has no flags: {error}");
            return;
        }
    }
    fs::write(pair.newer().join("other"), "y").unwrap();
    let (older, newer) = (File::open(pair.older()).unwrap(), File::open(pair.newer()).unwrap());
    let found = walk_knowing(older.as_fd(), newer.as_fd(), &ByTimes, &|_| {}).unwrap();
    assert_eq!(text(&found), ["metadata dir /dir", "metadata file /dir/file"]);
}

#[test]
fn a_mount_inside_a_plain_view_is_an_error_not_a_guess() {
    if !own_mounts() {
        return;
    }
    let pair = Pair::of(|root| fs::create_dir(root.join("over")).unwrap());
    mount("tmpfs", pair.newer().join("over"), "tmpfs", MountFlags::empty(), None).unwrap();
    let refused = pair.walk().unwrap_err();
    rustix::mount::unmount(pair.newer().join("over"), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert!(refused.to_string().starts_with("cannot read /over in the newer tree: something is"));
    assert!(refused.hint_text().is_some());
}
