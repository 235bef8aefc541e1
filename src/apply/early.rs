//! Mounts the storages of early kept paths, and leaves them mounted: the root takes them over.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use backends::path::Escaped;
use backends::{Error, Result};
use rustix::fs::OFlags;

use crate::host::mounting::{self, FileSystem};
use crate::host::{Machine, is_not_found};
use crate::plan::early::{Source, StorageMount};

/// Mounts one of them. Devices are found below `host`.
pub fn mount(machine: &Machine, host: &Path, new: &StorageMount) -> Result<()> {
    let source = match &new.source {
        Source::Device(path) => host.join(path.as_path()),
        Source::Name(name) => Path::new(OsStr::from_bytes(name)).to_path_buf(),
    };
    if matches!(new.source, Source::Device(_))
        && let Err(why) = source.symlink_metadata()
    {
        let error = Error::io(new.to_string(), why);
        return Err(if error.errno() == Some(nix::libc::ENOENT) { not_there(new) } else { error });
    }
    let new_one = FileSystem {
        fs_type: &new.fs_type,
        source: &source,
        options: &new.options,
        attributes: new.attributes,
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let done = machine
        .open_at(&new.point, flags)
        .and_then(|place| mounting::file_system(new_one, place.as_fd()));
    done.map_err(|why| {
        let missing = is_not_found(&why);
        let error = Error::io(new.to_string(), why);
        match error.errno() {
            Some(nix::libc::ENODEV) => error.mend(format!(
                "see that the initrd has the kernel module of {}",
                Escaped(new.fs_type.as_bytes())
            )),
            Some(nix::libc::ELOOP) => {
                error.mend("a link lies on the way to it: put a directory in its place, in blank")
            }
            _ if missing => {
                error.mend("see that its mount point is there, and what its options name")
            }
            _ => error.mend(format!("correct line {} of /etc/fstab", new.line)),
        }
    })
}

fn not_there(new: &StorageMount) -> Error {
    Error::new(new.to_string(), "there is no such device yet").mend(format!(
        "add `x-initrd.mount` to line {} of /etc/fstab, so that the initrd waits for it, or correct \
         the device there",
        new.line
    ))
}
