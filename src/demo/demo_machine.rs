//! The machine in the demo: what is installed on it, what its host shows, and how it lives a little.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dirfd::fault::change;
use dirfd::path::Escaped;
use dirfd::{Error, Result};

/// What is installed.
const INSTALLED: &[(&str, u32, &str)] = &[
    ("etc/hostname", 0o644, "golden\n"),
    ("etc/motd", 0o644, "Welcome to the lab.\n"),
    ("etc/passwd", 0o644, "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"),
    ("usr/bin/editor", 0o755, "#!/bin/sh\nexec ed \"$@\"\n"),
    ("usr/bin/sh", 0o755, "#!/bin/false\n"),
    ("usr/local/bin/hello", 0o755, "#!/bin/sh\necho hello\n"),
    ("root/.profile", 0o600, "umask 022\n"),
    ("var/lib/packages", 0o644, "editor 1.0\nhello 1.0\n"),
    ("var/log/install.log", 0o640, "installed 2 packages\n"),
];

/// What appears or changes while it runs.
const LIVED: &[(&str, u32, &str)] = &[
    ("etc/hostname", 0o644, "kiosk-7\n"),
    ("root/.bash_history", 0o600, "vi /etc/hostname\nrm /etc/motd\ncurl … | sh\n"),
    ("usr/local/bin/miner", 0o755, "#!/bin/sh\nwhile :; do :; done\n"),
    (NOTE, 0o644, NOTE_TEXT),
    ("var/lib/notes/2026/plans.txt", 0o644, "1. erase your darlings\n2. lose none\n"),
];

/// What vanishes while it runs.
const REMOVED: &str = "etc/motd";

/// The directory that will be kept.
pub const NOTES: &str = "/var/lib/notes";
/// A file in it.
pub const NOTE: &str = "var/lib/notes/todo.txt";
/// What that file says.
pub const NOTE_TEXT: &str = "feed the cat\n";

/// What is to be gone, and to be found in the old root.
pub const STRAYS: [&str; 2] = ["root/.bash_history", "usr/local/bin/miner"];
/// What is to be as it was installed.
pub const RESTORED: [&str; 2] = ["etc/hostname", REMOVED];

/// The ids of its two boots.
pub const BOOTS: [&str; 2] =
    ["3f2a1c9e-7a01-4b6e-9d0a-5c3e8b1f2a64", "b81d40e7-2c95-4f13-8a7e-90d6c2f4e815"];

/// Installs it in `root`.
pub fn install_files(root: &Path) -> Result<()> {
    INSTALLED.iter().try_for_each(|&(path, mode, text)| write_file(&root.join(path), mode, text))
}

/// What a file has that is installed.
pub fn installed_text(path: &str) -> Option<&'static str> {
    INSTALLED.iter().find(|(name, ..)| *name == path).map(|&(.., text)| text)
}

/// Lets it live a little.
pub fn change_files(root: &Path) -> Result<()> {
    LIVED.iter().try_for_each(|&(path, mode, text)| write_file(&root.join(path), mode, text))?;
    let removed = root.join(REMOVED);
    change("demo: remove", || fs::remove_file(&removed))
        .map_err(|e| Error::io(format!("remove {}", escaped_path(&removed)), e))
}

/// What its host shows to the commands in one of its boots: no hibernation, no wishes. `device` is
/// where its root is.
pub fn write_boot(host: &Path, id: &str, device: Option<&Path>) -> Result<()> {
    write_file(&host.join("proc/cmdline"), 0o444, "quiet\n")?;
    write_file(&host.join("proc/sys/kernel/random/boot_id"), 0o444, &format!("{id}\n"))?;
    if let Some(device) = device.and_then(|device| device.strip_prefix("/").ok()) {
        write_file(&host.join(device), 0o444, "")?;
    }
    make_dir(&host.join("sys/class/block"))
}

/// Writes a file, and makes the directories that lead to it.
pub fn write_file(path: &Path, mode: u32, text: &str) -> Result<()> {
    path.parent().map_or(Ok(()), make_dir)?;
    let action = || format!("write {}", escaped_path(path));
    // Not written over, since it may be read-only even to its owner.
    match change("demo: unlink", || fs::remove_file(path)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io(action(), error));
        }
        _ => {}
    }
    change("demo: write", || fs::write(path, text)).map_err(|e| Error::io(action(), e))?;
    let permissions = fs::Permissions::from_mode(mode);
    change("demo: set mode", || fs::set_permissions(path, permissions))
        .map_err(|e| Error::io(action(), e))
}

fn make_dir(dir: &Path) -> Result<()> {
    change("demo: make directory", || fs::create_dir_all(dir))
        .map_err(|e| Error::io(format!("make the directory {}", escaped_path(dir)), e))
}

fn escaped_path(path: &Path) -> String {
    Escaped::of_path(path).to_string()
}
