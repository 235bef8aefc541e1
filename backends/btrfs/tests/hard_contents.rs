//! Contents that are hard to compare: deep, compressed, overwritten in place, half in the tree.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use btrfsutil::subvolume::Subvolume;
use dirfd::{ChangeKind, FileType};
use rustix::fs::{
    FallocateFlags, IFlags, Mode, OFlags, fallocate, ioctl_setflags, mkdirat, openat,
};
use support::every_kind_of_file::fill;

use crate::btrfs::tests::btrfs_fixture::Bed;

/// Goes down directories whose path is longer than a system call takes, and makes what is missing.
fn deep(root: &Path) -> OwnedFd {
    let mut dir: OwnedFd = File::open(root).unwrap().into();
    for level in 0_u8..40 {
        let name = [&[b'a' + level % 26; 200][..], b"\n\xff"].concat();
        let name = OsStr::from_bytes(&name);
        let _ = mkdirat(&dir, name, Mode::RWXU);
        dir = openat(&dir, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    dir
}

fn path_in(dir: &OwnedFd, name: &str) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name)
}

fn kinds(bed: &Bed) -> Vec<(String, ChangeKind)> {
    let rows = bed.exact_changes();
    rows.iter().map(|row| (row.path.to_string(), row.kind)).collect()
}

#[test]
fn paths_longer_than_a_system_call_takes_are_compared() {
    let Some(bed) = Bed::rolled_back(|live| {
        let dir = deep(live);
        fs::write(path_in(&dir, "same size"), vec![b'a'; 10_000]).unwrap();
        fs::write(path_in(&dir, "untouched"), "x").unwrap();
        std::os::unix::fs::symlink("one", path_in(&dir, "link")).unwrap();
    }) else {
        return;
    };
    let dir = deep(&bed.live());
    fs::write(path_in(&dir, "same size"), vec![b'b'; 10_000]).unwrap();
    fs::remove_file(path_in(&dir, "link")).unwrap();
    std::os::unix::fs::symlink("two", path_in(&dir, "link")).unwrap();
    Subvolume::create(path_in(&dir, "nested").as_path(), None).unwrap();
    let names: Vec<_> = kinds(&bed)
        .into_iter()
        .map(|(path, kind)| (path.rsplit('/').next().unwrap().to_string(), kind))
        .collect();
    let row = |name: &str, kind| (name.to_string(), kind);
    let expected = [
        row("link", ChangeKind::Modified),
        row("nested", ChangeKind::Added),
        row("same size", ChangeKind::Modified),
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_blank_that_was_written_to_after_live_was_made_is_compared_as_it_is() {
    let Some(bed) = Bed::rolled_back(fill) else { return };
    let blank = Subvolume::get(bed.blank().as_path()).unwrap();
    blank.set_ro(false).unwrap();
    fs::write(bed.blank().join("plain"), "other").unwrap();
    fs::write(bed.blank().join("only here"), "").unwrap();
    fs::remove_file(bed.blank().join("sparse")).unwrap();
    blank.set_ro(true).unwrap();
    fs::write(bed.live().join("new"), "").unwrap();
    fs::remove_file(bed.live().join("setuid")).unwrap();
    let row = |path: &str, kind| (path.to_string(), kind);
    let expected = [
        row("/dir/second name", ChangeKind::Modified),
        row("/new", ChangeKind::Added),
        row("/only here", ChangeKind::Removed),
        row("/plain", ChangeKind::Modified),
        row("/setuid", ChangeKind::Removed),
        row("/sparse", ChangeKind::Added),
    ];
    assert_eq!(kinds(&bed), expected);
}

/// Makes an empty file with a flag that only an empty file can get.
fn make_with(path: &Path, flag: IFlags) -> File {
    let file = OpenOptions::new().create_new(true).read(true).write(true).open(path).unwrap();
    ioctl_setflags(&file, flag).unwrap();
    file
}

#[test]
fn files_that_are_overwritten_in_place_are_compared() {
    let Some(bed) = Bed::rolled_back(|live| {
        for name in ["changed", "same bytes", "longer"] {
            make_with(&live.join(name), IFlags::NOCOW).write_all(&[7; 100_000]).unwrap();
        }
        let reserved = make_with(&live.join("reserved"), IFlags::NOCOW);
        fallocate(&reserved, FallocateFlags::empty(), 0, 100_000).unwrap();
    }) else {
        return;
    };
    let write = |name: &str, bytes: &[u8], at| {
        let file = OpenOptions::new().write(true).open(bed.live().join(name)).unwrap();
        file.write_all_at(bytes, at).unwrap();
    };
    for byte in [8, 9] {
        write("changed", &[byte], 50_000);
        write("same bytes", &[byte; 5000], 50_000);
        write("longer", &[7], 100_000);
        // Zeros where there was nothing but room are the same bytes.
        write("reserved", &[0; 5000], 4096);
        bed.sync();
    }
    write("same bytes", &[7; 5000], 50_000);
    let row = |path: &str| (path.to_string(), ChangeKind::Modified);
    assert_eq!(kinds(&bed), [row("/changed"), row("/longer")]);
    write("reserved", &[1], 90_000);
    assert_eq!(kinds(&bed), [row("/changed"), row("/longer"), row("/reserved")]);
}

#[test]
fn compressed_files_are_compared_by_their_bytes() {
    let line = |word: &str| word.repeat(400).into_bytes();
    let Some(bed) = Bed::rolled_back(|live| {
        for name in ["small", "small same"] {
            make_with(&live.join(name), IFlags::COMPRESSED).write_all(&line("12345")).unwrap();
        }
        for name in ["large", "large same", "unpacked"] {
            let mut file = make_with(&live.join(name), IFlags::COMPRESSED);
            file.write_all(&line("12345").repeat(200)).unwrap();
        }
        rustix::fs::syncfs(File::open(live).unwrap()).unwrap();
    }) else {
        return;
    };
    let write = |name: &str, bytes: &[u8], at| {
        let file = OpenOptions::new().write(true).open(bed.live().join(name)).unwrap();
        file.write_all_at(bytes, at).unwrap();
    };
    write("small", b"6", 1000);
    write("small same", b"1", 1000);
    write("large", b"6", 200_000);
    write("large same", b"1", 200_000);
    let unpacked = File::open(bed.live().join("unpacked")).unwrap();
    // `FS_NOCOMP_FL`.
    ioctl_setflags(&unpacked, IFlags::from_bits_retain(0x400)).unwrap();
    write("unpacked", &line("12345").repeat(200), 0);
    bed.sync();
    let row = |path: &str, kind| (path.to_string(), kind);
    let expected = [
        row("/large", ChangeKind::Modified),
        row("/small", ChangeKind::Modified),
        // The flag is kept as an extended attribute.
        row("/unpacked", ChangeKind::Metadata),
    ];
    assert_eq!(kinds(&bed), expected);
}

#[test]
fn a_file_that_grew_out_of_the_tree_and_back_is_compared() {
    let Some(bed) = Bed::rolled_back(|live| {
        for name in ["grown", "back"] {
            fs::write(live.join(name), [5; 100]).unwrap();
        }
    }) else {
        return;
    };
    for name in ["grown", "back"] {
        let file = OpenOptions::new().write(true).open(bed.live().join(name)).unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"x", 500_000).unwrap();
        bed.sync();
        if name == "back" {
            file.set_len(100).unwrap();
        }
    }
    assert_eq!(kinds(&bed), [("/grown".to_string(), ChangeKind::Modified)]);
}

#[test]
fn a_nested_subvolume_that_holds_something_is_a_row_wherever_blank_has_its_stub() {
    let bed = Bed::rolled_back(|live| {
        fs::create_dir_all(live.join("deep/er")).unwrap();
        for name in ["deep/er/holds", "empty", "replaced"] {
            Subvolume::create(live.join(name).as_path(), None).unwrap();
        }
    });
    let Some(bed) = bed else { return };
    let rows = |bed: &Bed| -> Vec<(String, ChangeKind, FileType)> {
        let rows = bed.exact_changes().into_iter();
        rows.map(|row| (row.path.to_string(), row.kind, row.facts.file_type)).collect()
    };
    assert_eq!(rows(&bed), []);
    // Nothing around it is written to.
    fs::write(bed.live().join("deep/er/holds/file"), "x").unwrap();
    bed.sync();
    let row = ("/deep/er/holds".to_string(), ChangeKind::Modified, FileType::Subvolume);
    assert_eq!(rows(&bed), std::slice::from_ref(&row));
    // An empty directory holds as much as an empty subvolume.
    fs::remove_dir(bed.live().join("replaced")).unwrap();
    fs::create_dir(bed.live().join("replaced")).unwrap();
    assert_eq!(rows(&bed), std::slice::from_ref(&row));
    fs::write(bed.live().join("replaced/file"), "x").unwrap();
    let more = [
        row,
        ("/replaced".to_string(), ChangeKind::Replaced, FileType::Dir),
        ("/replaced/file".to_string(), ChangeKind::Added, FileType::File),
    ];
    assert_eq!(rows(&bed), more);
}
