//! Leftovers: what lies in a storage and no entry declares any more. Found, weighed, never touched.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use dirfd::cause::Cause;
use dirfd::copy::private_directory;
use dirfd::disk_usage::{Found, Scales, Weight};
use dirfd::{Error, Facts, FileType, Result, TreePath, atomic_file};
use rustix::fs::OFlags;
use serde::Serialize;

use crate::config::Config;
use crate::host::HostRoot;
use crate::persist::create;
use crate::persist::own_directory::OWN_DIR;
use crate::ui::json_value::{self, HasWord};

/// What the storages hold beside what is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leftovers {
    /// The storages that are declared, each once, in the order of the file.
    pub(crate) storages: Vec<DeclaredStorage>,
    /// Each topmost path that no entry declares, sorted by path bytes.
    pub(crate) found: Vec<Leftover>,
    /// Where something is mounted inside a storage; what is there was not looked at. Sorted.
    pub(crate) mounted_over: Vec<TreePath>,
}

impl Leftovers {
    /// How many there are, and their bytes.
    pub(crate) fn count_and_bytes(&self) -> (u64, u64) {
        let bytes = self.found.iter().map(|leftover| leftover.weight.bytes);
        (self.found.len() as u64, bytes.fold(0, u64::saturating_add))
    }
}

/// A storage that was looked into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Storage"))]
pub(crate) struct DeclaredStorage {
    /// Where it is on the machine.
    #[serde(serialize_with = "json_value::as_absolute")]
    #[cfg_attr(test, schemars(with = "json_value::Absolute<'_>"))]
    pub(crate) path: TreePath,
    /// The line of the configuration that declares it, from 1.
    pub(crate) line: u32,
    /// Whether it is in force.
    pub(crate) enabled: bool,
    /// Whether it is there.
    pub(crate) there: bool,
}

/// One leftover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// Where it is on the machine.
    pub(crate) path: TreePath,
    /// The storage that it lies in.
    pub(crate) storage: TreePath,
    /// What is known of it.
    pub(crate) why: LeftoverReason,
    /// What it is itself.
    pub(crate) facts: Facts,
    /// It with all that is below.
    pub(crate) weight: Weight,
}

/// Why something in a storage is a leftover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LeftoverReason {
    /// Nothing declares it.
    Undeclared,
    /// What declares it, in this line, is not enabled.
    NotEnabled {
        /// Of the configuration, from 1.
        line: u32,
    },
    /// It had this name until `apply --adopt` or `keep` put other data in its place.
    SetAside {
        /// The name, or the start of a long one.
        of: Vec<u8>,
    },
    /// It is whole and was to get this name from other data, when whoever exchanged the two was cut off.
    Unnamed {
        /// The name, or the start of a long one.
        of: Vec<u8>,
    },
    /// It was to get this name, and whoever wrote it was cut off before it was whole.
    Temporary {
        /// The name, or the start of a long one.
        of: Vec<u8>,
    },
}

impl LeftoverReason {
    /// The word for it in all output.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Undeclared => "undeclared",
            Self::NotEnabled { .. } => "not-enabled",
            Self::SetAside { .. } => "set-aside",
            Self::Unnamed { .. } => "unnamed",
            Self::Temporary { .. } => "temporary",
        }
    }
}

impl HasWord for &LeftoverReason {
    fn word(&self) -> &'static str {
        LeftoverReason::word(self)
    }

    #[cfg(test)]
    fn all_words() -> Vec<&'static str> {
        let of = Vec::new;
        let all = [
            LeftoverReason::Undeclared,
            LeftoverReason::NotEnabled { line: 0 },
            LeftoverReason::SetAside { of: of() },
            LeftoverReason::Unnamed { of: of() },
            LeftoverReason::Temporary { of: of() },
        ];
        all.iter().map(LeftoverReason::word).collect()
    }
}

/// Looks into all storages, below the host's root. `only` narrows to what is at, below or above one
/// of these paths; empty: all. `progress` is told how many names were looked at so far.
pub(crate) fn find_leftovers(
    host: &HostRoot,
    config: &Config,
    only: &[TreePath],
    progress: &dyn Fn(u64),
) -> Result<Leftovers> {
    let claims = collect_claims(config);
    let mut leftovers = Leftovers::default();
    let mut looked_at = 0;
    for storage in &config.storages {
        let path = &storage.path;
        if leftovers.storages.iter().any(|looked| looked.path == *path) {
            continue;
        }
        let opened = open_storage(host, path)?;
        // One that is declared twice is in force if one of the declarations is.
        let enabled = config.storages.iter().any(|other| other.path == *path && other.enable);
        let (line, there) = (storage.place.line, opened.is_some());
        leftovers.storages.push(DeclaredStorage { path: path.clone(), line, enabled, there });
        if let (Some(root), Some(claims)) = (opened, claims.at(path)) {
            let scales = Scales::new(root.as_fd(), path.clone(), looked_at, progress)?;
            let search =
                LeftoverSearch { scales, storage: path, config, only, into: &mut leftovers };
            looked_at = search.run(claims)?;
        }
    }
    leftovers.found.sort_by(|a, b| a.path.cmp(&b.path));
    leftovers.mounted_over.sort();
    Ok(leftovers)
}

/// Opens a storage; `None` if it is not there.
fn open_storage(host: &HostRoot, path: &TreePath) -> Result<Option<OwnedFd>> {
    let action = || format!("look into the storage {path}");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let why = match create::open_beneath(host.as_fd(), path.as_path(), flags) {
        Ok(root) => return Ok(Some(root)),
        Err(why) => why,
    };
    match Cause::of(&why) {
        Cause::NotFound => Ok(None),
        Cause::Link => Err(Error::new(action(), "a symbolic link is on the way to it")
            .hint("write the real path into the configuration, as `realpath` shows it")),
        Cause::NotADirectory => Err(Error::new(action(), "it is no directory")),
        Cause::Denied => Err(Error::io(action(), why).hint("run this as root")),
        _ => Err(Error::io(action(), why)),
    }
}

/// One directory on the way down: names that were not looked at yet, what entries say of them, and
/// the line that declares the directory, if it is not enabled.
struct OpenDirectory<'c> {
    names: std::vec::IntoIter<CString>,
    claims: &'c ClaimNode,
    not_enabled: Option<u32>,
}

struct LeftoverSearch<'a> {
    scales: Scales<'a>,
    storage: &'a TreePath,
    config: &'a Config,
    only: &'a [TreePath],
    into: &'a mut Leftovers,
}

impl LeftoverSearch<'_> {
    /// Goes through the directories that lead to declared data; all beside those are leftovers.
    fn run(mut self, claims: &ClaimNode) -> Result<u64> {
        let mut names = self.scales.names()?;
        names.retain(|name| name.to_bytes() != OWN_DIR.as_bytes());
        let names = names.into_iter();
        let mut levels = vec![OpenDirectory { names, claims, not_enabled: None }];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                levels.pop();
                self.scales.leave();
                continue;
            };
            let (claims, not_enabled) = (level.claims.child(name.to_bytes()), level.not_enabled);
            if let Some((claims, not_enabled)) = self.see(&name, claims, not_enabled)? {
                let names = self.scales.names()?.into_iter();
                levels.push(OpenDirectory { names, claims, not_enabled });
            }
        }
        Ok(self.scales.looked_at())
    }

    /// Looks at one name, and enters it if it leads to declared data.
    fn see<'c>(
        &mut self,
        name: &CString,
        claims: Option<&'c ClaimNode>,
        not_enabled: Option<u32>,
    ) -> Result<Option<(&'c ClaimNode, Option<u32>)>> {
        if claims.is_some_and(ClaimNode::is_taken) {
            return Ok(None);
        }
        let Some(found) = self.scales.look(name)? else { return Ok(None) };
        if found.mounted_over {
            self.into.mounted_over.push(self.scales.path_of(Some(name)));
            return Ok(None);
        }
        let not_enabled = match claims.and_then(|node| node.claim) {
            Some(Claim::NotEnabled { line }) => Some(line),
            _ => not_enabled,
        };
        let is_dir = matches!(found.stat.facts.file_type, FileType::Dir | FileType::Subvolume);
        if let Some(node) = claims.filter(|node| is_dir && node.leads_on()) {
            return Ok(self.scales.enter(name)?.then_some((node, not_enabled)));
        }
        self.add(name, &found, not_enabled)?;
        Ok(None)
    }

    fn add(&mut self, name: &CString, found: &Found, not_enabled: Option<u32>) -> Result<()> {
        let path = self.scales.path_of(Some(name));
        let shown = |only: &TreePath| path.is_within(only) || only.is_within(&path);
        let narrowed = !self.only.is_empty() && !self.only.iter().any(shown);
        if narrowed || self.config.forget.covers(path.as_bytes()).is_some() {
            return Ok(());
        }
        // What an interrupted copy left; the next command that copies removes it.
        if private_directory::is_one(name.to_bytes(), &found.stat.facts) {
            return Ok(());
        }
        let weight = self.scales.weigh(name, found)?;
        // mke2fs(8) makes it, and fsck wants it to stay.
        if name.as_bytes() == b"lost+found" && (weight.files, weight.dirs) == (0, 1) {
            return Ok(());
        }
        let why = match not_enabled {
            Some(line) => LeftoverReason::NotEnabled { line },
            None => parse_own_name(name.to_bytes()).unwrap_or(LeftoverReason::Undeclared),
        };
        let (storage, facts) = (self.storage.clone(), found.stat.facts);
        self.into.found.push(Leftover { path, storage, why, facts, weight });
        Ok(())
    }
}

/// What an entry says of a path in storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// It is kept.
    Kept,
    /// It would be, but the entry or its storage is not enabled.
    NotEnabled {
        /// The line of the entry.
        line: u32,
    },
}

/// A path in the tree of all that is declared, which the search follows.
#[derive(Debug, Default)]
struct ClaimNode {
    children: BTreeMap<Vec<u8>, ClaimNode>,
    /// What an entry says of it.
    claim: Option<Claim>,
    /// A storage of its own.
    is_storage: bool,
    /// Something below is kept, or a storage of its own.
    leads_to_kept: bool,
}

/// Collects all declarations, from the machine's root on: data of one storage may lie in another.
fn collect_claims(config: &Config) -> ClaimNode {
    let mut root = ClaimNode::default();
    for storage in &config.storages {
        root.make(&storage.path, true).is_storage = true;
        for entry in storage.all_entries() {
            let at = entry.storage.as_ref().map_or(&storage.path, |(path, _)| path);
            let source = [at.as_bytes(), b"/", entry.data.as_bytes()].concat();
            // Both halves are clean paths, so that the whole is one.
            let source = TreePath::parse(&source).unwrap_or_default();
            let kept = storage.enable && entry.enable;
            let node = root.make(&source, kept);
            match kept {
                true => node.claim = Some(Claim::Kept),
                // Another entry may keep the same data.
                false => {
                    node.claim.get_or_insert(Claim::NotEnabled { line: entry.place.line });
                }
            }
        }
    }
    root
}

impl ClaimNode {
    /// What is declared of this path.
    fn at(&self, path: &TreePath) -> Option<&Self> {
        path.as_bytes().split(|&b| b == b'/').try_fold(self, |node, name| node.child(name))
    }

    /// What is declared of this name in it.
    fn child(&self, name: &[u8]) -> Option<&Self> {
        self.children.get(name)
    }

    /// Whether all that is there has its place: kept data, or a storage that is looked into by
    /// itself.
    fn is_taken(&self) -> bool {
        self.is_storage || self.claim == Some(Claim::Kept)
    }

    /// Whether declared data may lie below that is not to be counted together with this.
    fn leads_on(&self) -> bool {
        self.leads_to_kept || (self.claim.is_none() && !self.children.is_empty())
    }

    fn make(&mut self, path: &TreePath, kept: bool) -> &mut Self {
        let mut node = self;
        for name in path.as_bytes().split(|&b| b == b'/') {
            node.leads_to_kept |= kept;
            node = node.children.entry(name.to_vec()).or_default();
        }
        node
    }
}

impl Drop for ClaimNode {
    /// A path has up to two thousand names, and dropping must not recurse that deep.
    fn drop(&mut self) {
        let mut rest: Vec<Self> = std::mem::take(&mut self.children).into_values().collect();
        while let Some(mut node) = rest.pop() {
            rest.extend(std::mem::take(&mut node.children).into_values());
        }
    }
}

/// What stands between a name and a number where other data took its place; see
/// [`before_name`](crate::persist::create::before_name).
const BEFORE: &[u8] = b".before-";

/// What a name says that Blankroot gave; `None` for any other.
fn parse_own_name(name: &[u8]) -> Option<LeftoverReason> {
    if let Some(stem) = atomic_file::stem(OsStr::from_bytes(name)) {
        return Some(LeftoverReason::Temporary { of: stem.as_bytes().to_vec() });
    }
    if let Some(stem) = atomic_file::stem_of_unnamed(OsStr::from_bytes(name)) {
        return Some(LeftoverReason::Unnamed { of: stem.as_bytes().to_vec() });
    }
    let rest = name.strip_prefix(b".")?;
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let of = rest[..rest.len() - digits].strip_suffix(BEFORE)?;
    (digits > 0 && !of.is_empty()).then(|| LeftoverReason::SetAside { of: of.to_vec() })
}

#[cfg(test)]
#[path = "leftovers_tests.rs"]
mod tests;
