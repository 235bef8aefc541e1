//! Operations on names: what is there, and where.

use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use dirfd::FileType;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, XattrFlags, makedev, mkdirat, mknodat, openat};

use super::content::{create, replace};
use super::{World, join};
use crate::names;
use crate::op::{Kind, Op, Place};
use crate::oracle;

pub(crate) fn run(world: &mut World<'_>, op: Op) -> Option<io::Result<()>> {
    Some(match op {
        Op::HardLink { file, place } => world
            .pick(file, |f| !f.file_type.is_dir())
            .and_then(|path| fs::hard_link(path, world.place(place)?)),
        Op::ManyLinks { file, dir, count } => many_links(world, file, dir, count),
        Op::BreakLink { file } => world.file(file).and_then(|path| {
            let before = oracle::entry_at(&path);
            replace(&path, &before.content)?;
            dress(&path, &before)
        }),
        Op::MakeDir { place } => world.place(place).and_then(fs::create_dir),
        Op::DeepDirs { place, depth } => {
            world.place(place).and_then(|path| deep(&path, place.name, depth))
        }
        Op::MakeNode { place, kind } => world.place(place).and_then(|path| make(&path, kind)),
        Op::Symlink { place, target } => {
            world.place(place).and_then(|path| symlink(link_target(target), path))
        }
        Op::Retarget { link, target } => {
            world.pick(link, |f| f.file_type.is_symlink()).and_then(|path| {
                fs::remove_file(&path)?;
                symlink(link_target(target), path)
            })
        }
        Op::Rename { what, place } => world
            .any(what)
            .and_then(|path| rename(&path, &world.place(place)?, RenameFlags::NOREPLACE)),
        Op::RenameOver { what, over } => {
            world.any(what).and_then(|path| rename(&path, &world.any(over)?, RenameFlags::empty()))
        }
        Op::RenameThereAndBack { what, place } => there_and_back(world, what, place),
        Op::Exchange { a, b } => exchange(world, a, b),
        Op::ReplaceType { what, kind } => world.any(what).and_then(|path| {
            remove(&path)?;
            make(&path, kind)
        }),
        Op::Delete { what } => {
            world.pick(what, |f| !f.file_type.is_dir()).and_then(fs::remove_file)
        }
        Op::DeleteMany { dir, count } => world.dir(dir).and_then(|dir| delete_many(&dir, count)),
        Op::RemoveTree { dir } => world.dir(dir).and_then(|path| remove(&path)),
        Op::RebuildTree { dir } => world.dir(dir).and_then(|path| rebuild(&path)),
        Op::ReuseInodes { count, kind } => reuse_inodes(world, count, kind),
        Op::RemakeNewest { dir, seed } => remake_newest(world, dir, seed),
        _ => return None,
    })
}

fn many_links(world: &World<'_>, file: u16, dir: u16, count: u8) -> io::Result<()> {
    let (file, dir) = (world.file(file)?, world.dir(dir)?);
    for number in 0..count {
        // Long names, so that INODE_REF is full after some sixty of them.
        let name = format!("{}{number:03}", "link".repeat(62));
        fs::hard_link(&file, dir.join(name))?;
    }
    Ok(())
}

/// Goes down by descriptors, so that the path may grow past PATH_MAX.
fn deep(path: &Path, name: u8, depth: u8) -> io::Result<()> {
    let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::create_dir(path)?;
    let mut dir = openat(CWD, path, open, Mode::empty())?;
    for level in 0..depth {
        let name = names::name(name.wrapping_add(level));
        mkdirat(&dir, name.as_slice(), Mode::from_raw_mode(0o755))?;
        dir = openat(&dir, name.as_slice(), open, Mode::empty())?;
    }
    mknodat(&dir, "bottom", rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o644), 0)?;
    Ok(())
}

/// Leaves stubs alone: to exchange one fails with ENOENT, and then (Linux 6.18) the kernel denies
/// until the next mount that its name exists, while it goes on listing it.
fn exchange(world: &World<'_>, a: u16, b: u16) -> io::Result<()> {
    let [a, b] = [world.any(a)?, world.any(b)?];
    if [&a, &b].iter().any(|path| super::inode(path) == 2) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    rename(&a, &b, RenameFlags::EXCHANGE)
}

fn there_and_back(world: &World<'_>, what: u16, place: Place) -> io::Result<()> {
    let (path, other) = (world.any(what)?, world.place(place)?);
    rename(&path, &other, RenameFlags::NOREPLACE)?;
    rename(&other, &path, RenameFlags::NOREPLACE)
}

fn delete_many(dir: &Path, count: u8) -> io::Result<()> {
    let mut paths: Vec<_> = fs::read_dir(dir)?.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    paths.into_iter().take(count.into()).try_for_each(|path| remove(&path))
}

/// Btrfs gives out the number after the highest in use when a subvolume was just loaded.
fn reuse_inodes(world: &mut World<'_>, count: u8, kind: Kind) -> io::Result<()> {
    let mut files = world.all(|f| !f.file_type.is_dir());
    let dev = fs::metadata(&world.live)?.dev();
    files.retain(|path| fs::symlink_metadata(path).is_ok_and(|m| m.dev() == dev && m.nlink() == 1));
    files.sort_by_key(|path| std::cmp::Reverse(super::inode(path)));
    files.truncate(count.into());
    let deleted: Vec<u64> = files.iter().map(|path| super::inode(path)).collect();
    files.iter().try_for_each(fs::remove_file)?;
    world.sandbox.remount();
    for number in 0..files.len() {
        make(&world.live.join(format!("reused-{number}")), kind)?;
    }
    let root = fs::read_dir(&world.live)?;
    let reused =
        root.filter(|entry| deleted.contains(&super::inode(&entry.as_ref().unwrap().path())));
    if reused.count() > 0 { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// How many of the newest directories may be made again.
const NEWEST: usize = 4;

/// Deletes one of the newest directories and all that is newer still, and after a mount makes things in the
/// order of the numbers that are free again: mostly as they were, else of other content, under another name
/// of the same length, of another type, or elsewhere.
fn remake_newest(world: &mut World<'_>, dir: u16, seed: u8) -> io::Result<()> {
    let dev = fs::metadata(&world.live)?.dev();
    let is_ours = |path: &PathBuf| {
        fs::symlink_metadata(path).is_ok_and(|m| m.dev() == dev) && !super::is_nested(path)
    };
    let mut dirs = world.all(|f| f.file_type.is_dir());
    dirs.retain(is_ours);
    dirs.sort_by_key(|path| std::cmp::Reverse(super::inode(path)));
    dirs.truncate(NEWEST);
    let oldest = super::inode(&super::nth(dirs, dir)?);
    let mut gone = world.all(|_| true);
    gone.retain(|path| is_ours(path) && super::inode(path) >= oldest);
    let mut gone: Vec<_> = gone.into_iter().map(|path| (oracle::entry_at(&path), path)).collect();
    gone.sort_by_key(|(was, _)| was.inode.0);
    for (_, path) in &gone {
        if let Err(why) = remove(path)
            && why.kind() != io::ErrorKind::NotFound
        {
            return Err(why);
        }
    }
    world.sandbox.remount();
    let mut again: Vec<(u64, PathBuf)> = Vec::new();
    let mut random = u32::from(seed);
    for (was, path) in &gone {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let made = match again.last() {
            Some((number, first)) if *number == was.inode.0 => {
                fs::hard_link(first, path).map(|()| first.clone())
            }
            _ => make_like(&world.live, path, was, (random >> 16) % 9),
        };
        match made {
            Ok(made) => again.push((was.inode.0, made)),
            Err(why) if why.raw_os_error() == Some(nix::libc::ENOSPC) => return Err(why),
            // What is above it is another now, or its name is taken.
            Err(_) => {}
        }
    }
    let is_reused = |path: &Path| gone.iter().any(|(was, _)| was.inode.0 == super::inode(path));
    let reused = again.iter().any(|(_, path)| is_reused(path));
    if reused { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Makes one thing in the place of another, and says where.
fn make_like(live: &Path, path: &Path, was: &oracle::Entry, how: u32) -> io::Result<PathBuf> {
    let path = match how {
        5 => path.with_file_name(other_name(path)),
        6 => live.join(format!("elsewhere-{}", was.inode.0)),
        _ => path.to_path_buf(),
    };
    let is_dir = was.facts.file_type == FileType::Dir;
    match how {
        // Each takes one number, so that the next gets its own again.
        7 if is_dir => create(&path, b"was a directory\n")?,
        7 => fs::create_dir(&path)?,
        8 if was.facts.file_type == FileType::File => {
            create(&path, &was.content.iter().map(|byte| byte ^ 1).collect::<Vec<_>>())?;
        }
        8 if is_dir => {
            fs::create_dir(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o711))?;
        }
        _ => {
            make_as(&path, was)?;
            dress(&path, was)?;
        }
    }
    Ok(path)
}

/// Another name of the same length for what is at `path`.
fn other_name(path: &Path) -> std::ffi::OsString {
    let mut name = path.file_name().unwrap_or_default().as_bytes().to_vec();
    let last = name.last_mut().unwrap();
    *last = if *last == b'x' { b'y' } else { b'x' };
    os(&name)
}

/// Removes the tree and makes it again from memory; hard links come back as files of their own.
fn rebuild(dir: &Path) -> io::Result<()> {
    let tree = oracle::walk(dir);
    let types = |wanted| tree.values().any(|entry| entry.facts.file_type == wanted);
    if types(FileType::Subvolume) || tree.keys().any(|path| path.len() > 1000) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    remove(dir)?;
    for (path, entry) in &tree {
        let path = if path.is_empty() { dir.to_path_buf() } else { join(dir, path) };
        make_as(&path, entry)?;
        dress(&path, entry)?;
    }
    Ok(())
}

/// Makes what `entry` tells of, with its content.
fn make_as(path: &Path, entry: &oracle::Entry) -> io::Result<()> {
    let node = |kind| {
        let mode = Mode::from_raw_mode(entry.facts.mode.into());
        mknodat(CWD, path, kind, mode, entry.rdev).map_err(io::Error::from)
    };
    match entry.facts.file_type {
        FileType::File => create(path, &entry.content),
        FileType::Dir => fs::create_dir(path),
        FileType::Symlink => symlink(PathBuf::from(os(&entry.content)), path),
        FileType::Fifo => node(rustix::fs::FileType::Fifo),
        FileType::Socket => node(rustix::fs::FileType::Socket),
        FileType::Char => node(rustix::fs::FileType::CharacterDevice),
        FileType::Block => node(rustix::fs::FileType::BlockDevice),
        FileType::Subvolume => Ok(()),
    }
}

/// Gives `path` the owner, the attributes and the mode that `entry` has, and no more: a directory
/// passes ACLs and properties on to what is made in it.
fn dress(path: &Path, entry: &oracle::Entry) -> io::Result<()> {
    let facts = entry.facts;
    std::os::unix::fs::lchown(path, Some(facts.uid), Some(facts.gid))?;
    for name in oracle::entry_at(path).xattrs.into_keys() {
        if !entry.xattrs.contains_key(&name) {
            rustix::fs::lremovexattr(path, name.as_slice())?;
        }
    }
    if facts.file_type != FileType::Symlink {
        fs::set_permissions(path, fs::Permissions::from_mode(facts.mode.into()))?;
    }
    if matches!(facts.file_type, FileType::File | FileType::Dir) {
        let file = fs::File::open(path)?;
        let rest = rustix::fs::ioctl_getflags(&file)?.bits() & !oracle::FLAGS;
        let flags = rustix::fs::IFlags::from_bits_retain(rest | entry.flags);
        if rustix::fs::ioctl_getflags(&file)? != flags {
            rustix::fs::ioctl_setflags(&file, flags)?;
        }
    }
    // One of them says more of compression than the flag does.
    for (name, value) in &entry.xattrs {
        rustix::fs::lsetxattr(path, name.as_slice(), value, XattrFlags::empty())?;
    }
    Ok(())
}

pub(crate) fn make(path: &Path, kind: Kind) -> io::Result<()> {
    let node = |kind, device| {
        let mode = Mode::from_raw_mode(0o644);
        mknodat(CWD, path, kind, mode, device).map_err(io::Error::from)
    };
    match kind {
        Kind::File => create(path, b"made\n"),
        Kind::Dir => {
            fs::create_dir(path)?;
            create(&path.join("inside"), b"made\n")
        }
        Kind::Symlink => symlink("made", path),
        Kind::Fifo => node(rustix::fs::FileType::Fifo, 0),
        Kind::Socket => node(rustix::fs::FileType::Socket, 0),
        Kind::Char(minor) => node(rustix::fs::FileType::CharacterDevice, makedev(1, minor.into())),
        Kind::Block(minor) => node(rustix::fs::FileType::BlockDevice, makedev(7, minor.into())),
    }
}

#[expect(clippy::disallowed_methods, reason = "a tree that this test made")]
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    // Also deletes nested subvolumes: rmdir does, once they are empty.
    let directory = fs::symlink_metadata(path)?.is_dir();
    if directory { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn rename(from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
    if from == to {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(rustix::fs::renameat_with(CWD, from, CWD, to, flags)?)
}

fn link_target(number: u8) -> PathBuf {
    PathBuf::from(os(&[b"../".as_slice(), &names::name(number)].concat()))
}

fn os(bytes: &[u8]) -> std::ffi::OsString {
    std::ffi::OsString::from_vec(bytes.to_vec())
}
