//! The disk of a guest booted without a machine: its own systemd in namespaces, at this machine's speed. What an
//! initrd or a kernel has to show needs a [`machine`](crate::machine).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cache;
use crate::disk_copy::copy_disk;
use crate::guest::{Guest, Root, read};
use crate::programs;
use crate::system::{Answer, System};

/// Makes the namespaces.
const NAMESPACES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/namespaces");
/// What the initrd said, in the directory of a boot.
const INITRD: &str = "initrd";
/// A boot takes two seconds, and a minute when others keep the processors and the disk busy.
const BOOT: Duration = Duration::from_secs(120);
/// What shutting down may take: systemd gives a unit a minute and a half.
const END: Duration = Duration::from_secs(150);

/// A system in namespaces, on a disk of its own.
#[derive(Debug)]
pub struct Namespaces {
    dir: TempDir,
    /// Words of the next boot's kernel command line.
    words: String,
    /// Words of each boot's.
    root_words: &'static str,
    boot: Option<Boot>,
    _turn: Turn,
}

/// One boot. It ends with this value.
#[derive(Debug)]
struct Boot {
    child: Child,
    /// Of its systemd, once that has started.
    pid: Option<Pid>,
}

impl Namespaces {
    /// The system on a copy of a guest's disk, off.
    pub fn of(guest: &Guest) -> Self {
        assert_eq!(guest.root, Root::Btrfs, "this kernel mounts no other root");
        let turn = Turn::wait();
        let dir = tempfile::tempdir().unwrap();
        copy_disk(&guest.file("disk.raw"), &dir.path().join("disk.raw"));
        Self { dir, words: String::new(), root_words: "", boot: None, _turn: turn }
    }

    /// The same with a root in memory, which each boot fills from the disk.
    pub fn in_memory(guest: &Guest) -> Self {
        Self { root_words: "root=tmpfs", ..Self::of(guest) }
    }

    /// What decides on how it boots.
    pub fn made_of() -> Vec<u8> {
        read(NAMESPACES)
    }

    /// Its disk, a plain image.
    pub fn disk(&self) -> PathBuf {
        self.dir.path().join("disk.raw")
    }

    /// Copies a file of this machine into the root while it is up.
    pub fn put(&self, file: &Path, to: &str) {
        let root = format!("/proc/{}/root{to}", self.pid());
        fs::copy(file, root).unwrap();
    }

    /// Connects it with another one by a cable, until one of them is off. Each has its address on the network
    /// 192.0.2.0/24 then.
    pub fn connect(&self, address: &str, other: &Self, other_address: &str) {
        let (pid, other_pid) = (self.pid(), other.pid());
        let ip = |pid: &str, arguments: &str| {
            let enter = ["--target", pid, "--net", "--", "ip"];
            programs::run("nsenter", enter.into_iter().chain(arguments.split(' ')));
        };
        ip(&pid, &format!("link add cable type veth peer name cable netns {other_pid}"));
        for (pid, address) in [(&pid, address), (&other_pid, other_address)] {
            ip(pid, &format!("address add {address}/24 dev cable"));
            ip(pid, "link set cable up");
        }
    }

    fn pid(&self) -> String {
        let boot = self.boot.as_ref().expect("the system is off");
        boot.pid.expect("the system has booted").as_raw_nonzero().to_string()
    }

    /// What a boot writes down.
    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The state in which systemd is once its jobs are done.
    fn wait_until_up(&mut self) {
        let until = Instant::now() + BOOT;
        loop {
            let told = self.try_run("systemctl is-system-running --wait");
            match told.text.trim() {
                "running" | "degraded" => return,
                state => assert!(Instant::now() < until, "it does not come up: {state}"),
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl System for Namespaces {
    fn root(&self) -> Root {
        Root::Btrfs
    }

    fn boot(&mut self) {
        assert!(self.boot.is_none(), "the system is up already");
        let started = Instant::now();
        let state = self.state();
        fs::create_dir_all(&state).unwrap();
        let [pid_file, initrd] = ["pid", INITRD].map(|name| state.join(name));
        fs::write(&pid_file, "").unwrap();
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
        let words = std::mem::take(&mut self.words);
        let arguments = ["--mount".into(), NAMESPACES.into(), self.disk(), boot_id.trim().into()];
        let words = self.root_words.split_whitespace().chain(words.split_whitespace());
        let words = words.map(PathBuf::from);
        let arguments = arguments.into_iter().chain([state]).chain(words);
        let child = programs::start_tidy("unshare", arguments);
        let boot = self.boot.insert(Boot { child, pid: None });
        let said = || fs::read_to_string(&initrd).unwrap_or_default();
        boot.pid = loop {
            // It ends with a line break when all of it is there.
            if let Some(pid) = fs::read_to_string(&pid_file).unwrap().strip_suffix('\n') {
                break Pid::from_raw(pid.parse().unwrap());
            }
            let ended = boot.child.try_wait().unwrap();
            assert!(ended.is_none(), "it did not boot, see above: {}", said());
            assert!(started.elapsed() < BOOT, "its initrd does not end: {}", said());
            thread::sleep(Duration::from_millis(20));
        };
        self.wait_until_up();
        println!("vm: up in namespaces after {} ms", started.elapsed().as_millis());
    }

    fn try_run(&mut self, command: &str) -> Answer {
        let pid = self.pid();
        let script = format!("exec 2>&1; cd /; {command}");
        let enter = ["--target", &pid, "--all", "--", "env", "-i"];
        let environment = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
            "HOME=/root",
            "TERM=dumb",
            "LC_ALL=C",
            "DEBIAN_FRONTEND=noninteractive",
        ];
        let shell = ["sh", "-c", &script];
        let output =
            programs::output("nsenter", enter.iter().chain(&environment).chain(shell.iter()));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Answer { text, status: output.status.code().unwrap_or(-1) }
    }

    fn run_last(&mut self, command: &str) {
        self.try_run(command);
        let mut boot = self.boot.take().expect("the system is off");
        let ended = boot.wait(END).expect("it does not shut down");
        assert!(ended, "its namespaces did not end well, see above");
    }

    fn say_to_kernel(&mut self, words: &str) {
        self.words = words.to_string();
    }

    fn initrd_said(&mut self) -> String {
        fs::read_to_string(self.state().join(INITRD)).unwrap_or_default()
    }
}

/// This process's turn: systems of two processes at once were seen to miss their rollbacks. All of them have copies
/// of one disk, and of file systems with one UUID the kernel gives each but the first another identity for as long
/// as it is mounted. Those of one process follow one another, but for one that stays up.
#[derive(Debug)]
struct Turn;

/// How many systems there are in this process, and the lock that they have.
static TURNS: Mutex<(usize, Option<File>)> = Mutex::new((0, None));

impl Turn {
    fn wait() -> Self {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.1.is_none() {
            let lock = File::create(cache::directory().join("namespaces.lock")).unwrap();
            lock.lock().unwrap();
            turns.1 = Some(lock);
        }
        turns.0 += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        turns.0 -= 1;
        if turns.0 == 0 {
            turns.1 = None;
        }
    }
}

impl Boot {
    /// Whether it ended well; `None` if it did not end in time.
    fn wait(&mut self, within: Duration) -> Option<bool> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status.success());
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        // It ends its namespaces, with all that is in them, and removes the control group.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        if self.wait(Duration::from_secs(70)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
