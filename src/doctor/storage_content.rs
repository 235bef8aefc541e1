//! A bounded look through a storage, its top first: whose files these are, and which secrets are
//! open to everybody.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CString, OsString};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use dirfd::cause::Cause;
use dirfd::stat::{Place, Stat, is_gone};
use dirfd::{FileType, TreePath, xattrs};

use crate::doctor::entries::Mounts;
use crate::doctor::login_sources::{self, is_private_key};
use crate::doctor::machine_facts::{Content, Unchecked};
use crate::doctor::next_tree;
use crate::persist::list::KeepEntry;

/// How much of a storage is looked at, and for what.
pub(crate) struct Survey<'a> {
    /// The machine's root.
    pub(crate) root: BorrowedFd<'a>,
    pub(crate) mounts: &'a Mounts,
    pub(crate) storage: &'a TreePath,
    /// The entries of this storage.
    pub(crate) entries: Vec<&'a KeepEntry>,
    /// At most so many names.
    pub(crate) limit: usize,
}

/// Open secrets that are told, and files with too many attributes; more of them say no more.
const TOLD: usize = 20;
/// Files whose first bytes are read.
const HEADS: usize = 20_000;
/// The sizes of files that may hold a key.
const KEY_SIZES: std::ops::RangeInclusive<u64> = 40..=65_536;

/// A directory that waits for its turn.
struct Waiting {
    path: TreePath,
    /// Everybody can come here.
    open: bool,
    /// It is in a place for secrets, which is this.
    secret: Option<&'static str>,
}

impl Survey<'_> {
    pub(crate) fn run(&self, unchecked: &mut Vec<Unchecked>) -> Content {
        let mut content = Content::default();
        let mut heads = 0;
        let mut failed = Vec::new();
        let root = Waiting { path: self.storage.clone(), open: true, secret: None };
        let mut waiting = VecDeque::from([root]);
        while let Some(dir) = waiting.pop_front() {
            match self.list(&dir, &mut content, &mut heads) {
                Ok(below) => waiting.extend(below),
                Err(error) if is_gone(&error) || is_mount(&error) => {}
                Err(error) => failed.push((dir.path, error)),
            }
            if content.seen >= self.limit {
                content.cut |= !waiting.is_empty();
                break;
            }
        }
        if let Some((path, error)) = failed.first() {
            let others = match failed.len() - 1 {
                0 => String::new(),
                more => format!(" and in {more} other directories"),
            };
            let why = dirfd::error::describe(error);
            unchecked.push(Unchecked::new(format!("what is in {path}{others}"), &why));
        }
        content
    }

    /// Looks at what is in a directory, and returns the directories in it.
    fn list(
        &self,
        dir: &Waiting,
        content: &mut Content,
        heads: &mut usize,
    ) -> io::Result<Vec<Waiting>> {
        // The storage itself is usually a mount; what is mounted in it is not its content.
        let opened = match dir.path == *self.storage {
            true => next_tree::open_beneath(self.root, &dir.path)?,
            false => self.open_below(&dir.path)?,
        };
        let this = Place { dir: opened.as_fd(), name: c"." }.stat()?;
        let open = dir.open && this.facts.mode & 0o001 != 0;
        let mut below = Vec::new();
        let names = next_tree::list_names(opened.as_fd(), self.limit)?;
        content.cut |= names.len() == self.limit;
        for name in names {
            let path = dir.path.join(name.as_bytes());
            let c_name = CString::new(name.as_bytes())?;
            let place = Place { dir: opened.as_fd(), name: &c_name };
            let stat = match place.stat() {
                Ok(stat) => stat,
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error),
            };
            if stat.mount != this.mount {
                continue;
            }
            content.seen += 1;
            count_owner(content, &stat, &path);
            if content.unlisted.len() < TOLD && xattrs::has_too_many(place) {
                content.unlisted.push(path.clone());
            }
            let here = self.at(Waiting { path, open, secret: dir.secret });
            match stat.facts.file_type {
                FileType::Dir => below.push(here),
                FileType::File => is_open_secret(place, &stat, &name, here, content, heads)?,
                _ => {}
            }
        }
        Ok(below)
    }

    fn open_below(&self, path: &TreePath) -> io::Result<std::os::fd::OwnedFd> {
        let storage = next_tree::open_beneath(self.root, self.storage)?;
        let below = path.below(self.storage).unwrap_or_default();
        next_tree::open_dir(storage.as_fd(), &below)
    }

    /// An entry's data is reached through live, too.
    fn at(&self, mut here: Waiting) -> Waiting {
        let Some(entry) = self.entries.iter().find(|entry| entry.source() == here.path) else {
            return here;
        };
        here.open |= self.is_open_in_live(&entry.path);
        let known = entry.known;
        here.secret = here
            .secret
            .or(known.filter(|known| known.is_secret()).map(|known| known.what.as_ref()));
        here
    }

    fn is_open_in_live(&self, path: &TreePath) -> bool {
        (1..path.depth()).all(|components| {
            let parent = next_tree::leading_components(path, components);
            let seen = self.mounts.refuse_users_own(&parent);
            match seen.and_then(|()| next_tree::look_up_in_tree(self.root, &parent)) {
                Ok(next_tree::Look::Seen(seen)) => seen.node.mode & 0o001 != 0,
                _ => false,
            }
        })
    }
}

fn is_mount(error: &io::Error) -> bool {
    Cause::of(error) == Cause::OtherFileSystem
}

fn count_owner(content: &mut Content, stat: &Stat, path: &TreePath) {
    let count = |owners: &mut BTreeMap<u32, (usize, TreePath)>, id| {
        owners.entry(id).or_insert_with(|| (0, path.clone())).0 += 1;
    };
    count(&mut content.users, stat.facts.uid);
    count(&mut content.groups, stat.facts.gid);
}

/// Whether a regular file is a secret that everybody can read.
fn is_open_secret(
    place: Place<'_>,
    stat: &Stat,
    name: &OsString,
    here: Waiting,
    content: &mut Content,
    heads: &mut usize,
) -> io::Result<()> {
    let readable = here.open && stat.facts.mode & 0o004 != 0 && stat.facts.size > 0;
    if !readable || content.open_secrets.len() >= TOLD {
        return Ok(());
    }
    if let Some(what) = here.secret.filter(|_| !is_public(name.as_bytes())) {
        content.open_secrets.push((here.path, what.to_string()));
        return Ok(());
    }
    if KEY_SIZES.contains(&stat.facts.size) && *heads < HEADS {
        *heads += 1;
        if is_private_key(&read_head(place)?) {
            content.open_secrets.push((here.path, "a private key".to_string()));
        }
    }
    Ok(())
}

/// What lies beside secrets and is none.
pub(crate) fn is_public(name: &[u8]) -> bool {
    let public: [&[u8]; 5] =
        [b"known_hosts", b"known_hosts.old", b"authorized_keys", b"authorized_keys2", b"config"];
    name.ends_with(b".pub") || public.contains(&name)
}

/// The first bytes of a file; none if it is gone by now.
pub(crate) fn read_head(place: Place<'_>) -> io::Result<Vec<u8>> {
    let file = match place.open_file() {
        Ok(file) => file,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut head = Vec::new();
    file.take(login_sources::HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}
