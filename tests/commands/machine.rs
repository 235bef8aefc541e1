//! A machine with its root on a throwaway Btrfs: what the command finds of it, and the command.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use dirfd::TreeName;
use dirfd::private_namespace::MountPoint;
use dirfd::process::Program;
use support::base;
use support::sandbox::{Sandbox, on_btrfs, on_btrfs_of};
use tempfile::TempDir;

const BTRFS: Program = Program::new("btrfs", "btrfs-progs");
pub const BOOT: &str = "3f2a1c9e-7a01-4b6e-9d0a-000000000000";

/// The file system's trees are `root`, and what `init` makes beside it.
pub struct Machine<'s> {
    pub sandbox: &'s mut Sandbox,
    /// Its proc, sys, dev and run.
    host: TempDir,
    /// Where live is mounted.
    live: TempDir,
    mounted: Option<MountPoint>,
    cwd: Option<PathBuf>,
}

/// What a run of the command left.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Tells `story` of a machine that has `root` with all sorts of files, mounted.
pub fn on_machine(story: impl FnOnce(&mut Machine<'_>) + Send) {
    on_btrfs(|sandbox| story(&mut Machine::new(sandbox)));
}

/// The same with a file system of two devices.
pub fn on_machine_with_two_disks(story: impl FnOnce(&mut Machine<'_>) + Send) {
    on_btrfs_of(2, |sandbox| story(&mut Machine::new(sandbox)));
}

/// The same with `init` done, live unmounted, and the configuration as the initrd's copy.
pub fn on_initialised(story: impl FnOnce(&mut Machine<'_>) + Send) {
    on_machine(|machine| {
        machine.initialise();
        story(machine);
    });
}

impl<'s> Machine<'s> {
    fn new(sandbox: &'s mut Sandbox) -> Self {
        base::build(&sandbox.top().join("root"));
        let host = tempfile::tempdir().unwrap();
        for dir in ["proc/sys/kernel/random", "sys/class/block", "run", "etc"] {
            fs::create_dir_all(host.path().join(dir)).unwrap();
        }
        symlink("/dev", host.path().join("dev")).unwrap();
        let live = tempfile::tempdir().unwrap();
        let mut machine = Self { sandbox, host, live, mounted: None, cwd: None };
        machine.boot(BOOT);
        machine.kernel_command_line("quiet");
        machine.mount();
        machine
    }

    pub fn initialise(&mut self) {
        self.run(&["init"]).expect(0);
        self.copy_config();
        self.unmount();
    }

    /// What an initrd does when it is built.
    pub fn copy_config(&self) {
        fs::copy(self.live().join("etc/blankroot.toml"), self.config()).unwrap();
    }

    /// The initrd's copy of the configuration.
    pub fn config(&self) -> PathBuf {
        self.host.path().join("etc/blankroot.toml")
    }

    pub fn edit_config(&self, edit: impl Fn(&str) -> String) {
        let text = fs::read_to_string(self.config()).unwrap();
        fs::write(self.config(), edit(&text)).unwrap();
    }

    /// Where its proc, sys, dev and run are.
    pub fn host(&self) -> &Path {
        self.host.path()
    }

    /// Where live is mounted.
    pub fn live(&self) -> &Path {
        self.live.path()
    }

    /// Writes a file of live, and makes the directories that it lies in.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.live().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Installs the package jq, as dpkg does: its program, and what the database tells of it.
    pub fn install_jq(&self) {
        let status =
            "Package: jq\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.7\n\n";
        self.write("var/lib/dpkg/status", status);
        self.write("var/lib/dpkg/info/jq.list", "/.\n/usr\n/usr/bin\n/usr/bin/jq\n");
        self.write("usr/bin/jq", "a program");
    }

    /// The file system's top level.
    pub fn top(&self) -> &Path {
        self.sandbox.top()
    }

    /// Holds the lock that every change needs, as another blankroot does that is at work.
    pub fn lock(&self) -> File {
        let lock = File::open(self.top().join("old-roots")).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        lock
    }

    /// Gives what is at the top level another name.
    #[expect(clippy::disallowed_methods, reason = "somebody else does this to the machine")]
    pub fn rename(&self, from: &str, to: &str) {
        fs::rename(self.top().join(from), self.top().join(to)).unwrap();
    }

    pub fn mount(&mut self) {
        self.mounted = Some(self.mount_at("root", self.live.path()));
    }

    pub fn mount_at(&self, tree: &str, dir: &Path) -> MountPoint {
        let tree = TreeName::new(tree).unwrap();
        self.sandbox.throwaway().mount(self.sandbox.namespace(), Some(&tree), dir).unwrap()
    }

    pub fn unmount(&mut self) {
        if let Some(mount) = self.mounted.take() {
            mount.unmount().unwrap();
        }
    }

    /// Live was unmounted by other means.
    pub fn forget_mount(&mut self) {
        std::mem::forget(self.mounted.take());
    }

    /// Starts another boot: `/run` is empty.
    pub fn boot(&self, id: &str) {
        fs::write(self.host.path().join("proc/sys/kernel/random/boot_id"), id).unwrap();
        let _ = fs::remove_file(self.stamp_path());
    }

    pub fn kernel_command_line(&self, line: &str) {
        fs::write(self.host.path().join("proc/cmdline"), format!("{line}\n")).unwrap();
    }

    pub fn stamp_path(&self) -> PathBuf {
        self.host.path().join("run/blankroot/rollback.json")
    }

    /// The stamp of this boot.
    pub fn stamp(&self) -> Option<serde_json::Value> {
        Some(serde_json::from_slice(&fs::read(self.stamp_path()).ok()?).unwrap())
    }

    /// Makes a subvolume read-only, or writable.
    pub fn set_read_only(&self, tree: &str, value: bool) {
        let words = ["property", "set", "-ts"].map(OsStr::new).into_iter();
        let tree = self.top().join(tree);
        let value = OsStr::new(if value { "true" } else { "false" });
        let args: Vec<_> = words.chain([tree.as_os_str(), OsStr::new("ro"), value]).collect();
        self.btrfs(&args);
    }

    /// Runs `btrfs`.
    pub fn btrfs<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        String::from_utf8(BTRFS.run(args).unwrap()).unwrap()
    }

    pub fn work_in(&mut self, dir: PathBuf) {
        self.cwd = Some(dir);
    }

    /// Runs the command on this machine: the first of `args` is its name.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        self.run_with(&[] as &[&str], args)
    }

    /// The same by way of a program, which starts it: its words come first.
    pub fn run_with<P: AsRef<OsStr>, S: AsRef<OsStr>>(&self, by: &[P], args: &[S]) -> Ran {
        Ran::of(self.command(by, args).output().unwrap())
    }

    /// Starts the command, with pipes for what it says.
    pub fn start<S: AsRef<OsStr>>(&self, args: &[S]) -> Child {
        let mut command = self.command(&[] as &[&str], args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The words of a command line that runs the command on this machine.
    pub fn words(&self, args: &[&str]) -> Vec<OsString> {
        let command = self.command(&[] as &[&str], args);
        let words = [command.get_program()].into_iter().chain(command.get_args());
        words.map(OsStr::to_os_string).collect()
    }

    #[expect(clippy::disallowed_methods, reason = "the command under test")]
    fn command<P: AsRef<OsStr>, S: AsRef<OsStr>>(&self, by: &[P], args: &[S]) -> Command {
        let name = args.first().unwrap().as_ref();
        let program = OsStr::new(env!("CARGO_BIN_EXE_blankroot"));
        let words: Vec<&OsStr> = by.iter().map(AsRef::as_ref).chain([program]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(args).env_clear().stdin(Stdio::null());
        let without_host = [
            "audit", "diff", "digest", "explain", "forget", "history", "report", "restore",
            "unkeep",
        ];
        let names_host = args.iter().any(|arg| arg.as_ref() == "--host");
        if !names_host && !without_host.iter().any(|without| name == *without) {
            command.arg("--host").arg(self.host.path());
        }
        let of_live =
            !["rollback", "expire", "hold", "digest"].iter().any(|without| name == *without);
        let elsewhere = ["--root", "--fleet"];
        if of_live && !args.iter().any(|arg| elsewhere.iter().any(|other| arg.as_ref() == *other)) {
            command.arg("--root").arg(self.live());
        }
        // Where tests run, something outside of their container may hide from them.
        if by.is_empty() && ["keep", "unkeep", "review"].iter().any(|moves| name == *moves) {
            command.arg("--even-if-unseen");
        }
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        command
    }

    /// Rolls back as the initrd does: live is not mounted while it runs.
    pub fn roll_back(&mut self) -> Ran {
        self.unmount();
        let ran = self.run(&["rollback"]);
        self.mount();
        ran
    }

    /// The names below the top level and below the directory of old roots, without what is written of those
    /// beside their records.
    pub fn trees(&self) -> Vec<String> {
        let mut names = names(self.top());
        names.extend(names_below(self.top(), "old-roots"));
        names.retain(|name| ![".digest", ".life"].iter().any(|end| name.ends_with(end)));
        names
    }

    /// What is written of old roots beside their records, by the end of the names.
    pub fn beside_records(&self, end: &str) -> Vec<PathBuf> {
        let names = names_below(self.top(), "old-roots").into_iter();
        names.filter(|name| name.ends_with(end)).map(|name| self.top().join(name)).collect()
    }
}

fn names_below(top: &Path, dir: &str) -> Vec<String> {
    let names = if top.join(dir).is_dir() { names(&top.join(dir)) } else { Vec::new() };
    names.into_iter().map(|name| format!("{dir}/{name}")).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl Ran {
    /// What a run left that has ended.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails, with all that was printed, unless the command ended with `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Standard error has `text`, and is a message of ours.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.err.contains(text), "no `{text}` in {self:#?}");
        assert!(self.err.starts_with("blankroot: "), "{self:#?}");
        assert!(!self.err.contains("panicked"), "{self:#?}");
        self
    }

    /// Standard output has `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "no `{text}` in {self:#?}");
        self
    }
}
