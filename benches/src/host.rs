//! What a rollback asks of a kernel, in a directory of its own: boot id, command line, and `/run`.

use std::fs;
use std::path::{Path, PathBuf};

use dirfd::private_namespace::{MountPoint, PrivateNamespace};

use crate::Result;
use crate::field::Field;

/// The directory, which goes with the field that it lies beside, and after this.
pub struct Host {
    /// `/run`, in memory as on any machine: what is written to it costs no disk.
    _run: MountPoint,
    dir: PathBuf,
}

impl Host {
    /// One beside this field, in its boot number 0.
    pub fn new(field: &Field<'_>, namespace: &PrivateNamespace) -> Result<Self> {
        let dir = field.outside().join("host");
        for name in ["proc/sys/kernel/random", "sys/class/block", "run", "dev", "etc"] {
            fs::create_dir_all(dir.join(name))?;
        }
        fs::write(dir.join("proc/cmdline"), "quiet noresume\n")?;
        let run = namespace.mount(Path::new("tmpfs"), "tmpfs", &dir.join("run"), b"mode=0755")?;
        let host = Self { _run: run, dir };
        host.boot(0)?;
        Ok(host)
    }

    /// Starts the boot of this number.
    pub fn boot(&self, number: usize) -> Result<()> {
        let id = format!("00000000-0000-4000-8000-{number:012}\n");
        Ok(fs::write(self.dir.join("proc/sys/kernel/random/boot_id"), id)?)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }
}
