//! The same for `keep` and `unkeep`: at every moment somebody has all of the data, the configuration
//! is whole, and the next run finishes or says why not.

use std::cell::RefCell;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use blankroot::config::{Config, edit, lock_and_write};
use blankroot::host::Machine;
use blankroot::persist::keep_execute::{self, KeepContext};
use blankroot::persist::keep_request::{self, KeepRequest};
use blankroot::persist::list;
use blankroot::persist::resolve::resolve_entries;
use blankroot::persist::unkeep_plan::{self, StoredDataAction};
use dirfd::fault::{Fault, run_with};
use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use dirfd::{TreeName, TreePath};
use scratch::file_systems::{PowerCut, Throwaway};

use support::kernel::create_subvolume;
use support::oracle;
use support::sandbox::on_btrfs;
use tempfile::TempDir;

use crate::{ERRNOS, check_disk, small_disk};
use blankroot::persist::unkeep_execute;

/// What is kept, and where storage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// A directory, to another subvolume.
    Dir,
    /// A directory, to another file system, where no extents can be shared.
    Far,
    /// A file that is mounted.
    File,
    /// A file that is linked.
    Link,
}

const VARIANTS: [Variant; 4] = [Variant::Dir, Variant::Far, Variant::File, Variant::Link];

impl Variant {
    fn path(self) -> &'static str {
        match self {
            Self::Dir | Self::Far => "srv/a b",
            Self::File => "srv/a b/file",
            Self::Link => "etc/machine-info",
        }
    }
}

/// Every kind of change that a `keep` of a directory makes, in the order in which it comes first.
const KEEP: [&str; 27] = [
    "lock: make file",
    "apply: make directory",
    "apply: set mode",
    "apply: name",
    "copy: make private directory",
    "xattr: mark private directory",
    "copy: make directory",
    "copy: set mode",
    "copy: set times",
    "copy: make node",
    "copy: make file",
    "copy: clone",
    "copy: make link",
    "copy: link",
    "xattr: set",
    "copy: sync",
    "copy: name",
    "copy: sync name",
    "copy: remove private directory",
    "file: create",
    "file: write",
    "file: sync",
    "file: sync attributes",
    "file: rename",
    "file: sync directory",
    "apply: mount",
    "lock: remove file",
];

/// The same for `unkeep --move-back`.
const UNKEEP: [&str; 30] = [
    "lock: make file",
    "copy: make private directory",
    "xattr: mark private directory",
    "copy: make directory",
    "copy: set mode",
    "copy: set times",
    "copy: make node",
    "copy: make file",
    "copy: clone",
    "copy: make link",
    "copy: link",
    "xattr: set",
    "copy: sync",
    "move: unmount",
    "apply: name beside",
    "apply: exchange",
    "move: sync live",
    "copy: remove private directory",
    "file: create",
    "file: write",
    "file: sync",
    "file: sync attributes",
    "file: rename",
    "file: sync directory",
    "move: rename doomed",
    "remove: file",
    "remove: directory",
    "remove: root",
    "move: sync storage",
    "lock: remove file",
];

fn distinct<'p>(passed: &[&'p str]) -> Vec<&'p str> {
    let mut seen = Vec::new();
    for point in passed {
        if !seen.contains(point) {
            seen.push(*point);
        }
    }
    seen
}

/// Two trees, mounted: live, and storage in it.
struct Setup<'n> {
    namespace: &'n PrivateNamespace,
    dir: TempDir,
    mounts: Vec<MountPoint>,
    case: String,
    variant: Variant,
    before: oracle::Tree,
    text: String,
}

fn set_up<'n>(
    namespace: &'n PrivateNamespace,
    tops: [&Path; 2],
    disks: [&Throwaway; 2],
    variant: Variant,
) -> Setup<'n> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let case = format!("keep {}", NEXT.fetch_add(1, Ordering::Relaxed));
    for (top, tree) in tops.into_iter().zip(["root", "persist"]) {
        fs::create_dir_all(top.join(&case)).unwrap();
        create_subvolume(&top.join(&case).join(tree)).unwrap();
    }
    let live = tops[0].join(&case).join("root");
    for below in ["etc", "persist", "srv/a b/empty"] {
        fs::create_dir_all(live.join(below)).unwrap();
    }
    fill(&live.join("srv/a b"));
    fs::write(live.join("etc/machine-info"), "precious\n").unwrap();
    let text = "[root]\nbackend = \"tmpfs\" # whatever\n\n[[storage]]\npath = \"/persist\"\n\
                directories = [] # none yet\nfiles = []\n";
    fs::write(live.join("etc/blankroot.toml"), text).unwrap();
    for top in tops {
        support::sandbox::sync(top);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup {
        namespace,
        dir,
        mounts: Vec::new(),
        case,
        variant,
        before: oracle::Tree::new(),
        text: text.to_string(),
    };
    setup.boot(disks);
    setup.before = walk(&setup.live());
    setup
}

fn fill(dir: &Path) {
    fs::write(dir.join("file"), "precious").unwrap();
    fs::hard_link(dir.join("file"), dir.join("second\nname")).unwrap();
    let large = support::names::content(1, 40_000);
    fs::write(dir.join(std::ffi::OsStr::from_bytes(b"\xff large")), large).unwrap();
    symlink("nowhere", dir.join("link")).unwrap();
    let sparse = fs::File::create(dir.join("sparse")).unwrap();
    sparse.set_len(300_000).unwrap();
    sparse.write_all_at(b"middle", 200_000).unwrap();
    support::apply::set_xattr(&dir.join("sparse"), "user.one", b"1").unwrap();
    nix::unistd::mkfifo(&dir.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
}

/// A file is compared as a tree of one.
fn walk(path: &Path) -> oracle::Tree {
    if path.is_dir() {
        return oracle::walk(path);
    }
    // Through a link, as its programs see it.
    let entry = oracle::entry_at(&path.canonicalize().unwrap());
    [(Vec::new(), entry)].into()
}

impl Setup<'_> {
    /// Mounts what a boot mounts.
    fn boot(&mut self, disks: [&Throwaway; 2]) {
        self.halt();
        let tree = |name: &str| TreeName::new(format!("{}/{name}", self.case)).unwrap();
        let (live, storage) = (self.dir.path(), self.dir.path().join("persist"));
        let live = disks[0].mount(self.namespace, Some(&tree("root")), live).unwrap();
        let storage = disks[1].mount(self.namespace, Some(&tree("persist")), &storage).unwrap();
        self.mounts = vec![live, storage];
    }

    /// Takes all mounts away, those that a run has made too.
    fn halt(&mut self) {
        if !self.mounts.is_empty() {
            nix::mount::umount2(self.dir.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
            self.mounts.clear();
        }
    }

    fn live(&self) -> PathBuf {
        self.dir.path().join(self.variant.path())
    }

    fn stored(&self) -> PathBuf {
        self.dir.path().join("persist").join(self.variant.path())
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("etc/blankroot.toml")
    }

    fn path(&self) -> TreePath {
        TreePath::parse(self.variant.path().as_bytes()).unwrap()
    }

    /// What the command does, without its output.
    fn keep(&self) -> Result<(), String> {
        patiently(|| self.try_keep())
    }

    fn try_keep(&self) -> Result<(), String> {
        let _lock =
            lock_and_write::lock_config(&self.config(), || ()).map_err(|e| e.to_string())?;
        let config = Config::load(&self.config()).map_err(|e| e.to_string())?;
        let machine = Machine::open(self.dir.path()).map_err(|e| e.to_string())?;
        let paths = [(self.path(), false)];
        let request =
            KeepRequest { paths: &paths, storage: None, how: None, old_root: None, adopt: false };
        let plan = keep_request::plan_keep(&request, &machine, &config, &|| Ok(None))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())?;
        let config = &self.config();
        let world = KeepContext { machine: &machine, config, old_root: None, even_if_unseen: true };
        keep_execute::execute_keep(&plan, &world, &mut |_, _| {}, |_| {})
            .map(drop)
            .map_err(|e| e.to_string())
    }

    /// The same for `unkeep --move-back` or `--leave`.
    fn unkeep(&self, data: StoredDataAction) -> Result<(), String> {
        patiently(|| self.try_unkeep(data))
    }

    fn try_unkeep(&self, data: StoredDataAction) -> Result<(), String> {
        let failed = |e: dirfd::Error| e.to_string();
        let _lock = lock_and_write::lock_config(&self.config(), || ()).map_err(failed)?;
        let config = Config::load(&self.config()).map_err(|e| e.to_string())?;
        let machine = Machine::open(self.dir.path()).map_err(failed)?;
        let list = list::keep_list(&config);
        let arranged = resolve_entries(&list);
        let one = arranged.first().ok_or("it is not on the keep list")?;
        let text = fs::read_to_string(self.config()).unwrap();
        let after = edit::remove_entry(&text, &self.path()).map_err(failed)?;
        let now = unkeep_plan::probe_live(&machine, one).map_err(failed)?;
        let stored = self.stored().symlink_metadata().is_ok();
        let plan = unkeep_plan::plan_unkeep(one, &list, data, now, stored, (&text, &after))
            .map_err(failed)?;
        let config = &self.config();
        let world = KeepContext { machine: &machine, config, old_root: None, even_if_unseen: true };
        unkeep_execute::execute_unkeep(&plan, &world, (&text, &after), &mut |_, _| {}, |_| {})
            .map(drop)
            .map_err(|stopped| stopped.to_string())
    }

    fn is_declared(&self) -> bool {
        let config = Config::load(&self.config()).unwrap();
        list::keep_list(&config).iter().any(|entry| entry.path == self.path())
    }

    /// Whether `path` has all of the data.
    fn is_whole(&self, path: &Path, expected: &oracle::Tree) -> bool {
        path.symlink_metadata().is_ok() && oracle::changes(expected, &walk(path)).is_empty()
    }

    /// What must hold at every moment of a `keep`.
    fn check_safe(&self, what: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        let without = edit::remove_entry(&text, &self.path()).unwrap();
        assert_eq!(without, self.text, "{what}: the configuration is not whole");
        assert!(self.is_whole(&self.live(), &self.before), "{what}: live is not as it was");
        let stored = self.stored();
        let nothing = stored.symlink_metadata().is_err();
        assert!(
            nothing || self.is_whole(&stored, &self.before),
            "{what}: storage has a part of the data under its name"
        );
        assert!(!nothing || !self.is_declared(), "{what}: declared, and not in storage");
    }

    fn check_kept(&self, what: &str) {
        self.check_safe(what);
        assert!(self.is_declared(), "{what}: not declared");
        let live = self.live().metadata().unwrap();
        let stored = self.stored().metadata().unwrap();
        use std::os::unix::fs::MetadataExt;
        let ids = [(live.dev(), live.ino()), (stored.dev(), stored.ino())];
        assert_eq!(ids[0], ids[1], "{what}: live does not show storage");
    }

    /// What must hold at every moment of an `unkeep`: whoever is said to have the data has all.
    fn check_unkeep_safe(&self, data: StoredDataAction, lived: &oracle::Tree, what: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        let without = edit::remove_entry(&text, &self.path()).unwrap();
        assert_eq!(without, self.text, "{what}: the configuration is not whole");
        let in_storage = self.is_whole(&self.stored(), lived);
        if self.is_declared() || data == StoredDataAction::Leave {
            assert!(in_storage, "{what}: storage lost the data");
        } else {
            assert!(self.is_whole(&self.live(), lived), "{what}: live does not have the data");
        }
        let stored = self.stored();
        assert!(
            in_storage || stored.symlink_metadata().is_err(),
            "{what}: storage has a part of the data under its name"
        );
    }

    /// Kept, and changed since.
    fn live_on(&self) -> oracle::Tree {
        self.keep().unwrap();
        let live = self.live();
        if live.is_dir() { fs::write(live.join("later"), "x") } else { fs::write(&live, "later") }
            .unwrap();
        support::sandbox::sync(&self.stored());
        walk(&live)
    }
}

impl Drop for Setup<'_> {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Runs `story` for each variant with live on the sandbox's disk and storage there or on another.
fn each_variant(story: impl for<'s> Fn(Variant, &dyn Fn() -> Setup<'s>) + Sync) {
    on_btrfs(|sandbox| {
        let far = small_disk();
        let far_top = tempfile::tempdir().unwrap();
        let _mount = far.mount(sandbox.namespace(), None, far_top.path()).unwrap();
        for variant in VARIANTS {
            let near = variant != Variant::Far;
            let other = if near { sandbox.throwaway() } else { &far };
            let top = if near { sandbox.top() } else { far_top.path() };
            let disks = [sandbox.throwaway(), other];
            story(variant, &|| set_up(sandbox.namespace(), [sandbox.top(), top], disks, variant));
        }
    });
}

/// Every fault at one change. Which error it is matters little: one variant has them all.
fn faults_at(position: usize, point: &str, variant: Variant) -> Vec<Fault> {
    // All is done by then; what is left of the lock is taken over by the next run.
    if point == "lock: remove file" {
        return Vec::new();
    }
    let cuts = [Fault::CutBeforeNth(position), Fault::CutAfterNth(position)];
    let errnos = if variant == Variant::Dir { &ERRNOS[..] } else { &ERRNOS[..1] };
    // What cannot be removed may be immutable, and is tried once more.
    let errnos = errnos.iter().filter(|&&errno| errno != 1 || !point.starts_with("remove: "));
    errnos.map(|&errno| Fault::FailNth(position, errno)).chain(cuts).collect()
}

#[test]
fn whatever_fails_in_a_keep_nothing_is_lost_and_the_next_run_finishes() {
    each_variant(|variant, build| {
        let setup = build();
        let (result, passed) = run_with(None, None, || setup.keep());
        result.unwrap();
        setup.check_kept("undisturbed");
        drop(setup);
        if variant == Variant::Dir {
            assert_eq!(distinct(&passed), KEEP);
        }
        for (position, point) in passed.iter().enumerate() {
            for fault in faults_at(position, point, variant) {
                let what = format!("keep {variant:?}, {fault:?} ({point})");
                let setup = build();
                let (result, _) = run_with(Some(fault), None, || setup.keep());
                assert!(result.is_err(), "{what}: nobody noticed");
                setup.check_safe(&what);
                setup.keep().unwrap_or_else(|error| panic!("{what}: the next run: {error}"));
                setup.check_kept(&what);
            }
        }
    });
}

#[test]
fn whatever_fails_in_an_unkeep_nothing_is_lost_and_the_next_run_finishes_or_says_why() {
    each_variant(|variant, build| {
        for data in [StoredDataAction::MoveBack, StoredDataAction::Leave] {
            let setup = build();
            setup.live_on();
            let (result, passed) = run_with(None, None, || setup.unkeep(data));
            result.unwrap();
            drop(setup);
            if (variant, data) == (Variant::Dir, StoredDataAction::MoveBack) {
                assert_eq!(distinct(&passed), UNKEEP);
            }
            for (position, point) in passed.iter().enumerate() {
                for fault in faults_at(position, point, variant) {
                    let what = format!("unkeep {data:?} {variant:?}, {fault:?} ({point})");
                    let setup = build();
                    let lived = setup.live_on();
                    let (result, _) = run_with(Some(fault), None, || setup.unkeep(data));
                    assert!(result.is_err(), "{what}: nobody noticed");
                    setup.check_unkeep_safe(data, &lived, &what);
                    match setup.unkeep(data) {
                        Ok(()) => {}
                        Err(why) if why == "it is not on the keep list" => {}
                        Err(why) => panic!("{what}: the next run: {why}"),
                    }
                    setup.check_unkeep_safe(data, &lived, &what);
                    assert!(!setup.is_declared(), "{what}: still declared");
                    let copied = data == StoredDataAction::MoveBack || !setup.live().is_dir();
                    let whole = setup.is_whole(&setup.live(), &lived);
                    assert!(whole || !copied, "{what}: live has nothing of it");
                }
            }
        }
    });
}

/// Disks after each change of `work`, and before it.
fn cut_all(
    disks: &[Rc<Throwaway>],
    work: impl FnOnce() -> Result<(), String>,
) -> Vec<(&'static str, Vec<PowerCut>)> {
    let copies = |disks: &[Rc<Throwaway>]| -> Vec<PowerCut> {
        disks.iter().map(|disk| disk.image_copy().unwrap()).collect()
    };
    let cuts = Rc::new(RefCell::new(vec![("nothing", copies(disks))]));
    let (own, list) = (disks.to_vec(), Rc::clone(&cuts));
    let watcher = move |point| list.borrow_mut().push((point, copies(&own)));
    let (result, _) = run_with(None, Some(Box::new(watcher)), work);
    result.unwrap();
    cuts.take()
}

/// Cuts the power after each change of what `work` does, and lets `check` look at what is left.
fn cut_the_power(
    variant: Variant,
    prepare: impl Fn(&Setup<'_>) -> oracle::Tree + Sync,
    work: impl Fn(&Setup<'_>) -> Result<(), String> + Sync,
    check: impl Fn(&Setup<'_>, &oracle::Tree, &str) + Sync,
) {
    on_btrfs(|sandbox| {
        let count = if variant == Variant::Far { 2 } else { 1 };
        let disks: Vec<Rc<Throwaway>> = (0..count).map(|_| Rc::new(small_disk())).collect();
        let dirs: Vec<TempDir> = disks.iter().map(|_| tempfile::tempdir().unwrap()).collect();
        let tops = |disks: &[&Throwaway]| -> Vec<MountPoint> {
            let both = disks.iter().zip(&dirs);
            both.map(|(disk, dir)| disk.mount(sandbox.namespace(), None, dir.path()).unwrap())
                .collect()
        };
        let plain: Vec<&Throwaway> = disks.iter().map(Rc::as_ref).collect();
        let mounts = tops(&plain);
        let (first, last) = (dirs[0].path(), dirs[count - 1].path());
        let both = [plain[0], plain[count - 1]];
        let mut setup = set_up(sandbox.namespace(), [first, last], both, variant);
        let lived = prepare(&setup);
        let cuts = cut_all(&disks, || work(&setup));
        setup.halt();
        mounts.into_iter().for_each(|mount| mount.unmount().unwrap());
        drop(disks);
        for (number, (point, cut)) in cuts.into_iter().enumerate() {
            let what = format!("{variant:?}, power cut after {number}: {point}");
            let disks: Vec<Throwaway> = cut.into_iter().map(|cut| cut.attach().unwrap()).collect();
            disks.iter().for_each(|disk| check_disk(disk.device(), &what));
            setup.boot([&disks[0], &disks[count - 1]]);
            check(&setup, &lived, &what);
            setup.halt();
        }
    });
}

#[test]
fn the_power_may_go_after_any_change_of_a_keep() {
    for variant in VARIANTS {
        cut_the_power(
            variant,
            |setup| setup.before.clone(),
            |setup| setup.keep(),
            |setup, _, what| {
                setup.check_safe(what);
                setup.keep().unwrap_or_else(|error| panic!("{what}: {error}"));
                setup.check_kept(what);
            },
        );
    }
}

#[test]
fn the_power_may_go_after_any_change_of_an_unkeep() {
    for variant in VARIANTS {
        let data = StoredDataAction::MoveBack;
        let work = move |setup: &Setup<'_>| setup.unkeep(data);
        cut_the_power(
            variant,
            |setup| setup.live_on(),
            work,
            move |setup, lived, what| {
                setup.check_unkeep_safe(data, lived, what);
                match setup.unkeep(data) {
                    Ok(()) => {}
                    Err(why) if why == "it is not on the keep list" => {}
                    Err(why) => panic!("{what}: the next run: {why}"),
                }
                setup.check_unkeep_safe(data, lived, what);
            },
        );
    }
}

/// A program that another test starts has the files of this one open until it runs, and nothing tells
/// when that is: the refusal, which changes nothing, is met again until then.
pub fn patiently(run: impl Fn() -> Result<(), String>) -> Result<(), String> {
    let patience = Instant::now() + Duration::from_secs(5);
    loop {
        match run() {
            Err(why) if why.contains("it is in use: ") && Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(5));
            }
            done => return done,
        }
    }
}

/// Runs `keep` while somebody writes to live right after a change of this name; false if it found the
/// file in use, which nobody of this test does. A second run would rightly find two that differ.
fn keep_while_somebody_writes(setup: &Setup<'_>, after: &'static str) -> bool {
    use std::io::Write;
    let path = setup.live().join("file");
    // Open from before: as a mount hides it, nobody could open it any longer.
    let file = fs::OpenOptions::new().append(true).open(path).unwrap();
    let wrote = RefCell::new(Some(file));
    let watcher = move |point| {
        if point == after
            && let Some(mut file) = wrote.take()
        {
            file.write_all(b", and more").unwrap();
        }
    };
    let (result, passed) = run_with(None, Some(Box::new(watcher)), || setup.try_keep());
    match result {
        Err(why) if why.contains("it is in use: ") => return false,
        result => result.unwrap_or_else(|error| panic!("{after}: {error}")),
    }
    assert!(passed.contains(&"copy: exchange"), "{after}: {passed:?}");
    true
}

#[test]
fn what_is_written_between_the_copy_and_the_mount_is_not_lost() {
    each_variant(|variant, build| {
        if variant != Variant::Dir {
            return;
        }
        for after in ["copy: sync name", "file: rename", "apply: mount"] {
            let undisturbed = || {
                let setup = build();
                keep_while_somebody_writes(&setup, after).then_some(setup)
            };
            let setup = (0..100).find_map(|_| undisturbed()).expect("the file is not in use");
            for file in [setup.live().join("file"), setup.stored().join("second\nname")] {
                let text = fs::read_to_string(&file).unwrap();
                assert_eq!(text, "precious, and more", "{after}: {file:?}");
            }
            let names = fs::read_dir(setup.stored().parent().unwrap()).unwrap().count();
            assert_eq!(names, 1, "{after}: the first copy is still there");
        }
    });
}
