//! The same for `restore`: at every moment each path is what it was or what the old root has, whole, what
//! is set aside is whole, and the next run finishes.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backends::{OldRoot, Record, Tree, TreeId, View};
use blankroot::host::Machine;
use blankroot::restore::find_versions::OldRoots;
use blankroot::restore::restore_execute::execute_restore;
use blankroot::restore::restore_request::{RestoreRequest, plan_restore};
use chrono::DateTime;
use dirfd::fault::{Fault, run_with};
use dirfd::{TreeName, TreePath};
use support::kernel::create_subvolume;
use support::oracle;
use support::sandbox::on_btrfs;
use support::without_exchange::on_fuse2fs;

use crate::without_exchange::RENAMES;
use crate::{ERRNOS, check_disk, cut_everywhere, small_disk};

/// What is restored, and what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// A directory, and not even its parents are there.
    Missing,
    /// A directory in the place of another.
    Dir,
    /// A file in the place of another.
    File,
    /// A file that nobody may change, in the place of a link.
    Locked,
}

const VARIANTS: [Variant; 4] = [Variant::Missing, Variant::Dir, Variant::File, Variant::Locked];

impl Variant {
    fn path(self) -> &'static str {
        match self {
            Self::Missing | Self::Dir => "srv/deep/a b",
            Self::File => "srv/deep/a b/file",
            Self::Locked => "srv/deep/locked",
        }
    }
}

/// Every kind of change that sets a directory aside, in the order in which it comes first.
const OVERWRITE: [&str; 16] = [
    "copy: make private directory",
    "xattr: mark private directory",
    "copy: make directory",
    "copy: make node",
    "copy: set mode",
    "copy: set times",
    "copy: make file",
    "copy: clone",
    "xattr: set",
    "copy: make link",
    "copy: link",
    "copy: sync",
    "apply: name beside",
    "apply: exchange",
    "restore: sync directory",
    "copy: remove private directory",
];

/// Two trees: live, and an old root.
struct Setup {
    case: PathBuf,
    variant: Variant,
    old: oracle::Tree,
    present: Option<oracle::Tree>,
}

fn fill(dir: &Path) {
    fs::write(dir.join("file"), "old").unwrap();
    fs::hard_link(dir.join("file"), dir.join("second\nname")).unwrap();
    fs::write(dir.join("large"), support::names::content(1, 40_000)).unwrap();
    symlink("nowhere", dir.join("link")).unwrap();
    support::apply::set_xattr(&dir.join("large"), "user.one", b"1").unwrap();
    nix::unistd::mkfifo(&dir.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
}

fn set_flags(path: &Path, flags: rustix::fs::IFlags) {
    rustix::fs::ioctl_setflags(File::open(path).unwrap(), flags).unwrap();
}

/// A file is compared as a tree of one.
fn walk(path: &Path) -> Option<oracle::Tree> {
    let found = path.symlink_metadata().ok()?;
    Some(match found.is_dir() {
        true => oracle::walk(path),
        false => [(Vec::new(), oracle::entry_at(path))].into(),
    })
}

fn build(top: &Path, variant: Variant) -> Setup {
    build_in(top, variant, |tree| create_subvolume(tree).unwrap())
}

/// The same where a tree is made otherwise.
fn build_in(top: &Path, variant: Variant, make_tree: impl Fn(&Path)) -> Setup {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let case = top.join(format!("restore {}", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&case).unwrap();
    for tree in ["root", "old"] {
        make_tree(&case.join(tree));
    }
    let dir = case.join("old/srv/deep/a b");
    fs::create_dir_all(&dir).unwrap();
    fill(&dir);
    fs::write(case.join("old/srv/deep/locked"), "old").unwrap();
    if variant == Variant::Locked {
        set_flags(&case.join("old/srv/deep/locked"), rustix::fs::IFlags::IMMUTABLE);
    }
    if variant != Variant::Missing {
        let dir = case.join("root/srv/deep/a b");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("file"), "present").unwrap();
        symlink("present", case.join("root/srv/deep/locked")).unwrap();
    }
    support::sandbox::sync(top);
    let old = walk(&case.join("old").join(variant.path())).unwrap();
    let present = walk(&case.join("root").join(variant.path()));
    Setup { case, variant, old, present }
}

impl Setup {
    fn live(&self) -> PathBuf {
        self.case.join("root").join(self.variant.path())
    }

    /// What the command does, without its output.
    fn restore(&self) -> Result<(), String> {
        let failed = |error: dirfd::Error| error.to_string();
        let machine = Machine::open(&self.case.join("root")).map_err(failed)?;
        let time = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let id = || TreeId::new("of no matter");
        let tree = Tree {
            id: id(),
            name: TreeName::new("old").unwrap(),
            read_only: false,
            created: None,
            copy_of: None,
            pristine: None,
        };
        let old_root = OldRoot::new(tree, Record::next(&[], "3f2a1c9e", time, id(), id()));
        let open = |_: &Tree| Ok(View::new(File::open(self.case.join("old")).unwrap().into()));
        let old_roots = OldRoots::new(vec![old_root], &open);
        let paths = [TreePath::parse(self.variant.path().as_bytes()).unwrap()];
        let request = RestoreRequest { paths: &paths, from: None, to: None, overwrite: true };
        let plan = plan_restore(&request, &machine, &old_roots)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())?;
        execute_restore(&plan, &machine, &old_roots, &mut |_, _| {}, |_| {})
            .map(drop)
            .map_err(|stopped| stopped.to_string())
    }

    /// The next run. A program that another test starts has the locks of this one until it runs, so that a
    /// private directory may stay for a moment longer.
    fn restore_again(&self, what: &str) {
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            self.restore().unwrap_or_else(|error| panic!("{what}: the next run: {error}"));
            let is_left = self.case.join("root/.blankroot.tmp-0").exists();
            if !is_left || Instant::now() > patience {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn is(&self, path: &Path, expected: &oracle::Tree) -> bool {
        walk(path).is_some_and(|found| {
            oracle::changes(expected, &found).is_empty()
                || oracle::changes(&without_locks(expected), &found).is_empty()
        })
    }

    /// What was set aside, or is waiting to be exchanged.
    fn beside(&self) -> Vec<PathBuf> {
        let live = self.live();
        let Ok(dir) = fs::read_dir(live.parent().unwrap()) else { return Vec::new() };
        let start = format!("{}.before-restore-", live.file_name().unwrap().to_str().unwrap());
        let paths = dir.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&start))
            .collect()
    }

    fn check_safe(&self, what: &str) {
        let live = self.live();
        let restored = self.is(&live, &self.old);
        match &self.present {
            None => assert!(
                restored || live.symlink_metadata().is_err(),
                "{what}: a part has the name of the whole"
            ),
            Some(present) => {
                let is_present = self.is(&live, present);
                assert!(restored || is_present, "{what}: neither is there");
                let beside = self.beside();
                let one = |tree| beside.iter().any(|path| self.is(path, tree));
                assert!(is_present || one(present), "{what}: the present one is lost");
                let whole = |path: &PathBuf| self.is(path, present) || self.is(path, &self.old);
                assert!(beside.iter().all(whole), "{what}: a part lies beside it");
            }
        }
        assert!(self.is(&self.case.join("old").join(self.variant.path()), &self.old), "{what}");
    }

    /// The same where between two renames nothing has the name.
    fn check_nothing_lost(&self, what: &str) {
        let present = self.present.as_ref().unwrap();
        let dir = fs::read_dir(self.live().parent().unwrap()).unwrap();
        let paths: Vec<PathBuf> = dir.map(|entry| entry.unwrap().path()).collect();
        let is_there = paths.iter().any(|path| self.is(path, present));
        assert!(is_there, "{what}: the present one is lost; there is {paths:?}");
    }

    fn check_done(&self, what: &str) {
        self.check_safe(what);
        let found = walk(&self.live()).unwrap();
        assert_eq!(oracle::changes(&self.old, &found), [], "{what}: not restored");
        let expected = usize::from(self.present.is_some());
        assert_eq!(self.beside().len(), expected, "{what}: {:?}", self.beside());
        let top = fs::read_dir(self.case.join("root")).unwrap().map(|entry| entry.unwrap().path());
        // What was to be a parent is empty, and nobody looks for its temporary name.
        let is_no_parent = |path: &PathBuf| !path.ends_with(".srv.tmp-0");
        let left: Vec<PathBuf> = top.filter(is_no_parent).collect();
        assert_eq!(left, [self.case.join("root/srv")], "{what}: something is left at the top");
        let expected = if self.present.is_some() { 3 } else { 1 };
        let names = fs::read_dir(self.case.join("root/srv/deep")).unwrap();
        let names = names.filter(|name| name.as_ref().unwrap().file_name() != ".a b.tmp-0").count();
        let inside = usize::from(self.variant == Variant::File);
        assert_eq!(names + inside, expected, "{what}: something is left beside it");
    }
}

/// What is not in its place yet has no flags that would keep it from there.
fn without_locks(tree: &oracle::Tree) -> oracle::Tree {
    let mut tree = tree.clone();
    if let Some(top) = tree.get_mut(&Vec::new()) {
        top.flags &= !rustix::fs::IFlags::IMMUTABLE.bits();
    }
    tree
}

#[test]
fn whatever_fails_in_a_restore_nothing_is_lost_and_the_next_run_finishes() {
    on_btrfs(|sandbox| {
        for variant in VARIANTS {
            let setup = build(sandbox.top(), variant);
            let (result, passed) = run_with(None, None, || setup.restore());
            result.unwrap();
            setup.check_done("undisturbed");
            if variant == Variant::Dir {
                let mut distinct = passed.clone();
                let mut seen = Vec::new();
                distinct.retain(|point| {
                    !seen.contains(point) && {
                        seen.push(*point);
                        true
                    }
                });
                assert_eq!(distinct, OVERWRITE);
            }
            for (position, point) in passed.iter().enumerate() {
                let errnos = if variant == Variant::Dir { &ERRNOS[..] } else { &ERRNOS[..1] };
                let fails = errnos.iter().map(|&errno| Fault::FailNth(position, errno));
                let cuts = [Fault::CutBeforeNth(position), Fault::CutAfterNth(position)];
                for fault in fails.chain(cuts) {
                    let what = format!("restore {variant:?}, {fault:?} ({point})");
                    let setup = build(sandbox.top(), variant);
                    let (result, _) = run_with(Some(fault), None, || setup.restore());
                    assert!(result.is_err(), "{what}: nobody noticed");
                    setup.check_safe(&what);
                    setup.restore_again(&what);
                    setup.check_done(&what);
                }
            }
        }
    });
}

#[test]
fn where_nothing_can_be_exchanged_nothing_is_lost_and_the_next_run_finishes() {
    on_fuse2fs(|top| {
        let build = |variant| build_in(top, variant, |tree| fs::create_dir(tree).unwrap());
        for variant in [Variant::Dir, Variant::File] {
            let setup = build(variant);
            let (result, passed) = run_with(None, None, || setup.restore());
            result.unwrap();
            setup.check_done("undisturbed");
            let renames = passed.iter().enumerate().filter(|(_, at)| at.starts_with("exchange: "));
            let renames: Vec<(usize, &&str)> = renames.collect();
            assert_eq!(renames.iter().map(|(_, point)| **point).collect::<Vec<_>>(), RENAMES);
            for (position, point) in renames {
                for fault in [
                    Fault::FailNth(position, crate::ENOSPC),
                    Fault::CutBeforeNth(position),
                    Fault::CutAfterNth(position),
                ] {
                    let what = format!("restore {variant:?}, {fault:?} ({point})");
                    let setup = build(variant);
                    let (result, _) = run_with(Some(fault), None, || setup.restore());
                    assert!(result.is_err(), "{what}: nobody noticed");
                    setup.check_nothing_lost(&what);
                    setup.restore_again(&what);
                    setup.check_done(&what);
                }
            }
        }
    });
}

#[test]
fn the_power_may_go_after_any_change_of_a_restore() {
    on_btrfs(|sandbox| {
        for variant in VARIANTS {
            let dir = tempfile::tempdir().unwrap();
            let throwaway = small_disk();
            let mount = throwaway.mount(sandbox.namespace(), None, dir.path()).unwrap();
            let setup = build(dir.path(), variant);
            let cuts = cut_everywhere(throwaway, || setup.restore());
            mount.unmount().unwrap();
            let named = cuts.iter().position(|(point, _)| point.ends_with("sync name"));
            let named =
                named.or(cuts.iter().position(|(point, _)| point.ends_with("sync directory")));
            for (number, (point, cut)) in cuts.into_iter().enumerate() {
                let what = format!("{variant:?}, power cut after {number}: {point}");
                let throwaway = cut.attach().unwrap();
                check_disk(throwaway.device(), &what);
                let mount = throwaway.mount(sandbox.namespace(), None, dir.path()).unwrap();
                setup.check_safe(&what);
                let restored = setup.is(&setup.live(), &setup.old);
                assert!(
                    restored || named.is_none_or(|named| number < named),
                    "{what}: not durable"
                );
                setup.restore_again(&what);
                setup.check_done(&what);
                mount.unmount().unwrap();
            }
        }
    });
}
