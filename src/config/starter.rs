//! The configuration that `init` writes: what is known filled in, the rest explained and commented
//! out; and the one for a stage of the demo whose root `init` cannot find.

use std::ffi::OsStr;

use backends::Layout;
use dirfd::path::Escaped;
use dirfd::{Error, Result};
use toml_edit::Value;

use crate::config::root::RootConfig;

/// A commented configuration that declares `root` and nothing else.
pub fn starter_text(root: &RootConfig) -> Result<String> {
    let mut text = String::from(HEAD);
    text.push_str("[root]\n");
    text.push_str(&format!("backend = \"{}\"\n", root.backend_word()));
    match root {
        RootConfig::Btrfs { device, .. } => add_key(&mut text, "device", device.as_os_str())?,
        RootConfig::Zfs { dataset, .. } => add_key(&mut text, "dataset", OsStr::new(dataset))?,
        RootConfig::Directory { path, .. } => add_key(&mut text, "path", path.as_os_str())?,
        RootConfig::Tmpfs => {}
    }
    if let Some(Layout { live, blank, old }) = root.layout() {
        add_key(&mut text, "live", live.as_path().as_os_str())?;
        add_key(&mut text, "blank", blank.as_path().as_os_str())?;
        add_key(&mut text, "old", old.as_path().as_os_str())?;
    }
    text.push_str(TAIL);
    Ok(text)
}

fn add_key(text: &mut String, key: &str, value: &OsStr) -> Result<()> {
    let Some(value) = value.to_str() else {
        let action = format!("write `{key}` into the configuration");
        let why = format!("`{}` is not UTF-8, as TOML must be", Escaped(value.as_encoded_bytes()));
        return Err(Error::new(action, why)
            .mend("give it a name in UTF-8, or reach it through a link that has one"));
    };
    text.push_str(&format!("{key} = {}\n", Value::from(value)));
    Ok(())
}

const HEAD: &str = "\
# Blankroot restores the root to a blank snapshot at every boot. This file says where the root is,
# what is kept, and what may be forgotten. `man blankroot.toml` explains every key.

# Where the root is: `live` is mounted as /, `blank` is what it is restored to, `old` holds former
# roots. The names are relative to the top of the file system.
";

const TAIL: &str = "
[rollback]
# When the rollback fails: \"boot\" the old root and say so loudly, or \"halt\" in the initrd.
on_failure = \"boot\"
# An old root is deleted when there are more than `at_least` and it is older than `days`.
retention = { at_least = 5, days = 30 }

# What is kept lives in a storage: a directory on a file system that survives. `blankroot keep PATH`
# adds to these lists and moves the data; `blankroot diff` shows what is not on them yet.
#
# [[storage]]
# path = \"/persist\"
# directories = [
#   \"/var/log\",
#   \"/var/lib/systemd\",
#   { path = \"/var/lib/secrets\", mode = \"0700\" },
# ]
# files = [
#   \"/etc/machine-id\",
#   \"/etc/ssh/ssh_host_ed25519_key\",
#   \"/etc/ssh/ssh_host_ed25519_key.pub\",
# ]
#
# [storage.users.alice]
# directories = [\".ssh\"]

# What is disposable and need not be reported. A pattern covers what it names and all that is below
# it; `/**` at its end leaves out the directory itself.
#
# [forget]
# paths = [\"/var/cache/**\", \"/var/tmp/**\", \"/root/.cache\"]
";

/// The backends that a stage of the demo can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoBackend {
    /// Subvolumes on a loop device; needs root.
    Btrfs,
    /// Plain directories in a temporary one.
    Directory,
}

/// A stage and what there is to say about it.
#[derive(Debug)]
pub struct DemoSetup {
    /// What the demo plays on.
    pub stage: Stage,
    /// The word for its backend.
    pub backend: &'static str,
    /// Why it is not the best one; completes "…, because …".
    pub why_not_better: Option<String>,
    /// The configuration that has to be there before `init`, if one has to.
    pub config: Option<String>,
}

/// Sets a stage: the `wanted` one, or the best that there is.
pub fn choose_demo_setup(wanted: Option<DemoBackend>) -> Result<DemoSetup> {
    let layout = Layout {
        live: tree_name(DEFAULT_LIVE)?,
        blank: tree_name(DEFAULT_BLANK)?,
        old: tree_name(DEFAULT_OLD)?,
    };
    match wanted {
        Some(DemoBackend::Btrfs) => btrfs_setup(layout.live),
        Some(DemoBackend::Directory) => directory_setup(layout, "that was asked for".into()),
        None => match why_btrfs_unavailable() {
            Some(why) => directory_setup(layout, why),
            None => match btrfs_setup(layout.live.clone()) {
                Ok(set) => Ok(set),
                Err(error) => {
                    let why = error.to_string();
                    directory_setup(layout, why.lines().next().unwrap_or_default().to_string())
                }
            },
        },
    }
}

fn why_btrfs_unavailable() -> Option<String> {
    if cfg!(feature = "btrfs") {
        Throwaway::unavailable()
    } else {
        Some("this build has no btrfs".into())
    }
}

#[cfg(feature = "btrfs")]
fn btrfs_setup(live: TreeName) -> Result<DemoSetup> {
    let stage = Stage::btrfs(live)?;
    Ok(DemoSetup { stage, backend: "btrfs", why_not_better: None, config: None })
}

#[cfg(not(feature = "btrfs"))]
fn btrfs_setup(_live: TreeName) -> Result<DemoSetup> {
    Err(dirfd::Error::new("play on btrfs", "this build has no btrfs")
        .mend("build blankroot with the feature `btrfs`"))
}

fn directory_setup(layout: Layout, why: String) -> Result<DemoSetup> {
    let stage = Stage::directory(layout.live.clone())?;
    let path: PathBuf = stage.disk();
    let config = starter_text(&RootConfig::Directory { path, layout })?;
    Ok(DemoSetup { stage, backend: "directory", why_not_better: Some(why), config: Some(config) })
}

fn tree_name(name: &str) -> Result<TreeName> {
    TreeName::new(name).map_err(|why| dirfd::Error::new(format!("name a tree `{name}`"), why))
}
