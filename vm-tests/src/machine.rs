//! A machine with a disk of its own over a guest's: booted, told what to do, booted again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use tempfile::TempDir;

use crate::disk_copy::copy_disk;
use crate::guest::{Guest, Root};
use crate::qemu::{Disk, Qemu, Setup};
use crate::system::{Answer, System};
use crate::{cpio, programs};

/// A boot takes a minute under emulation, and two when others keep the processors busy.
const BOOT: Duration = Duration::from_secs(420);
/// What one command may take.
const COMMAND: Duration = Duration::from_secs(1200);

/// What is written to a machine's first disk.
const OVERLAY: &str = "disk.qcow2";

/// What the tests' shell says first.
const READY: &str = "tests-shell: ready\n";
/// How the tests' shell ends what a command wrote.
const STATUS: &str = "\ntests-shell: status ";

/// A machine. It is on only between a boot and the end of that.
#[derive(Debug)]
pub struct Machine {
    setup: Setup,
    root: Root,
    /// Words of the next boot's kernel command line.
    words: String,
    /// Words of each boot's.
    unlocking: String,
    qemu: Option<Qemu>,
    dir: TempDir,
}

/// A machine that is up, with its memory; it can go on any number of times, each on its own.
#[derive(Debug)]
pub struct Saved(Machine);

impl Machine {
    /// A machine that is off.
    pub fn of(guest: &Guest) -> Self {
        Self::over(guest, &guest.file("disk.raw"), tempfile::tempdir().unwrap())
    }

    /// The same whose disk has been used elsewhere meanwhile.
    pub fn with_disk(guest: &Guest, used: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base.raw");
        copy_disk(used, &base);
        Self::over(guest, &base, dir)
    }

    fn over(guest: &Guest, base: &Path, dir: TempDir) -> Self {
        let overlay = dir.path().join(OVERLAY);
        let args = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"].map(Path::new);
        programs::run("qemu-img", args.iter().chain([&base, &overlay.as_path()]));
        let setup = Setup {
            kernel: guest.file("vmlinuz"),
            initrd: guest.file("initrd"),
            command_line: String::new(),
            disks: vec![Disk::Overlay(overlay)],
            clock: None,
            memory: 1024,
            resumes: false,
        };
        Self {
            setup,
            root: guest.root,
            words: String::new(),
            unlocking: String::new(),
            qemu: None,
            dir,
        }
    }

    fn overlay(&self) -> PathBuf {
        self.dir.path().join(OVERLAY)
    }

    /// The set-up of the next boot, to change.
    pub fn setup(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// Another disk, of `size` bytes, with `content` at its start.
    pub fn add_disk(&mut self, size: u64, content: &[u8]) {
        let file = self.dir.path().join(format!("disk-{}.raw", self.setup.disks.len()));
        std::fs::write(&file, content).unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_len(size).unwrap();
        self.setup.disks.push(Disk::Raw(file));
    }

    /// Puts a file into the initrd, in the place of the one that is there, from the next boot on.
    pub fn put_into_initrd(&mut self, path: &str, content: &[u8]) {
        let initrd = cpio::with_file(std::fs::read(&self.setup.initrd).unwrap(), path, content);
        self.setup.initrd = self.dir.path().join("initrd");
        std::fs::write(&self.setup.initrd, initrd).unwrap();
    }

    /// Words for the kernel command line of each boot, for a disk that is encrypted.
    pub fn unlock_with(&mut self, words: &str) {
        self.unlocking = words.to_string();
    }

    /// Switches it on.
    pub fn switch_on(&mut self) {
        assert!(self.qemu.is_none(), "the machine is on already");
        let words = std::mem::take(&mut self.words);
        // Read-write as systemd's generators want it; a read-only root has its own test.
        let others = "rw loglevel=4 8250.nr_uarts=2 systemd.show_status=yes";
        let root = self.root.words();
        self.setup.command_line = format!("{root} {others} {} {words}", self.unlocking);
        self.qemu = Some(Qemu::start(&self.setup));
        self.setup.resumes = false;
    }

    /// Waits for the tests' shell.
    pub fn wait_until_up(&mut self) {
        let started = Instant::now();
        let qemu = self.on();
        qemu.wait_in_shell(READY, BOOT);
        println!("vm: up after {} s", started.elapsed().as_secs());
    }

    /// Whether the tests' shell comes in this time.
    pub fn is_up_within(&mut self, time: Duration) -> bool {
        self.on().shell.hear(READY, time).is_ok()
    }

    /// Starts everything but the kernel and the initrd again.
    pub fn soft_reboot(&mut self) {
        self.on().shell.send(&format!("{}\n", base64("systemctl soft-reboot")));
        self.wait_until_up();
    }

    /// Pulls the plug.
    pub fn pull_plug(&mut self) {
        self.qemu = None;
    }

    /// The running machine's lines.
    pub fn on(&mut self) -> &mut Qemu {
        self.qemu.as_mut().expect("the machine is off")
    }
}

impl System for Machine {
    fn root(&self) -> Root {
        self.root
    }

    fn say_to_kernel(&mut self, words: &str) {
        self.words = words.to_string();
    }

    fn boot(&mut self) {
        self.switch_on();
        self.wait_until_up();
    }

    fn try_run(&mut self, command: &str) -> Answer {
        let line = format!("{}\n", base64(command));
        let qemu = self.on();
        qemu.shell.send(&line);
        let text = qemu.wait_in_shell(STATUS, COMMAND);
        let status = qemu.wait_in_shell("\n", COMMAND);
        Answer { text, status: status.trim().parse().unwrap() }
    }

    fn run_last(&mut self, command: &str) {
        self.on().shell.send(&format!("{}\n", base64(command)));
        self.on().wait_for_end(BOOT);
        self.qemu = None;
    }

    fn initrd_said(&mut self) -> String {
        self.on().console.said()
    }
}

impl Saved {
    /// Saves a machine that is up and has its first disk alone.
    pub fn of(mut machine: Machine) -> Self {
        machine.on().save();
        machine.pull_plug();
        Self(machine)
    }

    /// The machine, which goes on: its shell waits for the next command.
    pub fn resumed(&self) -> Machine {
        let Self(saved) = self;
        let dir = tempfile::tempdir().unwrap();
        let overlay = dir.path().join(OVERLAY);
        copy_disk(&saved.overlay(), &overlay);
        let (setup, unlocking) = (saved.setup.clone(), saved.unlocking.clone());
        let setup = Setup { disks: vec![Disk::Overlay(overlay)], resumes: true, ..setup };
        let words = String::new();
        let mut machine = Machine { setup, root: saved.root, words, unlocking, qemu: None, dir };
        machine.switch_on();
        machine
    }
}

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}
