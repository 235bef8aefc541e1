//! A root with a configuration, and the directory that systemd gives a generator.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use blankroot::systemd::boot_configuration::NotGenerated;
use blankroot::systemd::generator::{Generated, Generator};
use tempfile::TempDir;

/// The list for the system of the page "Impermanence" in the NixOS wiki.
pub const WIKI: &str = r#"
[[storage]]
path = "/nix/persist/system"
hide_mounts = true
directories = [
  "/var/log",
  "/var/lib/bluetooth",
  "/var/lib/nixos",
  "/var/lib/systemd/coredump",
  "/etc/NetworkManager/system-connections",
  { path = "/var/lib/colord", user = "colord", group = "colord", mode = "u=rwx,g=rx,o=" },
]
files = [
  "/etc/machine-id",
  { path = "/etc/nix/id_rsa", parent = { mode = "u=rwx,g=,o=" } },
]
"#;

/// Both of them.
pub struct Root {
    root: TempDir,
    units: TempDir,
}

impl Root {
    /// Without a configuration.
    pub fn bare() -> Self {
        let (root, units) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in ["etc", "dev"] {
            fs::create_dir(root.path().join(dir)).unwrap();
        }
        fs::write(root.path().join("dev/kmsg"), "").unwrap();
        // systemd shows what it read to those who are not root.
        fs::set_permissions(units.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { root, units }
    }

    /// With these storages.
    pub fn with(storages: &str) -> Self {
        let root = Self::bare();
        root.write("etc/blankroot.toml", &format!("[root]\nbackend = \"tmpfs\"\n{storages}"));
        root
    }

    /// With the list of the wiki, and these units as they are installed, which run the command that was built here.
    pub fn with_installed(names: &[&str]) -> Self {
        let root = Self::with(WIKI);
        for name in names {
            let unit = format!("{}/boot/systemd/{name}", env!("CARGO_MANIFEST_DIR"));
            let unit = fs::read_to_string(unit).unwrap();
            for target in unit.lines().filter_map(|line| line.strip_prefix("WantedBy=")) {
                let wants = root.units().join(format!("{target}.wants"));
                fs::create_dir_all(&wants).unwrap();
                symlink(format!("../{name}"), wants.join(name)).unwrap();
            }
            let unit = unit.replace("/usr/bin/blankroot", env!("CARGO_BIN_EXE_blankroot"));
            fs::write(root.units().join(name), unit).unwrap();
        }
        root
    }

    /// An initrd with this configuration and kernel command line.
    pub fn initrd(config: &str, command_line: &str) -> Self {
        let root = Self::bare();
        root.write("etc/initrd-release", "");
        root.write("etc/blankroot.toml", config);
        root.write("proc/cmdline", command_line);
        root
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Where the units are.
    pub fn units(&self) -> &Path {
        self.units.path()
    }

    /// Runs the generator in this process.
    pub fn generate(&self) -> Result<Generated, NotGenerated> {
        let command = env!("CARGO_BIN_EXE_blankroot");
        Generator { root: self.path(), normal_dir: self.units(), command }.generate()
    }

    /// Runs the program as systemd does, and returns its status and what it said.
    pub fn start(&self) -> (i32, String) {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_blankroot-generator"));
        let none = self.path().join("no-such-directory");
        command.arg("--root").arg(self.path()).arg(self.units()).arg(&none).arg(&none).env_clear();
        let output = command.output().unwrap();
        assert!(output.stdout.is_empty(), "{output:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// What the kernel's log has got.
    pub fn kernel_log(&self) -> String {
        fs::read_to_string(self.path().join("dev/kmsg")).unwrap()
    }

    /// Every file and link of the unit directory with what is in it, but for temporary ones.
    pub fn written(&self) -> BTreeMap<PathBuf, String> {
        let (mut found, mut dirs) = (BTreeMap::new(), vec![PathBuf::new()]);
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(self.units().join(&dir)).unwrap() {
                let entry = entry.unwrap();
                let (path, kind) = (dir.join(entry.file_name()), entry.file_type().unwrap());
                if kind.is_dir() {
                    dirs.push(path);
                } else if kind.is_symlink() {
                    let target = fs::read_link(entry.path()).unwrap();
                    found.insert(path, format!("-> {}", target.display()));
                } else if !entry.file_name().as_bytes().starts_with(b".") {
                    found.insert(path, fs::read_to_string(entry.path()).unwrap());
                }
            }
        }
        found
    }
}
