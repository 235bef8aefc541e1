//! Operations on what is written beside a file: mode, owner, times, attributes, ACLs, flags.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, IFlags, Timespec, Timestamps, XattrFlags, ioctl_getflags, ioctl_setflags,
    lremovexattr, lsetxattr, utimensat,
};

use super::World;
use crate::op::{Op, Pick};
use crate::{names, oracle};

const XATTRS: [&str; 5] =
    ["user.one", "user.with space", "trusted.overlay.opaque", "trusted.two", "security.three"];

/// Those that a history can go on with: `+i` and `+a` would make most of what follows fail, and `+C`
/// cannot be taken from a file with content, nor given to it.
const FLAGS: [IFlags; 4] = [IFlags::NOATIME, IFlags::NODUMP, IFlags::SYNC, IFlags::COMPRESSED];

pub(crate) fn run(world: &mut World<'_>, op: Op) -> Option<io::Result<()>> {
    Some(match op {
        Op::Chmod { what, mode } => {
            not_a_link(world, what).and_then(|path| chmod(&path, mode.into()))
        }
        Op::ChmodBackAndForth { what } => not_a_link(world, what).and_then(|path| {
            let before = fs::metadata(&path)?.permissions().mode();
            chmod(&path, before ^ 0o111)?;
            chmod(&path, before)
        }),
        Op::ChmodRoot { mode } => chmod(&world.live, mode.into()),
        Op::Chown { what, uid, gid } => {
            world.any(what).and_then(|path| lchown(path, Some(uid), Some(gid)))
        }
        Op::Touch { what, time } => world.any(what).and_then(|path| touch(&path, time)),
        Op::SetXattr { what, name, len, seed } => world.any(what).and_then(|path| {
            let name = XATTRS[usize::from(name) % XATTRS.len()];
            set(&path, name, &names::content(seed, len.into()))
        }),
        Op::RemoveXattr { what, which } => remove_xattr(world, what, which),
        Op::XattrBackAndForth { what } => world.any(what).and_then(|path| {
            set(&path, "trusted.back-and-forth", b"x")?;
            Ok(lremovexattr(&path, "trusted.back-and-forth")?)
        }),
        Op::SetAcl { what, uid, perm, default } => set_acl(world, what, uid, perm, default),
        Op::SetCapability { file, permitted } => world
            .file(file)
            .and_then(|path| set(&path, "security.capability", &names::capability(permitted))),
        Op::SetCompression { what } => world
            .pick(what, |f| f.file_type.is_dir() || f.file_type.is_file())
            .and_then(|path| set(&path, "btrfs.compression", b"zstd")),
        Op::SetFlags { what, which } => {
            world.pick(what, |f| f.file_type.is_dir() || f.file_type.is_file()).and_then(|path| {
                let file = File::open(path)?;
                let flags = ioctl_getflags(&file)? ^ FLAGS[usize::from(which) % FLAGS.len()];
                Ok(ioctl_setflags(&file, flags)?)
            })
        }
        _ => return None,
    })
}

fn not_a_link(world: &World<'_>, number: Pick) -> io::Result<PathBuf> {
    world.pick(number, |f| !f.file_type.is_symlink())
}

fn remove_xattr(world: &World<'_>, what: Pick, which: u8) -> io::Result<()> {
    // Few files have any: pick among those.
    let mut all = world.all(|_| true);
    all.retain(|path| !super::is_nested(path) && !oracle::entry_at(path).xattrs.is_empty());
    let path = super::nth(all, what)?;
    let names: Vec<_> = oracle::entry_at(&path).xattrs.into_keys().collect();
    Ok(lremovexattr(&path, names[usize::from(which) % names.len()].as_slice())?)
}

fn set_acl(world: &World<'_>, what: Pick, uid: u32, perm: u16, default: bool) -> io::Result<()> {
    let (path, name) = if default {
        (world.dir(what)?, "system.posix_acl_default")
    } else {
        (not_a_link(world, what)?, "system.posix_acl_access")
    };
    set(&path, name, &names::acl(uid, perm))
}

fn touch(path: &Path, time: u32) -> io::Result<()> {
    let at = Timespec { tv_sec: time.into(), tv_nsec: i64::from(time % 1_000_000_000) };
    let times = Timestamps { last_access: at, last_modification: at };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

pub(crate) fn set(path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    Ok(lsetxattr(path, name, value, XattrFlags::empty())?)
}

fn chmod(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
