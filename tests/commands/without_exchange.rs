//! Commands on a file system that cannot exchange two names, for live and for storage.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use support::oracle;
use support::sandbox::unmount_below;
use support::without_exchange::on_fuse2fs;

use crate::machine::Ran;

/// A machine whose root directory and storage are there.
struct Plain<'t> {
    top: &'t Path,
    live: PathBuf,
    stored: PathBuf,
}

/// A machine with these lists for its storage.
fn on_plain(lists: &str, story: impl FnOnce(&Plain<'_>) + Send) {
    on_fuse2fs(|top| {
        let live = top.join("live");
        let machine = Plain { top, stored: live.join("persist"), live };
        for dir in ["live/etc", "live/persist", "live/srv", "store", "host/run"] {
            fs::create_dir_all(top.join(dir)).unwrap();
        }
        let text = format!(
            "[root]\nbackend = \"directory\"\npath = \"{}\"\nlive = \"live\"\n\n[[storage]]\npath = \
             \"/persist\"\n{lists}\n",
            top.display()
        );
        fs::write(machine.live.join("etc/blankroot.toml"), text).unwrap();
        bind(&top.join("store"), &machine.stored);
        story(&machine);
        unmount_below(&machine.live, &[]);
    });
}

fn bind(from: &Path, to: &Path) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}

impl Plain<'_> {
    #[expect(clippy::disallowed_methods, reason = "the command under test")]
    fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blankroot"));
        command.args(args).arg("--root").arg(&self.live).env_clear().stdin(Stdio::null());
        if args[0] != "unkeep" {
            command.arg("--host").arg(self.top.join("host"));
        }
        if ["keep", "unkeep"].contains(&args[0]) {
            command.arg("--even-if-unseen");
        }
        Ran::of(command.output().unwrap())
    }

    /// The names in a directory of storage.
    fn names(&self, dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A directory with this in it, and with a name that is not for people.
fn notes(dir: &Path, text: &str) -> oracle::Tree {
    fs::create_dir_all(dir.join("a b\n")).unwrap();
    fs::write(dir.join("a b\n/file"), text).unwrap();
    fs::hard_link(dir.join("a b\n/file"), dir.join("second name")).unwrap();
    oracle::walk(dir)
}

fn same(one: &oracle::Tree, other: &Path) {
    assert_eq!(oracle::changes(one, &oracle::walk(other)), []);
}

#[test]
fn keep_sets_aside_what_storage_had_and_unkeep_brings_the_data_back() {
    on_plain("", |machine| {
        let (live, stored) = (machine.live.join("srv/notes"), machine.stored.join("srv/notes"));
        let (lived, other) = (notes(&live, "of live"), notes(&stored, "of storage"));
        machine.run(&["keep", "/srv/notes"]).expect(1).complains("in storage has other data");
        let ran = machine.run(&["keep", "--adopt", "/srv/notes"]).expect(0);
        ran.says("what /persist/srv/notes had before is /persist/srv/.notes.before-1 by now")
            .says("done: mount /persist/srv/notes at /srv/notes");
        same(&lived, &live);
        same(&lived, &stored);
        same(&other, &machine.stored.join("srv/.notes.before-1"));
        assert_eq!(machine.names(&machine.stored), ["srv"]);
        assert_eq!(machine.names(&machine.stored.join("srv")), [".notes.before-1", "notes"]);

        fs::write(live.join("later"), "x").unwrap();
        let lived = oracle::walk(&live);
        let ran = machine.run(&["unkeep", "--move-back", "/srv/notes"]).expect(0);
        ran.says("note: what /srv/notes had before is /srv/.notes.before-1 by now");
        same(&lived, &live);
        assert_eq!(machine.names(&live.with_file_name("")), [".notes.before-1", "notes"]);
        assert_eq!(machine.names(&machine.stored.join("srv")), [".notes.before-1"]);
    });
}

#[test]
fn apply_moves_hidden_content_into_storage() {
    on_plain("directories = [\"/srv/notes\"]", |machine| {
        let (live, stored) = (machine.live.join("srv/notes"), machine.stored.join("srv/notes"));
        let (lived, other) = (notes(&live, "of live"), notes(&stored, "of storage"));
        machine.run(&["apply"]).expect(1).complains("data that nothing else has");
        let ran = machine.run(&["apply", "--adopt"]).expect(0);
        ran.says("what /persist/srv/notes had before is /persist/srv/.notes.before-1 by now");
        same(&lived, &live);
        same(&lived, &stored);
        same(&other, &machine.stored.join("srv/.notes.before-1"));
        machine.run(&["apply"]).expect(0).says("the one kept path is in its place");
    });
}

#[test]
fn a_link_takes_the_place_of_what_a_program_wrote_there_and_gives_way_to_a_mount() {
    let lists = "directories = [{ path = \"/srv/linked\", how = \"bind\" }]\nfiles = [{ path = \
                 \"/etc/app.conf\", how = \"symlink\" }]";
    on_plain(lists, |machine| {
        let (file, dir) = (machine.live.join("etc/app.conf"), machine.live.join("srv/linked"));
        fs::create_dir(machine.stored.join("etc")).unwrap();
        fs::write(machine.stored.join("etc/app.conf"), "earlier").unwrap();
        fs::write(&file, "written anew").unwrap();
        let linked = notes(&machine.stored.join("srv/linked"), "linked");
        symlink("../persist/srv/linked", &dir).unwrap();
        machine.run(&["apply", "--adopt-replaced"]).expect(0);
        assert!(file.is_symlink() && !dir.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"written anew");
        assert_eq!(fs::read(machine.stored.join("etc/.app.conf.before-1")).unwrap(), b"earlier");
        same(&linked, &dir);
        assert_eq!(machine.names(&machine.live.join("srv")), ["linked"]);
        assert_eq!(machine.names(&machine.live.join("etc")), ["app.conf", "blankroot.toml"]);
    });
}

/// What a power cut in the middle of `keep --adopt` or `apply --adopt` leaves, after a rollback.
#[test]
fn data_whose_exchange_was_cut_short_gets_its_name_and_nothing_is_made_in_its_place() {
    let lists = "directories = [\"/srv/notes\", \"/srv/other\"]\nfiles = [\"/etc/app.conf\"]";
    on_plain(lists, |machine| {
        let srv = machine.stored.join("srv");
        let (next, other) = (notes(&srv.join(".notes.new-1"), "next"), srv.join(".notes.before-1"));
        let before = notes(&other, "before");
        fs::create_dir(machine.stored.join("etc")).unwrap();
        fs::write(machine.stored.join("etc/.app.conf.new-1"), "next").unwrap();
        let step = "give /persist/srv/.notes.new-1, which an interrupted run has left, its name \
                    /persist/srv/notes";
        machine.run(&["apply", "--dry-run"]).expect(0).says(&format!("2. {step}\n"));
        let ran = machine.run(&["unkeep", "--move-back", "/srv/notes"]).expect(1);
        ran.complains("an interrupted run has left its data as /persist/srv/.notes.new-1")
            .complains("hint: run `blankroot apply`");
        assert!(!srv.join("notes").exists());
        let ran = machine.run(&["doctor"]);
        ran.says(
            "an interrupted run has left its data beside /persist/srv/notes, without its name",
        )
        .says("`blankroot apply`, which gives it its name");

        machine.run(&["apply"]).expect(0).says(&format!("done: {step}\n"));
        same(&next, &srv.join("notes"));
        same(&next, &machine.live.join("srv/notes"));
        same(&before, &other);
        assert_eq!(fs::read(machine.live.join("etc/app.conf")).unwrap(), b"next");
        assert_eq!(machine.names(&srv), [".notes.before-1", "notes", "other"]);
        machine.run(&["apply"]).expect(0).says("all 3 kept paths are in their places");
        machine.run(&["unkeep", "--move-back", "/srv/notes"]).expect(0);
        same(&next, &machine.live.join("srv/notes"));
    });
}

#[test]
fn data_whose_exchange_was_cut_short_is_not_hidden_and_keep_goes_on_from_there() {
    on_plain("", |machine| {
        let (live, srv) = (machine.live.join("srv"), machine.stored.join("srv"));
        // After a rollback, from before the configuration had the entry.
        let gone = notes(&srv.join(".gone.new-1"), "gone");
        let ran = machine.run(&["keep", "/srv/gone"]).expect(0);
        ran.says(
            "done: give /persist/srv/.gone.new-1, which an interrupted run has left, its name",
        )
        .says("done: mount /persist/srv/gone at /srv/gone");
        same(&gone, &live.join("gone"));
        // Live has the same still.
        let lived = notes(&live.join("notes"), "of live");
        machine.run(&["keep", "/srv/notes"]).expect(0);
        unmount_below(&live, &[live.join("gone")]);
        rustix::fs::rename(srv.join("notes"), srv.join(".notes.new-1")).unwrap();
        let ran = machine.run(&["keep", "/srv/notes"]).expect(0);
        ran.says("see that /srv/notes is still what was copied").says("done: mount /persist");
        same(&lived, &srv.join("notes"));
        assert_eq!(machine.names(&srv), ["gone", "notes"]);
        // Live has other data by now.
        unmount_below(&live, &[live.join("gone")]);
        rustix::fs::rename(srv.join("notes"), srv.join(".notes.new-1")).unwrap();
        fs::write(live.join("notes/later"), "x").unwrap();
        let changed = oracle::walk(&live.join("notes"));
        machine.run(&["keep", "/srv/notes"]).expect(1).complains("in storage has other data");
        let ran = machine.run(&["apply"]).expect(1).complains("data that nothing else has");
        ran.says("done: give /persist/srv/.notes.new-1");
        machine.run(&["keep", "--adopt", "/srv/notes"]).expect(0);
        same(&changed, &srv.join("notes"));
        same(&lived, &srv.join(".notes.before-1"));
    });
}

#[test]
fn what_has_another_name_or_is_not_whole_is_no_data_of_an_entry() {
    on_plain("directories = [\"/srv/notes\"]", |machine| {
        notes(&machine.stored.join("srv/.other.new-1"), "another's");
        notes(&machine.stored.join("srv/.notes.tmp-0"), "half");
        machine.run(&["apply"]).expect(0).says("make /persist/srv/notes: directory");
        assert_eq!(machine.names(&machine.stored.join("srv/notes")), [""; 0]);
    });
}
