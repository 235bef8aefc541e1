//! The installed systemd as a judge: what it complains about, and what it has read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dirfd::process::Program;
use support::sandbox::skip;

const ANALYZE: Program = Program::new("systemd-analyze", "systemd");
const SETPRIV: Program = Program::new("setpriv", "util-linux");
/// Where distributions have the manager itself.
const MANAGERS: [&str; 3] = [
    "/usr/lib/systemd/systemd",
    "/lib/systemd/systemd",
    "/run/current-system/systemd/lib/systemd/systemd",
];
/// A boot of the distribution, and what is to come before and after our units in it.
const SYSTEM: (&str, &[&str]) = (
    "multi-user.target",
    &[
        "systemd-journal-flush.service",
        "systemd-journald.service",
        "systemd-tmpfiles-setup.service",
        "systemd-machine-id-commit.service",
    ],
);
/// The same of its initrd.
const INITRD: (&str, &[&str]) =
    ("initrd.target", &["initrd-root-fs.target", "initrd-fs.target", "initrd-parse-etc.service"]);

/// systemd with the units of one directory beside those of the distribution.
pub struct Systemd<'d> {
    units: &'d Path,
    target: &'static str,
    analyze: PathBuf,
    manager: PathBuf,
    setpriv: PathBuf,
}

impl<'d> Systemd<'d> {
    /// Finds it, or says that it is not there.
    pub fn with(units: &'d Path) -> Option<Self> {
        Self::reaching(SYSTEM, units)
    }

    /// The same for what it does in the initrd.
    pub fn in_initrd(units: &'d Path) -> Option<Self> {
        Self::reaching(INITRD, units)
    }

    fn reaching((target, neighbours): (&'static str, &[&str]), units: &'d Path) -> Option<Self> {
        let manager = MANAGERS.iter().map(PathBuf::from).find(|path| path.is_file());
        let (Some(manager), Some(analyze), Some(setpriv)) =
            (manager, ANALYZE.find(), SETPRIV.find())
        else {
            skip("there is no systemd, systemd-analyze or setpriv to judge units");
            return None;
        };
        let systemd = Self { units, target, analyze, manager, setpriv };
        let read = systemd.read();
        if let Some(missing) = neighbours.iter().find(|name| !read.contains_key(**name)) {
            skip(&format!("the boot of this distribution has no {missing}"));
            return None;
        }
        Some(systemd)
    }

    /// Builds the whole boot, and returns all complaints that name one of `ours` or a cycle.
    pub fn complaints(&self, ours: &[&str]) -> Vec<String> {
        let arguments = ["verify", "--man=no", "--generators=no", self.target];
        let output = self.command(&self.analyze).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        let ours = |line: &&str| line.contains("cycle") || ours.iter().any(|o| line.contains(o));
        text.lines().filter(ours).map(str::to_string).collect()
    }

    /// Every unit of the boot as it was read.
    pub fn read(&self) -> HashMap<String, Settings> {
        let mut command = self.command(&self.setpriv);
        if rustix::process::geteuid().is_root() {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command
            .arg(&self.manager)
            .args(["--test", "--system"])
            .arg(format!("--unit={}", self.target));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = units(&String::from_utf8(output.stdout).unwrap());
        assert!(!read.is_empty(), "this systemd shows units in another form");
        read
    }

    fn command(&self, program: &Path) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::new(program);
        let path = format!("{}:", self.units.display());
        command.env("LC_ALL", "C.UTF-8").env("SYSTEMD_UNIT_PATH", path);
        // Of this machine, these could do anything.
        command.env("SYSTEMD_GENERATOR_PATH", "/nonexistent");
        command.env("SYSTEMD_ENVIRONMENT_GENERATOR_PATH", "/nonexistent");
        command
    }
}

/// The settings of a unit; those that can be given several times have several values.
#[derive(Debug, Default)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    pub fn of(&self, key: &str) -> Vec<&str> {
        self.0.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether a unit is named, whatever it was that named it.
    #[track_caller]
    pub fn names(&self, key: &str, unit: &str) {
        let values = self.of(key);
        let named = |value: &&str| value.split(" (").next() == Some(unit);
        assert!(values.iter().any(named), "{unit} is not among {key}: {values:?}");
    }

    /// Conditions without what came of them.
    pub fn conditions(&self, key: &str) -> Vec<&str> {
        self.of(key).iter().map(|value| value.strip_suffix(" untested").unwrap_or(value)).collect()
    }
}

fn units(dump: &str) -> HashMap<String, Settings> {
    let (mut units, mut current) = (HashMap::<String, Settings>::new(), None);
    for line in dump.lines() {
        let line = line.trim_start();
        // The arrow depends on systemd's version and its locale.
        let unit = line.strip_prefix("-> Unit ").or_else(|| line.strip_prefix("\u{2192} Unit "));
        if let Some(name) = unit {
            current = Some(units.entry(name.trim_end_matches(':').to_string()).or_default());
        } else if let (Some(unit), Some((key, value))) = (&mut current, line.split_once(": ")) {
            unit.0.push((key.to_string(), value.to_string()));
        }
    }
    units
}
