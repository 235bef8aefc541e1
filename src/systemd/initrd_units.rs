//! What systemd runs in the initrd: the rollback before the root is mounted, and kept paths that
//! have to be there before PID 1 of the root reads them. Pure.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dirfd::TreePath;

use crate::boot::command_line::BootRequest;
use crate::cli::exit_code::Exit;
use crate::config::rollback_options::OnFailure;
use crate::config::{Config, DEFAULT_FILE};
use crate::persist::list::KeepEntry;
use crate::persist::list::{self};
use crate::systemd::root_units::{command_line_of, mounts_of};
use crate::systemd::unit_file::{self, UnitText, Value};
use crate::systemd::unit_set::{FINISH, IN_INITRD, Link, ROLLBACK, Unit, Units};

/// Required, not wanted: so an exit code that must stop the boot keeps the root from being mounted.
const ROOT_REQUIRES: &str = "sysroot.mount.requires";
const INITRD_WANTS: &str = "initrd.target.wants";
const IMPORT_WANTS: &str = "zfs-import.target.wants";
/// What imports pools: which, and with which options, is the distribution's own affair.
const IMPORT: &str = "zfs-import-cache.service zfs-import-scan.service";
/// What zfs-dracut asks of the root before it is mounted.
const ASK_OF_ROOT: &str = "zfs-import.target zfs-env-bootfs.service";
/// What the root's device does not tell: that no system is resumed, that the file system was checked,
/// and that the root's own device is there, for which somebody may have to type a passphrase longer
/// than systemd waits for a device.
const BEFORE_ROLLBACK: &str = "initrd-root-device.target local-fs-pre.target \
     systemd-hibernate-resume.service systemd-fsck-root.service dracut-pre-mount.service";

/// How the command may end for the root to be mounted: all but 4, which stops the boot. Its own
/// codes, those of Rust and of the dynamic linker.
const CODES: &str = "1 2 3 101 126 127";
/// Those of systemd, where it could not start the command (systemd.exec(5), "Process Exit Codes").
const NOT_STARTED: std::ops::RangeInclusive<u8> = 200..=245;
/// The same of signals.
const SIGNALS: &str = "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGSEGV \
     SIGPIPE SIGALRM SIGTERM SIGXCPU SIGXFSZ SIGSYS";

/// What is known of a boot in its initrd.
#[derive(Clone, Copy, Debug)]
pub struct InInitrd<'i> {
    /// The configuration; `None` if it cannot be used, which the rollback then tells.
    pub config: Option<&'i Config>,
    /// What the kernel command line asks for.
    pub asked: Option<&'i BootRequest>,
}

impl InInitrd<'_> {
    /// Everything, and what the owner should know; `command` is what runs Blankroot. The error says
    /// what is wrong with that name.
    pub fn units(&self, command: &str) -> Result<(Units, Option<String>), &'static str> {
        let (command, origin) = (Value::new(command)?, Value::new(DEFAULT_FILE)?);
        let mut units = Units::default();
        let mut add = |dir, unit: Unit| {
            units.links.push(Link { dir, unit: unit.name.clone() });
            units.files.push(unit);
        };
        let mut warning = None;
        if self.config.is_none_or(|config| config.root.layout().is_some()) {
            let place = self.config.and_then(|config| config.root.place());
            let device = place.map(units_of).transpose().unwrap_or_else(|why| {
                warning = Some(format!("the rollback does not wait for what it needs: {why}"));
                None
            });
            let pool = self.config.and_then(|config| config.root.pool());
            if let Some(pool) = pool {
                add(IMPORT_WANTS, finish_unit(pool, &command, &origin));
            }
            add(ROOT_REQUIRES, self.rollback(device.as_deref(), pool, &command, &origin));
        }
        let list = self.config.map(list::keep_list).unwrap_or_default();
        if list.iter().any(KeepEntry::is_set_up_in_initrd) {
            add(INITRD_WANTS, in_initrd(&command, &origin));
        }
        Ok((units, warning))
    }

    fn rollback(
        &self,
        device: Option<&str>,
        pool: Option<&str>,
        command: &Value,
        origin: &Value,
    ) -> Unit {
        let text = start_unit("Roll Back the Root to Blank", "rollback", origin);
        let text = match device {
            // Not required: of a device that does not come, the command tells, and decides.
            Some(device) => text.set("Wants", device).set("After", device),
            None => text,
        };
        let text = match pool {
            // Never wanted: what the root's mount wants is started once more when the initrd is left,
            // and ended in the middle (zfs-env-bootfs.service was).
            Some(pool) => text.set("After", &format!("zfs-import.target{}", import_of(pool))),
            None => text,
        };
        let text = text
            .set("After", BEFORE_ROLLBACK)
            .set("Before", "sysroot.mount initrd-root-fs.target")
            .set("OnFailure", "emergency.target")
            .set("OnFailureJobMode", "replace-irreversibly")
            .section("Service")
            .set("Type", "oneshot")
            // Without it, every unit that needs the root would start it once more.
            .set("RemainAfterExit", "yes")
            .value(
                "ExecStart",
                &command_line_of(command, &format!("rollback --config {DEFAULT_FILE}")),
            )
            .set("StandardError", "journal+console")
            // A disk that hangs would hang the mount, too, and a service that timed out has failed
            // whatever counts as success.
            .set("TimeoutStartSec", "infinity");
        let text = if self.stops_for_all() { text } else { with_lenient_exit(text) };
        Unit { name: ROLLBACK.to_string(), text: text.finish() }
    }

    /// Whether the root must not be mounted unless the rollback was done. The ways out that the kernel
    /// command line has must work even if the command does not.
    fn stops_for_all(&self) -> bool {
        let on_failure = self.config.map_or(OnFailure::Boot, |config| config.rollback.on_failure);
        self.asked != Some(&BootRequest::Skip)
            && Exit::after_failure(on_failure, self.asked) == Exit::MustHalt
    }
}

/// What NixOS has for each pool, with a space before it; no unit has a space in its name.
fn import_of(pool: &str) -> String {
    if pool.contains(' ') { String::new() } else { format!(" zfs-import-{pool}.service") }
}

/// As soon as the pool is there, and before anybody asks for a property or a key of the root.
fn finish_unit(pool: &str, command: &Value, origin: &Value) -> Unit {
    let importers = format!("{IMPORT}{}", import_of(pool));
    let text = start_unit("Complete an Interrupted Rollback", "rollback", origin)
        .set("After", &importers)
        .set("Before", &format!("{ASK_OF_ROOT} {ROLLBACK}"))
        .section("Service")
        .set("Type", "oneshot")
        // Whatever starts the target that wants it once more must not start this, too.
        .set("RemainAfterExit", "yes")
        .value(
            "ExecStart",
            &command_line_of(command, &format!("rollback --finish --config {DEFAULT_FILE}")),
        )
        .set("StandardError", "journal+console")
        .set("TimeoutStartSec", "infinity");
    Unit { name: FINISH.to_string(), text: with_lenient_exit(text).finish() }
}

fn with_lenient_exit(text: UnitText) -> UnitText {
    let not_started = NOT_STARTED.map(|code| code.to_string()).collect::<Vec<_>>().join(" ");
    text.set("SuccessExitStatus", CODES)
        .set("SuccessExitStatus", &not_started)
        .set("SuccessExitStatus", SIGNALS)
        // A crash with a core dump never counts as success. Of 1 byte there is none, not even where
        // cores go to a program (core(5)).
        .set("LimitCORE", "1")
}

/// The units that have to be there for a path to be.
fn units_of(place: &Path) -> Result<String, String> {
    let bytes = place.as_os_str().as_bytes();
    let path = TreePath::parse(bytes).map_err(|why| format!("its path {why}"))?;
    if path.as_bytes().starts_with(b"dev/") {
        return unit_file::of_device(&path).map_err(|why| format!("the path {path} {why}"));
    }
    Ok(mounts_of(&BTreeSet::from([&path])))
}

/// Where it runs, all that fstab asks the initrd to mount is mounted.
fn in_initrd(command: &Value, origin: &Value) -> Unit {
    let text = start_unit("Put Early Kept Paths in Place", "apply", origin)
        .set("After", "sysroot.mount initrd-root-fs.target initrd-fs.target")
        .set("Before", "initrd.target initrd-cleanup.service initrd-switch-root.target")
        // Units that come after a mount that failed are started nevertheless.
        .set("ConditionPathIsMountPoint", "/sysroot")
        .section("Service")
        .set("Type", "oneshot")
        .set("RemainAfterExit", "yes")
        .value("ExecStart", &command_line_of(command, "apply --in-initrd --root /sysroot"))
        .set("StandardError", "journal+console")
        .set("TimeoutStartSec", "5min");
    Unit { name: IN_INITRD.to_string(), text: text.finish() }
}

fn start_unit(description: &str, page: &str, origin: &Value) -> UnitText {
    UnitText::new(origin)
        .section("Unit")
        .set("Description", description)
        .set("Documentation", &format!("man:blankroot-{page}(1)"))
        .value("SourcePath", origin)
        .set("DefaultDependencies", "no")
        .set("Conflicts", "shutdown.target")
        .set("Before", "shutdown.target")
}
