//! What small files hold, read from the tree: the same as who opens them is told, or nothing.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use dirfd::ChangeKind;
use dirfd::fingerprint::{Content, FileContent, read_content};
use dirfd::lookup_in_order::LookupInOrder;
use rustix::fs::{FallocateFlags, IFlags, XattrFlags, fallocate, ioctl_setflags, setxattr};
use support::every_kind_of_file::fill;

use crate::btrfs::tests::btrfs_fixture::Bed;
use crate::conformance::Testbed;
use crate::{FastChanges, FoundInode};

/// What the tree told of a path, if anything, and what who opens it is told.
struct Told {
    path: String,
    known: Option<FileContent>,
    opened: FileContent,
}

/// All changes of live, in whose inodes `between` may write after the comparison.
fn told(bed: &Bed, between: impl FnOnce()) -> Vec<Told> {
    let backend = bed.backend();
    let live = bed.live_tree();
    let found = backend.changes(&bed.blank_tree(), &live).unwrap();
    let FastChanges::Exact(changes) = found else { panic!("{found:?}") };
    between();
    bed.sync();
    let (mut paths, mut inodes) = (Vec::new(), Vec::new());
    let mut cursor = changes.cursor();
    while let Some((path, kind, facts)) = cursor.next_row() {
        if kind != ChangeKind::Removed {
            let (path, facts) = (path.to_vec(), *facts);
            paths.push(path);
            inodes.push(cursor.inode().map(|number| FoundInode { number, facts }));
        }
    }
    let known = backend.known_contents(&live, &inodes).unwrap();
    assert_eq!(known.len(), paths.len());
    let view = backend.view(&live).unwrap();
    let mut lookup = LookupInOrder::new(view.as_fd()).unwrap();
    let mut open = |path: &[u8]| {
        let look = lookup.look_at(path, |place, stat| FileContent {
            content: read_content(place, stat, 1 << 20, &mut Vec::new()),
            target: place.link_target().unwrap().unwrap_or_default(),
        });
        look.unwrap()
    };
    let told = paths.into_iter().zip(known).map(|(path, known)| {
        let opened = open(&path);
        Told { path: String::from_utf8_lossy(&path).into_owned(), known, opened }
    });
    told.collect()
}

fn assert_true(told: &[Told]) {
    for Told { path, known, opened } in told {
        if let Some(known) = known {
            assert_eq!(known, opened, "{path:?}");
        }
    }
}

fn paths_known(told: &[Told], known: bool) -> Vec<&str> {
    let wanted = told.iter().filter(|told| told.known.is_some() == known);
    wanted.map(|told| told.path.as_str()).collect()
}

#[test]
fn of_every_kind_of_file_the_tree_tells_what_an_open_one_holds() {
    let Some(bed) = Bed::rolled_back(|_| {}) else { return };
    fill(&bed.live());
    let told = told(&bed, || {});
    assert_true(&told);
    let known = paths_known(&told, true);
    for path in [
        "plain",
        "dir/second name",
        "empty",
        "dir",
        "dir/link to a directory",
        "setuid",
        "nobody reads",
    ] {
        assert!(known.contains(&path), "{path}: {known:?}");
    }
    let unknown = paths_known(&told, false);
    for path in ["with ACL", "dir-empty", "sparse", "fifo", "socket"] {
        assert!(unknown.contains(&path), "{path}: {unknown:?}");
    }
}

#[test]
fn what_does_not_lie_in_the_tree_as_it_is_read_is_not_told() {
    let Some(bed) = Bed::rolled_back(|live| fs::write(live.join("grows"), "short").unwrap()) else {
        return;
    };
    let live = bed.live();
    let with_flag = |name: &str, flag: IFlags, bytes: &[u8]| {
        let file = OpenOptions::new().create_new(true).write(true).open(live.join(name));
        let mut file = file.unwrap();
        ioctl_setflags(&file, flag).unwrap();
        file.write_all(bytes).unwrap();
    };
    with_flag("packed", IFlags::COMPRESSED, &[b'a'; 1500]);
    with_flag("without copies", IFlags::NOCOW, b"short");
    with_flag("not dumped", IFlags::NODUMP, b"short");
    fs::write(live.join("large"), vec![1; 10_000]).unwrap();
    File::create(live.join("hole")).unwrap().set_len(1000).unwrap();
    fs::write(live.join("cut"), vec![2; 1000]).unwrap();
    bed.sync();
    OpenOptions::new().write(true).open(live.join("cut")).unwrap().set_len(7).unwrap();
    OpenOptions::new().write(true).open(live.join("grows")).unwrap().set_len(9).unwrap();
    let reserved = File::create(live.join("reserved")).unwrap();
    fallocate(&reserved, FallocateFlags::KEEP_SIZE, 0, 8192).unwrap();
    let many = File::create(live.join("many attributes")).unwrap();
    for number in 0..40 {
        let name = format!("user.number-{number}");
        setxattr(live.join("many attributes"), name, b"1", XattrFlags::CREATE).unwrap();
    }
    drop((reserved, many));
    let told = told(&bed, || {});
    assert_true(&told);
    let unknown = paths_known(&told, false);
    for path in ["packed", "without copies", "not dumped", "large", "hole", "many attributes"] {
        assert!(unknown.contains(&path), "{path}: {unknown:?}");
    }
}

#[test]
fn a_file_that_changed_since_it_was_found_is_not_told() {
    let Some(bed) = Bed::rolled_back(|live| {
        fs::write(live.join("rewritten"), "before").unwrap();
        fs::write(live.join("still"), "before").unwrap();
    }) else {
        return;
    };
    let live = bed.live();
    for name in ["rewritten", "still", "deleted and made again"] {
        fs::write(live.join(name), "then 1").unwrap();
    }
    let told = told(&bed, || {
        fs::write(live.join("rewritten"), "then 2").unwrap();
        fs::remove_file(live.join("deleted and made again")).unwrap();
        fs::write(live.join("deleted and made again"), "then 2").unwrap();
    });
    assert_eq!(paths_known(&told, true), ["still"]);
    assert_true(&told);
}

#[test]
fn many_files_of_any_size_are_told_truly() {
    let Some(bed) = Bed::rolled_back(|live| make_many(live, 0)) else { return };
    make_many(&bed.live(), 1);
    let told = told(&bed, || {});
    assert_true(&told);
    let whole = |told: &&Told| told.opened.content.is_whole();
    assert_eq!(told.iter().filter(whole).count(), told.len());
    let known = told.iter().filter(|told| told.known.is_some()).count();
    assert!(known > told.len() / 3, "{known} of {}", told.len());
    assert!(known < told.len(), "none of them was too large");
    let empty = told.iter().filter(|told| told.opened.content == Content::Nothing).count();
    assert!(empty > 0);
}

/// Files with sizes around the largest that lies in a tree, some of them changed in the middle by a second round.
fn make_many(dir: &Path, round: u8) {
    for number in 0..600_u32 {
        let path = dir.join(format!("file-{number}"));
        let size = (number * 37 % 6000) as usize;
        if round == 0 {
            fs::write(&path, vec![number as u8; size]).unwrap();
        } else if number % 3 == 0 {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&[round], (size / 2) as u64).unwrap();
        } else {
            fs::write(&path, vec![number as u8 ^ round; size]).unwrap();
        }
        if number % 7 == 0 {
            setxattr(&path, "user.round", &[round], XattrFlags::empty()).unwrap();
        }
    }
    fs::write(dir.join(format!("empty-{round}")), "").unwrap();
}
