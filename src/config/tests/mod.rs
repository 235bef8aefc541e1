//! The configuration as a whole: what it means, what is wrong with it, and how it is edited.

pub mod bad;
pub mod describing;
pub mod editing;
pub mod good;
pub mod lists_of_users;
pub mod never_panics;
pub mod places;
pub mod starting;

use std::path::Path;

use super::*;
use crate::config::reader::ConfigProblem;

const FILE: &str = "/etc/blankroot.toml";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new(FILE), text.as_bytes())
}

/// Every problem of an error: `LINE:COLUMN: WHAT | HINT`.
fn list_problems(error: &ConfigError) -> Vec<String> {
    let line =
        |p: &ConfigProblem| format!("{}:{}: {} | {}", p.place.line, p.place.column, p.what, p.hint);
    error.problems().iter().map(line).collect()
}

/// The example of the documentation.
const EXAMPLE: &str = r#"[root]
backend = "btrfs"                  # btrfs | zfs | tmpfs | directory
device  = "/dev/disk/by-label/os"  # btrfs; zfs names a dataset instead
live    = "root"                   # path of the subvolume in the file system
blank   = "root-blank"
old     = "old-roots"

[rollback]
on_failure = "boot"                # boot the old root and say so loudly | "halt"
retention  = { at_least = 5, days = 30 }   # expires only what both allow

[[storage]]
path = "/persist"
hide_mounts = true
directories = [
  "/var/log",
  { path = "/var/lib/colord", user = "colord", group = "colord", mode = "u=rwx,g=rx,o=" },
]
files = [
  "/etc/machine-id",
  { path = "/etc/nix/id_rsa", parent = { mode = "u=rwx,g=,o=" } },
]
[storage.users.alice]              # paths relative to her home
directories = [".ssh", { path = "Firefox/.mozilla", strip_prefix = true }]
files = [".config/kdeglobals"]

[forget]
paths = ["/var/cache/**", "/root/.cache"]
"#;
