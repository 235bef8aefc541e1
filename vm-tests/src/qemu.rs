//! Starts QEMU with a kernel, an initrd and disks, and ends it with the value that stands for it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, thread};

use tempfile::TempDir;

use crate::console::{self, Console};
use crate::programs;

/// The emulator.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// Words for an emulated kernel. What is at the same address in each process is translated once.
const EMULATED: &str = "norandmaps mitigations=off";

/// Words for any kernel: it tells of what hangs, by itself and when it is asked by a key.
const TELLS: &str = "sysctl.kernel.hung_task_timeout_secs=40 sysrq_always_enabled";

/// What QEMU's monitor says when it waits for a command.
const PROMPT: &str = "(qemu) ";
/// What saving a machine may take.
const SAVING: Duration = Duration::from_secs(120);
/// What the kernel says of all that waits has to come through an emulated serial line.
const TELLING: Duration = Duration::from_secs(10);
/// The name under which a disk has the machine that was saved in it.
const SAVED: &str = "saved";

/// How a disk's file is used.
#[derive(Clone, Debug)]
pub enum Disk {
    /// A qcow2 file; what is written may be lost with the host, which nobody cares about.
    Overlay(PathBuf),
    /// A raw file, likewise.
    Raw(PathBuf),
    /// A raw file whose every write and flush goes to a log in the format of dm-log-writes too.
    Logged {
        /// The disk.
        file: PathBuf,
        /// The log.
        log: PathBuf,
    },
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The kernel.
    pub kernel: PathBuf,
    /// Its initrd.
    pub initrd: PathBuf,
    /// The kernel command line.
    pub command_line: String,
    /// `/dev/vda`, `/dev/vdb` and so on.
    pub disks: Vec<Disk>,
    /// What the machine's clock says at its start, as `-rtc base=` takes it.
    pub clock: Option<String>,
    /// Memory, in MiB.
    pub memory: usize,
    /// Whether it goes on from where its first disk was [saved](Qemu::save), instead of booting.
    pub resumes: bool,
}

/// A machine that runs. It ends with this value.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    /// The first serial line: the kernel's console.
    pub console: Console,
    /// The second one.
    pub shell: Console,
    monitor: PathBuf,
    _sockets: TempDir,
}

impl Qemu {
    /// Starts it.
    pub fn start(setup: &Setup) -> Self {
        let sockets = tempfile::tempdir().unwrap();
        let [first, second, monitor] =
            ["console", "shell", "monitor"].map(|name| sockets.path().join(name));
        let mut arguments = arguments(setup, &first, &second);
        arguments
            .extend(["-monitor".into(), format!("unix:{},server=on,wait=off", monitor.display())]);
        let child = programs::start(PROGRAM, arguments);
        let console = Console::connect("console", &first);
        let shell = Console::connect("shell", &second);
        Self { child, console, shell, monitor, _sockets: sockets }
    }

    /// Saves all that it is, its memory too, in its first disk, which has to be an overlay.
    pub fn save(&self) {
        let mut monitor = Console::connect("monitor", &self.monitor);
        monitor.wait_for(PROMPT, SAVING);
        monitor.send(&format!("savevm {SAVED}\n"));
        let said = monitor.wait_for(PROMPT, SAVING);
        assert!(!said.contains("Error"), "QEMU cannot save the machine: {said}");
    }

    /// Waits until the machine says `text` on its console; returns what it said before.
    ///
    /// Panics if it does not in time: with all that hangs, if it is on.
    pub fn wait_in_console(&mut self, text: &str, within: Duration) -> String {
        let heard = self.console.hear(text, within);
        heard.unwrap_or_else(|why| self.fail(&format!("waited for {text:?} on the console"), why))
    }

    /// The same with its second line.
    pub fn wait_in_shell(&mut self, text: &str, within: Duration) -> String {
        let heard = self.shell.hear(text, within);
        heard.unwrap_or_else(|why| self.fail(&format!("waited for {text:?} on the shell"), why))
    }

    /// Has the kernel tell on the console which of its tasks wait, and for what.
    fn fail(&self, what: &str, why: &str) -> ! {
        if why == console::TIME_IS_OVER && self.monitor.exists() {
            let mut monitor = Console::connect("monitor", &self.monitor);
            // Everything goes to the console, then what is blocked.
            for key in ["8", "w"] {
                monitor.send(&format!("sendkey alt-sysrq-{key}\n"));
                thread::sleep(TELLING / 2);
            }
        }
        panic!(
            "{what}, but {why}. The shell said:\n{}The console said:\n{}",
            self.shell.tail(),
            self.console.tail()
        );
    }

    /// Waits until the machine is off or wants to start again.
    pub fn wait_for_end(&mut self, within: Duration) {
        if let Err(why) = self.console.hear_end(within) {
            self.fail("waited for the end", why);
        }
        let until = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "QEMU closed its console, but does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Pulls the plug.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Why no machine can be started here; `None` if one can.
pub fn unavailable() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("guests are made by root alone".into());
    }
    ["qemu-system-x86_64", "qemu-img", "mmdebstrap", "mkfs.btrfs"]
        .iter()
        .find(|program| !programs::has(program))
        .map(|program| format!("{program} is not installed"))
}

fn arguments(setup: &Setup, console: &Path, shell: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |name: &str, value: String| arguments.extend([name.to_string(), value]);
    let acceleration = acceleration(&setup.kernel);
    let (cpu, words) = if is_emulated(&acceleration) { ("Nehalem", EMULATED) } else { ("max", "") };
    add("-smp", processors(&acceleration).to_string());
    add("-accel", acceleration);
    add("-cpu", cpu.into());
    add("-m", setup.memory.to_string());
    add("-display", "none".into());
    add("-nic", "none".into());
    add("-kernel", setup.kernel.display().to_string());
    add("-initrd", setup.initrd.display().to_string());
    add("-append", format!("console=ttyS0 panic=-1 {TELLS} {words} {}", setup.command_line));
    for socket in [console, shell] {
        // Nothing is said before somebody listens.
        add("-serial", format!("unix:{},server=on,wait=on", socket.display()));
    }
    if let Some(clock) = &setup.clock {
        add("-rtc", format!("base={clock}"));
    }
    for disk in &setup.disks {
        add("-drive", drive(disk));
    }
    if setup.resumes {
        add("-loadvm", SAVED.into());
    }
    arguments.extend(["-no-reboot".into(), "-nodefaults".into(), "-no-user-config".into()]);
    arguments
}

fn drive(disk: &Disk) -> String {
    match disk {
        Disk::Overlay(file) => {
            format!("file={},format=qcow2,if=virtio,cache=unsafe,discard=unmap", file.display())
        }
        Disk::Raw(file) => {
            format!("file={},format=raw,if=virtio,cache=unsafe,discard=unmap", file.display())
        }
        Disk::Logged { file, log } => format!(
            "driver=blklogwrites,file.driver=file,file.filename={},log.driver=file,log.filename={},\
             if=virtio,cache.direct=off,discard=unmap,file.discard=unmap",
            file.display(),
            log.display()
        ),
    }
}

/// KVM where it really runs a guest, else emulation; `BLANKROOT_VM_ACCEL` decides otherwise.
fn acceleration(kernel: &Path) -> String {
    static FOUND: OnceLock<String> = OnceLock::new();
    let asked = || env::var("BLANKROOT_VM_ACCEL").ok().filter(|asked| !asked.is_empty());
    let find = || match asked() {
        Some(asked) => asked,
        None if kvm_works(kernel) => "kvm".to_string(),
        None => "tcg,thread=multi".to_string(),
    };
    FOUND.get_or_init(find).clone()
}

/// A kernel that patches its own code while another emulated processor runs it dies of that now and then
/// with QEMU 7.2, and says `Oops: int3`.
fn processors(acceleration: &str) -> usize {
    if is_emulated(acceleration) { 1 } else { 2 }
}

/// For an emulated processor the oldest that will do is the fastest: programs take no vector instructions,
/// which are slow to emulate. With [`EMULATED`], a boot takes half of the time.
fn is_emulated(acceleration: &str) -> bool {
    acceleration.starts_with("tcg")
}

/// `/dev/kvm` may open and still stop every guest at its first instructions, so a kernel without a
/// root has to get as far as its panic, which ends QEMU.
fn kvm_works(kernel: &Path) -> bool {
    if File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return false;
    }
    let arguments = ["-accel", "kvm", "-cpu", "max", "-m", "512", "-display", "none", "-monitor"];
    let more = ["none", "-nic", "none", "-no-reboot", "-append", "panic=-1", "-kernel"];
    let arguments = arguments.into_iter().chain(more).map(Into::into);
    let mut child = programs::try_start(PROGRAM, arguments.chain([kernel.as_os_str().to_owned()]));
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
    println!("vm: KVM does not run a guest here, so everything is emulated");
    false
}
