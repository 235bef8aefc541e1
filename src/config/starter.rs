//! The configuration that `init` writes: what is known filled in, the rest explained and commented
//! out.

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
        RootConfig::Btrfs { device, .. } => add(&mut text, "device", device.as_os_str())?,
        RootConfig::Zfs { dataset, .. } => add(&mut text, "dataset", OsStr::new(dataset))?,
        RootConfig::Directory { path, .. } => add(&mut text, "path", path.as_os_str())?,
        RootConfig::Tmpfs => {}
    }
    if let Some(Layout { live, blank, old }) = root.layout() {
        add(&mut text, "live", live.as_path().as_os_str())?;
        add(&mut text, "blank", blank.as_path().as_os_str())?;
        add(&mut text, "old", old.as_path().as_os_str())?;
    }
    text.push_str(TAIL);
    Ok(text)
}

fn add(text: &mut String, key: &str, value: &OsStr) -> Result<()> {
    let Some(value) = value.to_str() else {
        let action = format!("write `{key}` into the configuration");
        let why = format!("`{}` is not UTF-8, as TOML must be", Escaped(value.as_encoded_bytes()));
        return Err(Error::new(action, why)
            .hint("give it a name in UTF-8, or reach it through a link that has one"));
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

# `diff` asks so many old roots whether they had the same: what all of them had comes back by itself.
#
# [evidence]
# old_roots = 5

# An audit fails for strays that no old root had (new), for each stray, or for those alone that its lists name
# (listed). What the other two lists name is only told.
#
# [audit]
# fail = \"new\"
# fail_paths = [\"/etc/**\", \"/usr/local\"]
# fail_owners = [\"nginx\"]
# tell_paths = [\"/var/lib/docker\"]
# tell_owners = [\"user alice\"]
# at_boot = true
# at_shutdown = true
# after_packages = true
# at_login = true
# textfile = \"/var/lib/prometheus/node-exporter/blankroot.prom\"

# What is well known is in Blankroot's catalogue already. Here you say what else is on this machine, and
# what to do with it; `man blankroot.toml` has the words for that.
#
# [[catalogue]]
# path = \"/var/lib/shop\"
# what = \"the orders of our shop\"
# advice = \"keep\"
";
