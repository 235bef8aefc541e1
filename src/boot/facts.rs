//! This boot, as planners may know it: its id and clock, the kernel command line, whether a resume
//! is pending, how the root will be mounted, and what an earlier run left in `/run`.

use std::os::fd::AsFd;
use std::path::Path;

use backends::{Survey, Tree, View};
use chrono::{DateTime, TimeDelta, Utc};
use dirfd::process::Program;
use dirfd::{Error, Result};

use crate::boot::command_line::{BootRequest, CommandLine};
use crate::boot::fstab::{self, RootEntry};
use crate::boot::resume::{self, Resume};
use crate::boot::stamp::{RollbackOutcome, Stamp, ThisRoot};
use crate::host::HostRoot;

/// What is known about this boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootFacts {
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// The wall clock; a label only, since an initrd's clock may be wrong.
    pub clock: DateTime<Utc>,
    /// What the kernel command line says.
    pub(crate) command_line: CommandLine,
    /// Whether a hibernation image may be waiting.
    pub(crate) resume: Resume,
    /// The entries of blank's fstab that mount the root; empty until somebody has looked
    /// ([`with_fstab`](Self::with_fstab)), since blank can be read only when resuming is ruled out.
    pub(crate) fstab_roots: Vec<RootEntry>,
    /// How often this boot started everything but the kernel and the initrd again; `None` where that
    /// is not known, or not asked.
    pub(crate) soft_reboots: Option<u32>,
    /// When this boot began, by the clock as it is now; `None` where that is not known.
    pub(crate) up_since: Option<DateTime<Utc>>,
    /// What an earlier rollback of this or another boot left, or why that cannot be read.
    pub(crate) stamp: Result<Option<Stamp>, String>,
}

/// What only an initrd has: os-release(5), and what the first program of initramfs-tools reads, which makes no
/// initrd-release.
const INITRD_MARKS: [&str; 2] = ["etc/initrd-release", "conf/initramfs.conf"];

/// Whether the host is an initrd, whose copy of the configuration is about another root.
pub(crate) fn is_initrd(host: &HostRoot) -> Result<bool> {
    for mark in INITRD_MARKS {
        if host.has(mark).map_err(|e| Error::io(format!("find out whether there is {mark}"), e))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The kernel's id of this boot.
pub(crate) fn boot_id(host: &HostRoot) -> Result<String> {
    let path = "proc/sys/kernel/random/boot_id";
    let id = host.read(path);
    let id = id.map_err(|e| Error::io(format!("read the id of this boot from {path}"), e))?;
    Ok(String::from_utf8_lossy(id.trim_ascii()).into_owned())
}

/// When this boot began, by the clock as it is now; `None` where the kernel does not tell.
fn up_since(host: &HostRoot, clock: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let text = String::from_utf8(host.read("proc/uptime").ok()?).ok()?;
    let seconds: u32 = text.split(['.', ' ']).next()?.parse().ok()?;
    clock.checked_sub_signed(TimeDelta::seconds(seconds.into()))
}

impl BootFacts {
    /// Reads the facts of a host. `clock` is the time to put into records.
    pub fn gather(host: &HostRoot, clock: DateTime<Utc>) -> Result<Self> {
        let read = |what: &str, path: &str| {
            host.read(path).map_err(|e| Error::io(format!("read {what} from {path}"), e))
        };
        let boot_id = boot_id(host)?;
        let command_line = read("the kernel command line", "proc/cmdline")?;
        let command_line = CommandLine::parse(&command_line);
        let resume = resume::probe_resume(host, &command_line, rustix::param::page_size());
        let stamp = Stamp::read(host).map_err(|e| e.to_string());
        Ok(Self {
            boot_id,
            clock,
            command_line,
            resume,
            fstab_roots: Vec::new(),
            soft_reboots: None,
            up_since: up_since(host, clock),
            stamp,
        })
    }

    /// Adds what blank's fstab says about the root.
    #[must_use]
    pub(crate) fn with_fstab(self, text: &[u8]) -> Self {
        Self { fstab_roots: fstab::root_entries(text), ..self }
    }

    /// The same, read from blank itself; nothing where there is no blank.
    pub(crate) fn with_fstab_of_blank(
        self,
        view: impl FnOnce(&Tree) -> Result<View>,
        survey: &Survey,
    ) -> Result<Self> {
        let Some(blank) = survey.blank.tree() else { return Ok(self) };
        let view = view(blank)?;
        let text =
            fstab::read_fstab(view.as_fd()).map_err(|e| Error::io("read blank's fstab", e))?;
        Ok(self.with_fstab(&text))
    }

    /// Adds what systemd knows of soft reboots, which keep the boot's id and `/run`; for the running
    /// machine alone, whose root is `root`.
    #[must_use]
    pub(crate) fn with_soft_reboots(self, root: &Path) -> Self {
        Self { soft_reboots: count_soft_reboots(root), ..self }
    }

    /// Drops the stamp if it tells of another root than this one. Without a word of which root it is of,
    /// that nothing was rolled back is believed if the kernel was told so.
    #[must_use]
    pub(crate) fn about(self, root: &ThisRoot) -> Self {
        let skipped = self.command_line.asked == Some(BootRequest::Skip);
        let is_of = |stamp: &Stamp| {
            let nameless = stamp.root.is_none() && stamp.live.is_none();
            stamp.is_of(root) || (nameless && skipped && stamp.outcome == RollbackOutcome::Skipped)
        };
        let stamp = self.stamp.map(|stamp| stamp.filter(is_of));
        Self { stamp, ..self }
    }

    /// Whether blank was made in this boot and nothing was rolled back yet: the next boot is the first
    /// of which a rollback can be expected.
    pub(crate) fn is_before_first_rollback(
        &self,
        blank: Option<&Tree>,
        has_old_roots: bool,
    ) -> bool {
        let made = blank.and_then(|blank| blank.created);
        let in_this_boot = made.zip(self.up_since).is_some_and(|(made, since)| made >= since);
        in_this_boot && !has_old_roots && self.stamp.is_ok() && self.stamp_of_this_boot().is_none()
    }

    /// The stamp, if it is this boot's.
    pub(crate) fn stamp_of_this_boot(&self) -> Option<&Stamp> {
        let stamp = self.stamp.as_ref().ok()?.as_ref()?;
        Some(stamp).filter(|stamp| stamp.boot_id == self.boot_id)
    }
}

const SYSTEMCTL: Program = Program::new("systemctl", "systemd");

/// How often all of userspace started again in this boot without the initrd
/// (systemd-soft-reboot.service(8)), as systemd counts it (`SoftRebootsCount`, from version 256 on).
///
/// `None` where systemd does not run or does not tell, and for another machine's root.
fn count_soft_reboots(root: &Path) -> Option<u32> {
    if root != Path::new("/") || !Path::new("/run/systemd/system").exists() {
        return None;
    }
    parse_count(&SYSTEMCTL.run(["show", "--property=SoftRebootsCount", "--value"]).ok()?)
}

fn parse_count(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f2a1c9e-7a01-4b6e-9d0a-000000000000";

    fn host(dir: &tempfile::TempDir) -> HostRoot {
        for path in ["proc/sys/kernel/random", "sys/class/block"] {
            std::fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        let write = |path: &str, text: &str| std::fs::write(dir.path().join(path), text).unwrap();
        write("proc/sys/kernel/random/boot_id", &format!("{ID}\n"));
        write("proc/cmdline", "quiet blankroot=boot rootflags=subvol=root\n");
        HostRoot::open(dir.path()).unwrap()
    }

    #[test]
    fn facts_are_read_below_the_host_alone() {
        let dir = tempfile::tempdir().unwrap();
        let host = host(&dir);
        let clock = DateTime::from_timestamp(1, 0).unwrap();
        Stamp::new(ID, clock, RollbackOutcome::Skipped).write(&host).unwrap();
        let facts = BootFacts::gather(&host, clock).unwrap().with_fstab(b"x / btrfs subvolid=256");
        assert_eq!((facts.boot_id.as_str(), facts.clock), (ID, clock));
        assert_eq!(facts.command_line.asked, Some(BootRequest::Boot));
        assert_eq!(facts.resume, Resume::RuledOut);
        assert_eq!(facts.fstab_roots[0].subvolid(), Some(&b"256"[..]));
        assert_eq!(facts.stamp_of_this_boot().unwrap().outcome, RollbackOutcome::Skipped);
        let other = BootFacts { boot_id: "another".into(), ..facts };
        assert_eq!(other.stamp_of_this_boot(), None);
    }

    #[test]
    fn a_host_without_a_command_line_is_an_error_that_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let host = host(&dir);
        std::fs::remove_file(dir.path().join("proc/cmdline")).unwrap();
        let error = BootFacts::gather(&host, Utc::now()).unwrap_err().to_string();
        let why = "No such file or directory";
        assert_eq!(error, format!("cannot read the kernel command line from proc/cmdline: {why}"));
    }

    #[test]
    fn a_number_is_a_count_and_silence_is_not_known() {
        assert_eq!(parse_count(b"2\n"), Some(2));
        for silence in [&b""[..], b"\n", b"[not set]\n", b"\xff"] {
            assert_eq!(parse_count(silence), None);
        }
    }
}
