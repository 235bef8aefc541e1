//! Digests of boots of a root that starts empty. No old root stays that could be read later, so each digest is made
//! before the machine goes down, and lies in a storage: `<storage>/.blankroot/<number>-<boot>.digest`.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use backends::TreeId;
use backends::old_root_files::MAX_DIGEST;
use dirfd::error::describe;
use dirfd::fault::change;
use dirfd::path::Escaped;
use dirfd::{Error, Result, TreePath, atomic_file, directory_walker};
use rustix::fs::{AtFlags, unlinkat};

use crate::boot::facts;
use crate::config::Config;
use crate::evidence::ask_old_roots::{AskedRoots, unreadable};
use crate::evidence::digest::Digest;
use crate::host::HostRoot;
use crate::persist::own_directory::{
    failed_to_write, make_own_directory, open_own_directory, remove_unfinished,
    storage_of_own_directory,
};

/// So many boots are remembered.
const BOOTS: usize = 20;
const END: &[u8] = b".digest";
const MODE: u32 = 0o600;

/// The tree of a boot.
pub(crate) fn tree_of_boot(boot: &str) -> TreeId {
    TreeId::new(format!("boot {boot}"))
}

/// What a root that starts empty is compared with.
pub(crate) fn empty_tree() -> TreeId {
    TreeId::new("empty")
}

/// The digests of boots before this one that are asked, the youngest first, each with its name. `root` is the host's.
pub(crate) fn read_boots(
    config: &Config,
    root: &Path,
    asked: &AskedRoots,
) -> Result<Vec<(String, Digest)>> {
    let host = HostRoot::open(root)?;
    // A root that is not of this machine has no boot of its own.
    let boot = facts::boot_id(&host).ok();
    let mut boots = Vec::new();
    read_stored(config, &host, boot.as_deref(), asked, |name, digest| boots.push((name, digest)))?;
    Ok(boots)
}

/// All of them that can be read.
pub(crate) fn read_all_boots(config: &Config, root: &Path) -> Result<Vec<(String, Digest)>> {
    read_boots(config, root, &AskedRoots::last(BOOTS))
}

/// Shows the digests of boots but this one to `see`, the youngest first, each with its name: `000001-1a2b3c4d`. What was
/// cut is passed over, and so is what cannot be believed, unless all must answer.
fn read_stored(
    config: &Config,
    host: &HostRoot,
    boot: Option<&str>,
    asked: &AskedRoots,
    mut see: impl FnMut(String, Digest),
) -> Result<()> {
    let Some(storage) = storage_of_own_directory(config) else { return Ok(()) };
    let action = || format!("read the digests in {storage}");
    let Some(dir) = open_own_directory(host, storage).map_err(|why| Error::io(action(), why))?
    else {
        return Ok(());
    };
    let own = boot.map(tree_of_boot);
    let names = digests_in(&dir).map_err(|why| Error::io(action(), why))?;
    let (mut is_later, mut answered) = (asked.from.is_some(), 0);
    for name in names.iter().rev() {
        if answered == asked.most {
            break;
        }
        let shown = Escaped(name.as_bytes().strip_suffix(END).unwrap_or_default()).to_string();
        let digest = match read_one(&dir, name) {
            Ok(digest) => digest,
            Err(why) if asked.all_must_answer => {
                return Err(unreadable(&format!("the boot {shown}"), why));
            }
            Err(_) => continue,
        };
        let header = digest.header();
        is_later &= asked.begins_later(&header.tree);
        let is_own = own.as_ref() == Some(&header.tree);
        if !is_later && !is_own && header.blank == empty_tree() && header.cut.is_none() {
            answered += 1;
            see(shown, digest);
        }
    }
    Ok(())
}

/// The error says why it cannot be believed, in one line.
fn read_one(dir: &OwnedFd, name: &OsString) -> std::result::Result<Digest, String> {
    let bytes = atomic_file::read_up_to(dir.as_fd(), Path::new(name), MAX_DIGEST)
        .map_err(|why| describe(&why))?;
    Digest::decode(&bytes)
}

/// Puts the digest of a boot into a storage, whole or not at all, and forgets the oldest.
pub(crate) fn store(host: &HostRoot, storage: &TreePath, boot: &str, digest: &[u8]) -> Result<()> {
    let action = || format!("write the digest of this boot into {storage}");
    store_in(host, storage, boot, digest).map_err(|why| failed_to_write(action(), storage, why))
}

fn store_in(host: &HostRoot, storage: &TreePath, boot: &str, digest: &[u8]) -> io::Result<()> {
    let dir = make_own_directory(host, storage)?;
    let names = digests_in(&dir)?;
    let of_this_boot = end_of_name(boot);
    let same = names.iter().find(|name| name.as_bytes().ends_with(&of_this_boot));
    let name = same.cloned().unwrap_or_else(|| {
        let last = names.last().and_then(number_of).unwrap_or(0);
        let of_this_boot = Escaped(&of_this_boot).to_string();
        OsString::from(format!("{:06}{of_this_boot}", last + 1))
    });
    atomic_file::replace(dir.as_fd(), &name, digest, MODE)?;
    forget_oldest(&dir)
}

/// `-1a2b3c4d.digest`: enough of the boot's id, without what no file name should have.
fn end_of_name(boot: &str) -> Vec<u8> {
    let id: String = boot.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    [b"-", id.as_bytes(), END].concat()
}

fn number_of(name: &OsString) -> Option<u64> {
    std::str::from_utf8(name.as_bytes()).ok()?.split('-').next()?.parse().ok()
}

/// The names of the digests, the oldest first.
fn digests_in(dir: &OwnedFd) -> io::Result<Vec<OsString>> {
    let names = directory_walker::list_names(dir.as_fd())?;
    let mut names: Vec<OsString> = names
        .iter()
        .map(|name| std::ffi::OsStr::from_bytes(name.to_bytes()).to_os_string())
        .filter(|name| name.as_bytes().ends_with(END) && number_of(name).is_some())
        .collect();
    names.sort_by_key(number_of);
    Ok(names)
}

/// Removes what is more than is remembered, and what was cut off while it was written.
fn forget_oldest(dir: &OwnedFd) -> io::Result<()> {
    let names = digests_in(dir)?;
    for name in names.iter().take(names.len().saturating_sub(BOOTS)) {
        let unlink = || Ok(unlinkat(dir, name.as_os_str(), AtFlags::empty())?);
        change("stored digests: unlink", unlink)?;
    }
    remove_unfinished(dir.as_fd(), |name| name.as_bytes().ends_with(END))
}

#[cfg(test)]
#[path = "stored_digests_tests.rs"]
mod tests;
