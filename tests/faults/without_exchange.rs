//! The same where two names cannot be exchanged: each of the renames that do it instead may fail, the
//! power may go before and after it, and nothing is lost or taken for nothing.

use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use blankroot::config::{Config, edit};
use blankroot::host::Machine;
use blankroot::persist::keep_execute::{self, KeepContext};
use blankroot::persist::keep_request::{self, KeepRequest};
use blankroot::persist::list;
use blankroot::persist::persistence::Persistence;
use blankroot::persist::plan::{Adopt, ApplyOptions};
use blankroot::persist::resolve::resolve_entries;
use blankroot::persist::unkeep_execute;
use blankroot::persist::unkeep_plan::{self, StoredDataAction};
use dirfd::TreePath;
use dirfd::atomic_file::exchange;
use dirfd::fault::{Fault, run_with};
use dirfd::stat::Place;
use nix::mount::{MsFlags, mount};
use support::oracle;
use support::sandbox::unmount_below;
use support::without_exchange::on_fuse2fs;

use crate::ENOSPC;
use crate::keep::patiently;

/// What takes the place of one call.
pub(crate) const RENAMES: [&str; 3] =
    ["exchange: name beside", "exchange: set aside", "exchange: name"];

fn place<'d>(dir: &'d File, name: &'d CStr) -> Place<'d> {
    Place { dir: dir.as_fd(), name }
}

/// Two names in directories of their own.
fn two_names(top: &Path) -> [PathBuf; 2] {
    let names = [top.join("private/name"), top.join("dir/name")];
    for (path, text) in names.iter().zip(["new", "in use"]) {
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    names
}

fn try_exchange(names: &[PathBuf; 2]) -> std::io::Result<()> {
    let [new, in_use] = names.each_ref().map(|path| File::open(path.parent().unwrap()).unwrap());
    exchange("exchange", place(&new, c"name"), place(&in_use, c"name"))
}

fn texts(names: &[PathBuf; 2]) -> [String; 2] {
    names.each_ref().map(|path| fs::read_to_string(path).unwrap_or_default())
}

#[test]
fn an_exchange_by_renames_that_fails_has_changed_nothing() {
    on_fuse2fs(|top| {
        let dir = tempfile::tempdir_in(top).unwrap();
        let names = two_names(dir.path());
        let (done, passed) = run_with(None, None, || try_exchange(&names));
        done.unwrap();
        assert_eq!(passed, [&["exchange"], &RENAMES[..]].concat());
        assert_eq!(texts(&names), ["in use", "new"]);
        for (position, point) in passed.iter().enumerate() {
            let dir = tempfile::tempdir_in(top).unwrap();
            let names = two_names(dir.path());
            let fault = Fault::FailNth(position, ENOSPC);
            let (done, _) = run_with(Some(fault), None, || try_exchange(&names));
            assert_eq!(done.unwrap_err().raw_os_error(), Some(ENOSPC), "{point}");
            assert_eq!(texts(&names), ["new", "in use"], "{point}");
            let count = fs::read_dir(dir.path().join("dir")).unwrap().count();
            assert_eq!(count, 1, "{point}: something is left");
        }
    });
}

#[test]
fn an_exchange_that_cannot_be_undone_says_who_has_which_name() {
    on_fuse2fs(|top| {
        // Somebody takes a name as soon as nothing has it.
        for (after, taken) in [("exchange: set aside", 1), ("exchange: name beside", 0)] {
            let dir = tempfile::tempdir_in(top).unwrap();
            let names = two_names(dir.path());
            let path = names[taken].clone();
            let watcher = move |point| {
                if point == after {
                    fs::write(&path, "somebody's").unwrap();
                }
            };
            let (done, _) = run_with(None, Some(Box::new(watcher)), || try_exchange(&names));
            let why = done.unwrap_err().to_string();
            assert!(why.contains("what was to be there"), "{why}");
            assert!(why.contains(".name.new-1") && why.contains("File exists"), "{why}");
            assert_eq!(texts(&names)[taken], "somebody's", "{why}");
            assert_eq!(fs::read(dir.path().join("dir/.name.new-1")).unwrap(), b"new", "{why}");
            assert_eq!(texts(&names)[1 - taken], "in use", "{why}");
            let told = why.contains("what was there is named name by now");
            assert_eq!(told, taken == 1, "{why}");
        }
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    /// `keep --adopt`, where storage has other data.
    Keep,
    /// `keep`, while somebody changes what was copied already.
    KeepAgain,
    /// `apply --adopt`, where storage has other data.
    Apply,
    /// `unkeep --move-back`.
    Unkeep,
}

const STORIES: [Story; 4] = [Story::Keep, Story::KeepAgain, Story::Apply, Story::Unkeep];

const PATH: &str = "srv/notes";

/// A root directory and a storage.
struct Case {
    story: Story,
    root: PathBuf,
    /// All data that may not be lost.
    data: Vec<oracle::Tree>,
    /// What live had first, which is as good until what it has later is stored.
    first: oracle::Tree,
}

impl Case {
    fn build(top: &Path, story: Story) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let case = top.join(format!("case {}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let root = case.join("root");
        for dir in ["root/etc", "root/persist", "root/srv", "store"] {
            fs::create_dir_all(case.join(dir)).unwrap();
        }
        let lists = if story == Story::Apply { "\"/srv/notes\"" } else { "" };
        let text = format!(
            "[root]\nbackend = \"tmpfs\"\n\n[[storage]]\npath = \"/persist\"\ndirectories = \
             [{lists}]\n"
        );
        fs::write(root.join("etc/blankroot.toml"), text).unwrap();
        let (from, to) = (case.join("store"), root.join("persist"));
        mount(Some(&from), &to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        let first = fill(&root.join(PATH), "of live");
        let mut made = Self { story, root, data: vec![first.clone()], first };
        match story {
            Story::Keep | Story::Apply => made.data.push(fill(&made.stored(), "of storage")),
            Story::KeepAgain => {}
            Story::Unkeep => {
                made.keep(false).unwrap();
                fs::write(made.live().join("later"), "x").unwrap();
                made.data = vec![oracle::walk(&made.live())];
            }
        }
        made
    }

    fn live(&self) -> PathBuf {
        self.root.join(PATH)
    }

    fn stored(&self) -> PathBuf {
        self.root.join("persist").join(PATH)
    }

    fn config(&self) -> PathBuf {
        self.root.join("etc/blankroot.toml")
    }

    /// The next run. What storage has by then may be what was copied first.
    fn run_again(&self) -> Result<(), String> {
        if self.story == Story::KeepAgain { self.keep(true) } else { self.run() }
    }

    fn run(&self) -> Result<(), String> {
        match self.story {
            Story::Keep => self.keep(true),
            Story::KeepAgain => self.keep(false),
            Story::Apply => self.apply(Adopt::Everything),
            Story::Unkeep => self.unkeep(),
        }
    }

    /// Runs with a fault, and returns what it passed, too.
    fn run_with(&mut self, fault: Option<Fault>) -> (Result<(), String>, Vec<&'static str>) {
        let mut file = (self.story == Story::KeepAgain)
            .then(|| File::options().append(true).open(self.live().join("file")).unwrap());
        let watcher = move |point| {
            if point == "copy: sync name"
                && let Some(mut file) = file.take()
            {
                file.write_all(b", and more").unwrap();
            }
        };
        let ran = run_with(fault, Some(Box::new(watcher)), || self.run());
        if self.story == Story::KeepAgain {
            // What is there now, mounted or not, is what counts.
            self.data = vec![oracle::walk(&self.live())];
        }
        ran
    }

    fn keep(&self, adopt: bool) -> Result<(), String> {
        patiently(|| self.try_keep(adopt))
    }

    fn try_keep(&self, adopt: bool) -> Result<(), String> {
        let config = Config::load(&self.config()).map_err(|why| why.to_string())?;
        let machine = Machine::open(&self.root).map_err(|why| why.to_string())?;
        let paths = [(path(), false)];
        let request =
            KeepRequest { paths: &paths, storage: None, how: None, old_root: None, adopt };
        let plan = keep_request::plan_keep(&request, &machine, &config, &|| Ok(None))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())?;
        let config = &self.config();
        let context =
            KeepContext { machine: &machine, config, old_root: None, even_if_unseen: true };
        keep_execute::execute_keep(&plan, &context, &mut |_, _| {}, |_| {})
            .map(drop)
            .map_err(|stopped| stopped.to_string())
    }

    fn apply(&self, adopt: Adopt) -> Result<(), String> {
        let config = Config::load(&self.config()).map_err(|why| why.to_string())?;
        let machine = Machine::open(&self.root).map_err(|why| why.to_string())?;
        let keep_list = list::keep_list(&config);
        let mut persistence = Persistence::new(&machine, &keep_list, || Ok(None)).unwrap();
        let plan = persistence.plan(ApplyOptions { adopt, mounts: true, early: false }).unwrap();
        let outcome = persistence.execute(&plan, &mut |_, _| {});
        let refused = plan.refusals.iter().map(ToString::to_string);
        let failed = outcome.failed.iter().map(|(_, why)| why.to_string());
        let all: Vec<String> = refused.chain(failed).collect();
        if all.is_empty() { Ok(()) } else { Err(all.join("\n")) }
    }

    fn unkeep(&self) -> Result<(), String> {
        patiently(|| self.try_unkeep())
    }

    fn try_unkeep(&self) -> Result<(), String> {
        let failed = |why: dirfd::Error| why.to_string();
        let config = Config::load(&self.config()).map_err(|why| why.to_string())?;
        let text = fs::read_to_string(self.config()).unwrap();
        let machine = Machine::open(&self.root).map_err(failed)?;
        let keep_list = list::keep_list(&config);
        let resolved = resolve_entries(&keep_list);
        let one = resolved.first().ok_or("it is not on the keep list")?;
        let after = edit::remove_entry(&text, &path()).map_err(failed)?;
        let now = unkeep_plan::probe_live(&machine, one).map_err(failed)?;
        let (data, both) = (StoredDataAction::MoveBack, (text.as_str(), after.as_str()));
        let plan = unkeep_plan::plan_unkeep(one, &keep_list, data, now, true, both);
        let config = &self.config();
        let context =
            KeepContext { machine: &machine, config, old_root: None, even_if_unseen: true };
        let plan = plan.map_err(failed)?;
        unkeep_execute::execute_unkeep(&plan, &context, both, &mut |_, _| {}, |_| {})
            .map(drop)
            .map_err(|stopped| stopped.to_string())
    }

    /// What has the path or a name of Blankroot's beside it, on both sides.
    fn found(&self) -> Vec<(PathBuf, oracle::Tree)> {
        let sides = [self.live(), self.stored()];
        let dirs = sides.iter().filter_map(|side| fs::read_dir(side.parent().unwrap()).ok());
        let paths = dirs.flatten().map(|entry| entry.unwrap().path());
        paths.map(|path| (path.clone(), oracle::walk(&path))).collect()
    }

    fn check_nothing_lost(&self, what: &str) {
        let found = self.found();
        for data in &self.data {
            let there = found.iter().any(|(_, tree)| oracle::changes(data, tree).is_empty());
            let paths: Vec<&Path> = found.iter().map(|(path, _)| path.as_path()).collect();
            assert!(there, "{what}: data is lost; there is {paths:?}");
        }
    }

    /// Whether a path has all of some data, and not nothing.
    fn has_data(&self, path: &Path) -> bool {
        let tree = oracle::walk(path);
        let all = self.data.iter().chain([&self.first]);
        all.into_iter().any(|data| oracle::changes(data, &tree).is_empty())
    }

    /// Takes away what a rollback takes away.
    fn roll_back(&self) {
        self.unmount();
        let srv = self.root.join("srv");
        rustix::fs::rename(&srv, self.root.join("of the old root")).unwrap();
        fs::create_dir(srv).unwrap();
    }

    fn unmount(&self) {
        unmount_below(&self.root, &[self.root.join("persist")]);
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        unmount_below(&self.root, &[]);
    }
}

fn path() -> TreePath {
    TreePath::parse(PATH.as_bytes()).unwrap()
}

fn fill(dir: &Path, text: &str) -> oracle::Tree {
    fs::create_dir_all(dir.join("a b\n")).unwrap();
    fs::write(dir.join("file"), text).unwrap();
    fs::hard_link(dir.join("file"), dir.join("a b\n/second name")).unwrap();
    fs::write(dir.join(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff")), "x").unwrap();
    oracle::walk(dir)
}

/// The renames that a story passes, by position.
fn renames_of(top: &Path, story: Story) -> Vec<(usize, &'static str)> {
    let mut case = Case::build(top, story);
    let (done, passed) = case.run_with(None);
    done.unwrap_or_else(|why| panic!("{story:?}: {why}"));
    case.check_nothing_lost(&format!("{story:?}"));
    let all = passed.into_iter().enumerate();
    let renames: Vec<_> = all.filter(|(_, point)| point.starts_with("exchange: ")).collect();
    let points: Vec<&str> = renames.iter().map(|(_, point)| *point).collect();
    assert_eq!(points, RENAMES, "{story:?}");
    renames
}

#[test]
fn a_rename_that_fails_is_undone_and_the_next_run_finishes() {
    on_fuse2fs(|top| {
        for story in STORIES {
            for (position, point) in renames_of(top, story) {
                let what = format!("{story:?}, {point} fails");
                let mut case = Case::build(top, story);
                let (done, _) = case.run_with(Some(Fault::FailNth(position, ENOSPC)));
                let why = done.expect_err(&what);
                assert!(why.contains("No space left on device"), "{what}: {why}");
                case.check_nothing_lost(&what);
                let found = case.found();
                let left: Vec<&Path> = found.iter().map(|(path, _)| path.as_path()).collect();
                assert!(left.iter().all(|path| path.ends_with("notes")), "{what}: {left:?}");
                assert!(case.live().exists() && case.stored().exists(), "{what}: {left:?}");
                case.run_again().unwrap_or_else(|why| panic!("{what}: the next run: {why}"));
                case.check_nothing_lost(&what);
                assert!(case.has_data(&case.live()), "{what}");
            }
        }
    });
}

/// Lets each story die before and after each of its renames, and then looks at what is left.
fn for_each_cut(look: impl Fn(&mut Case, Story, &str) + Sync) {
    on_fuse2fs(|top| {
        for story in STORIES {
            for (position, point) in renames_of(top, story) {
                for fault in [Fault::CutBeforeNth(position), Fault::CutAfterNth(position)] {
                    let what = format!("{story:?}, {fault:?} ({point})");
                    let mut case = Case::build(top, story);
                    let (done, _) = case.run_with(Some(fault));
                    assert!(done.is_err(), "{what}");
                    look(&mut case, story, &what);
                }
            }
        }
    });
}

#[test]
fn the_process_may_die_between_two_renames_and_the_next_run_finishes() {
    for_each_cut(|case, story, what| {
        case.check_nothing_lost(what);
        case.run_again().unwrap_or_else(|why| panic!("{what}: the next run: {why}"));
        case.check_nothing_lost(what);
        let sides = [case.live(), case.stored()];
        let places = if story == Story::Unkeep { &sides[..1] } else { &sides[..] };
        for place in places {
            let tree = oracle::walk(place);
            let lived = oracle::changes(&case.data[0], &tree).is_empty();
            assert!(lived, "{what}: {} is another", place.display());
        }
    });
}

#[test]
fn the_power_may_go_between_two_renames_and_the_next_boot_finds_the_data() {
    for_each_cut(|case, story, what| {
        // What is in live alone goes with it, and is in an old root.
        case.roll_back();
        // The entry is not written before the copy is whole.
        let declared = story != Story::Keep;
        let next = if declared { case.apply(Adopt::Nothing) } else { case.keep(false) };
        next.unwrap_or_else(|why| panic!("{what}, then a boot: {why}"));
        for place in [case.live(), case.stored()] {
            assert!(case.has_data(&place), "{what}, then a boot: {}", place.display());
        }
    });
}
