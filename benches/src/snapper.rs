//! A place in which `snapper` runs without touching the machine's own configuration, log or bus.

use std::fs;
use std::path::Path;

use dirfd::private_namespace::{MountPoint, PrivateNamespace};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::Result;
use crate::field::Field;
use crate::measure::Measured;

/// Where distributions keep the list of snapper's configurations.
const LISTS: [&str; 3] = ["/etc/default/snapper", "/etc/sysconfig/snapper", "/etc/conf.d/snapper"];
/// The subvolume that holds snapper's snapshots: not in live, so that it is no change of live.
const SNAPSHOTS: &str = "snapper";

/// Live as snapper sees it, and snapper's first snapshot of it.
pub struct Snapper {
    _mounts: Vec<MountPoint>,
    /// Where the list of configurations is covered.
    list: &'static str,
}

impl Drop for Snapper {
    fn drop(&mut self) {
        // Best effort: the next one could not cover it again, since its file is gone by then.
        let _ = umount2(self.list, MntFlags::MNT_DETACH);
    }
}

impl Snapper {
    /// Has snapper make its snapshot of the tree `live`, which must have an empty directory
    /// `.snapshots`.
    ///
    /// In this process's namespace alone, `/etc/snapper` and `/var/log` are others, and so is the
    /// list of configurations.
    pub fn prepare(field: &Field<'_>, namespace: &PrivateNamespace, live: &str) -> Result<Self> {
        let root = field.outside().join("snapper-root");
        fs::create_dir(&root)?;
        let mut mounts = vec![field.mount_tree(live, &root)?];
        support::kernel::create_subvolume(&field.tree(SNAPSHOTS))?;
        mounts.push(field.mount_tree(SNAPSHOTS, &root.join(".snapshots"))?);
        let empty = |dir: &str| {
            let dir = Path::new(dir);
            namespace.mount(Path::new("tmpfs"), "tmpfs", dir, b"mode=0755")
        };
        mounts.push(empty("/etc/snapper")?);
        mounts.push(empty("/var/log")?);
        fs::create_dir("/etc/snapper/configs")?;
        let subvolume = root.display();
        let text = format!("SUBVOLUME=\"{subvolume}\"\nFSTYPE=\"btrfs\"\n");
        fs::write("/etc/snapper/configs/bench", text)?;
        let list = LISTS.iter().find(|list| Path::new(list).exists());
        let list = list.ok_or("snapper's list of configurations is not where it is looked for")?;
        let file = field.outside().join("snapper-list");
        fs::write(&file, "SNAPPER_CONFIGS=\"bench\"\n")?;
        mount(Some(&file), *list, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        let snapper = Self { _mounts: mounts, list };
        snapper.command(&["create"]).output()?;
        Ok(snapper)
    }

    /// What changed in live, as it is now, since the snapshot.
    pub fn status(&self) -> Measured {
        self.command(&["status", "1..0"])
    }

    fn command(&self, args: &[&str]) -> Measured {
        let config = ["--no-dbus", "--config", "bench"];
        Measured::new(Path::new("snapper"), config.iter().chain(args))
    }
}
