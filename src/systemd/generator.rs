//! What systemd starts before any unit: reads the configuration and writes the units.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use dirfd::error::describe;
use dirfd::{Error, Result};

use crate::boot::command_line::CommandLine;
use crate::boot::{facts, fstab};
use crate::host::{HostRoot, is_not_found};
use crate::log::{self, LogLevel};
use crate::systemd::boot_configuration::{self, Loaded, NotGenerated};
use crate::systemd::initrd_units::InInitrd;
use crate::systemd::unit_set::Units;
use crate::systemd::write_units::write_units;

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
            Ok(generated) => (LogLevel::Warning, generated.warnings.clone()),
            Err(error) => (LogLevel::Error, vec![error.to_string()]),
        };
        messages.iter().for_each(|message| self.tell(level, message));
        done
    }

    fn tell(&self, level: LogLevel, message: &str) {
        print_message(&message);
        let logged = HostRoot::open(self.root).map_err(|error| error.to_string());
        let logged = logged.and_then(|host| {
            match log::write_kernel_log(&host, "blankroot-generator", level, message) {
                Err(error) if !is_not_found(&error) => Err(describe(&error)),
                _ => Ok(()),
            }
        });
        if let Err(why) = logged {
            print_message(&format_args!("cannot write to /dev/kmsg: {why}"));
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
        let config = match boot_configuration::load_in_initrd(host) {
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
        let units = match boot_configuration::load_in_force(host)? {
            Loaded::Nothing => return Ok(Generated::default()),
            Loaded::Config(config, origin) => {
                let text = fstab::read_fstab(host.as_fd()).unwrap_or_else(|why| {
                    warnings.push(format!("cannot read /etc/fstab: {}", describe(&why)));
                    Vec::new()
                });
                Units::of(&config, self.command, &origin, &fstab::parse_entries(&text))
            }
            Loaded::Behind(target) => {
                warnings.push(format!(
                    "no mount units, `blankroot apply` makes all mounts later: the configuration is \
                     a link to {target}, which is not mounted yet\n  hint: keep it with `how = \
                     \"bind\"`, or mount its storage in the initrd"
                ));
                Units::without_list(&target, self.command)
            }
        };
        self.write(&units.map_err(no_units)?, warnings)
    }

    fn write(&self, units: &Units, mut warnings: Vec<String>) -> Result<Generated, NotGenerated> {
        let there = write_units(self.normal_dir, units)?;
        let left = units.left.iter().map(|left| {
            let (path, why) = (&left.path, &left.why);
            format!("no mount unit for {path}, which `blankroot apply` mounts later: {why}")
        });
        let doubled = there.iter().map(|name| {
            format!(
                "cannot write the unit {name}: another generator has made it\n  hint: if it is \
                 in /etc/fstab, keep that line or the entry of the keep list"
            )
        });
        let by_fstab = units.by_fstab.iter().map(|left| {
            let (path, why) = (&left.path, &left.why);
            format!(
                "no mount unit for {path}: {why}\n  hint: remove {path} from the configuration, or that \
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

fn print_message(message: &impl Display) {
    // Nobody is left to tell that standard error is closed.
    let _ = writeln!(io::stderr(), "blankroot-generator: {message}");
}
