//! What systemd starts before any unit: reads the configuration and writes the units.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use dirfd::error::describe;
use dirfd::fault::change;
use dirfd::path::Escaped;
use dirfd::{Error, Result, atomic_file};
use rustix::fs::{self, AtFlags, Mode, OFlags};

use crate::boot::command_line::CommandLine;
use crate::boot::{facts, fstab};
use crate::config::reader::ConfigError;
use crate::host::{HostRoot, is_not_found};
use crate::log::{self, Level};
use crate::persist::list::KeepEntry;
use crate::systemd::initrd_units::{self, InInitrd, Loaded};
use crate::systemd::mount_units::Way;
use crate::systemd::root_units::{Link, Unit, Units};
use crate::systemd::unit_file::{UnitText, Value};

/// One run of the generator.
#[derive(Debug)]
pub struct Generator<'g> {
    /// The root whose configuration is read.
    pub root: &'g Path,
    /// Where units belong that outweigh those of packages and not those of administrators.
    pub normal_dir: &'g Path,
    /// What the services start: a path, or a name that systemd looks up.
    pub command: &'g str,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generated {
    /// How many units were written.
    pub units: usize,
    /// What the owner should know.
    pub warnings: Vec<String>,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum NotGenerated {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something could not be done.
    #[error(transparent)]
    Error(#[from] Error),
}

impl Generator<'_> {
    /// What the services start unless the package that is being built says otherwise: systemd looks a
    /// bare name up itself.
    pub const COMMAND: &'static str = match option_env!("BLANKROOT_COMMAND") {
        Some(path) => path,
        None => "blankroot",
    };

    /// Runs it, and tells what went wrong on standard error and in the kernel's log.
    pub fn run(&self) -> Result<Generated, NotGenerated> {
        let done = self.generate();
        let (level, messages) = match &done {
            Ok(generated) => (Level::Warning, generated.warnings.clone()),
            Err(error) => (Level::Error, vec![error.to_string()]),
        };
        messages.iter().for_each(|message| self.tell(level, message));
        done
    }

    fn tell(&self, level: Level, message: &str) {
        say(&message);
        let logged = HostRoot::open(self.root).map_err(|error| error.to_string());
        let logged = logged.and_then(|host| {
            match log::write_kernel_log(&host, "blankroot-generator", level, message) {
                Err(error) if !is_not_found(&error) => Err(describe(&error)),
                _ => Ok(()),
            }
        });
        if let Err(why) = logged {
            say(&format_args!("cannot write to /dev/kmsg: {why}"));
        }
    }

    /// Runs it silently.
    pub fn generate(&self) -> Result<Generated, NotGenerated> {
        let host = HostRoot::open(self.root)?;
        if facts::is_initrd(&host)? { self.in_initrd(&host) } else { self.in_root(&host) }
    }

    /// A configuration that cannot be used is no reason to leave the rollback out: the command tells
    /// what is wrong, and whether the boot may go on.
    fn in_initrd(&self, host: &HostRoot) -> Result<Generated, NotGenerated> {
        let mut warnings = Vec::new();
        let config = match initrd_units::load_in_initrd(host) {
            Ok(None) => return Ok(Generated::default()),
            Ok(config) => config,
            Err(why) => {
                warnings.push(why.to_string());
                None
            }
        };
        let command_line = host.read("proc/cmdline").unwrap_or_else(|why| {
            warnings.push(format!("cannot read the kernel command line: {}", describe(&why)));
            Vec::new()
        });
        let asked = CommandLine::parse(&command_line).asked;
        let known = InInitrd { config: config.as_ref(), asked: asked.as_ref() };
        let units = known.units(self.command);
        let (units, warning) = units.map_err(no_units)?;
        warnings.extend(warning);
        self.write(&units, warnings)
    }

    fn in_root(&self, host: &HostRoot) -> Result<Generated, NotGenerated> {
        let mut warnings = Vec::new();
        let units = match initrd_units::load(host)? {
            Loaded::Nothing => return Ok(Generated::default()),
            Loaded::Config(config, origin) => {
                let text = fstab::read(host.as_fd()).unwrap_or_else(|why| {
                    warnings.push(format!("cannot read /etc/fstab: {}", describe(&why)));
                    Vec::new()
                });
                Units::of(&config, self.command, &origin, &fstab::entries(&text))
            }
            Loaded::Behind(target) => {
                warnings.push(format!(
                    "no mount units, `blankroot apply` makes all mounts later: the configuration is \
                     a link to {target}, which is not mounted yet\n  mend: keep it with `how = \
                     \"bind\"`, or mount its storage in the initrd"
                ));
                Units::without_list(&target, self.command)
            }
        };
        self.write(&units.map_err(no_units)?, warnings)
    }

    fn write(&self, units: &Units, mut warnings: Vec<String>) -> Result<Generated, NotGenerated> {
        let there = into(self.normal_dir, units)?;
        let left = units.left.iter().map(|left| {
            let (path, why) = (&left.path, &left.why);
            format!("no mount unit for {path}, which `blankroot apply` mounts later: {why}")
        });
        let doubled = there.iter().map(|name| {
            format!(
                "cannot write the unit {name}: another generator has made it\n  mend: if it is \
                 in /etc/fstab, keep that line or the entry of the keep list"
            )
        });
        let by_fstab = units.by_fstab.iter().map(|left| {
            let (path, why) = (&left.path, &left.why);
            format!(
                "no mount unit for {path}: {why}\n  mend: remove {path} from the configuration, or that \
                 line"
            )
        });
        warnings.extend(left.chain(by_fstab).chain(doubled));
        Ok(Generated { units: units.files.len() - there.len(), warnings })
    }
}

fn no_units(why: &str) -> Error {
    Error::new("make units", format!("a path {why}"))
}

fn say(message: &impl Display) {
    // Nobody is left to tell that standard error is closed.
    let _ = writeln!(io::stderr(), "blankroot-generator: {message}");
}

// Writes units into the directory that systemd gave: all of them, or none.

/// Writes `units` into `dir`, which exists. Returns the units that another generator had made
/// already, and which are left as they are.
pub fn into(dir: &Path, units: &Units) -> Result<Vec<String>> {
    let mut writer = Writer::open(dir)?;
    let written = writer.all(units);
    if written.is_err() {
        writer.take_back(units);
    }
    written
}

struct Writer<'d> {
    path: &'d Path,
    dir: OwnedFd,
    /// The links that were made.
    links: Vec<PathBuf>,
}

impl<'d> Writer<'d> {
    fn open(path: &'d Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fs::open(path, flags, Mode::empty())
            .map_err(|e| Error::io(format!("open the directory {}", shown(path)), e))?;
        Ok(Self { path, dir, links: Vec::new() })
    }

    fn all(&mut self, units: &Units) -> Result<Vec<String>> {
        let mut there = Vec::new();
        for unit in &units.files {
            match self.unit(unit) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    there.push(unit.name.clone());
                }
                Err(error) => return Err(self.cannot("write", &unit.name, error)),
            }
        }
        // Last: until then nothing that was written is started.
        for link in units.links.iter().filter(|link| !there.contains(&link.unit)) {
            self.link(link).map_err(|error| self.cannot("link", &link.unit, error))?;
        }
        Ok(there)
    }

    fn unit(&self, unit: &Unit) -> io::Result<()> {
        let path = Path::new(&unit.name);
        let dir = match path.parent() {
            Some(parent) if parent != Path::new("") => Some(self.directory(parent)?),
            _ => None,
        };
        let dir = dir.as_ref().unwrap_or(&self.dir);
        let name = path.file_name().unwrap_or_default();
        atomic_file::create(dir.as_fd(), name, unit.text.as_bytes(), 0o644)
    }

    fn link(&mut self, Link { dir: name, unit }: &Link) -> io::Result<()> {
        let dir = self.directory(Path::new(name))?;
        let target = Path::new("..").join(unit);
        match change("units: link", || Ok(fs::symlinkat(&target, &dir, unit.as_str())?)) {
            Ok(()) => self.links.push(Path::new(name).join(unit)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Opens a directory of this one and makes it where another generator has not.
    fn directory(&self, name: &Path) -> io::Result<OwnedFd> {
        let mode = Mode::from_raw_mode(0o755);
        match change("units: make directory", || Ok(fs::mkdirat(&self.dir, name, mode)?)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(&self.dir, name, flags, Mode::empty())?)
    }

    /// Half a set could hide what the other half was to bring. Best effort: the failure that led
    /// here is the one to tell.
    fn take_back(&self, units: &Units) {
        self.links.iter().for_each(|link| self.unlink(link));
        for unit in &units.files {
            let path = Path::new(&unit.name);
            // Another generator may have made a unit of this name: only our own text goes.
            match atomic_file::read(self.dir.as_fd(), path) {
                Ok(text) if text == unit.text.as_bytes() => self.unlink(path),
                _ => {}
            }
        }
    }

    fn unlink(&self, path: &Path) {
        let _ = change("units: take back", || Ok(fs::unlinkat(&self.dir, path, AtFlags::empty())?));
    }

    fn cannot(&self, verb: &str, name: &str, error: io::Error) -> Error {
        Error::io(format!("{verb} the unit {name} in {}", shown(self.path)), error)
    }
}

fn shown(path: &Path) -> Escaped<'_> {
    Escaped(path.as_os_str().as_encoded_bytes())
}

// Keeps systemd from committing a machine id that is kept already.
//
// `systemd-machine-id-commit.service` takes any mount on `/etc/machine-id` for the one that PID 1
// makes at a first boot, and fails on ours at each boot. It stays in force while storage has no id
// yet: what it writes then is adopted at shutdown.

const PATH: &[u8] = b"etc/machine-id";

/// The drop-in, where the machine id is kept by a mount.
pub fn drop_in(entry: &KeepEntry, way: Way, origin: &Value) -> Option<Unit> {
    if entry.path.as_bytes() != PATH || way == Way::Link {
        return None;
    }
    let source = Value::path(&entry.source()).ok()?;
    let text =
        UnitText::new(origin).section("Unit").unless("ConditionFileNotEmpty", &source).finish();
    let name = "systemd-machine-id-commit.service.d/50-blankroot.conf".to_string();
    Some(Unit { name, text })
}
