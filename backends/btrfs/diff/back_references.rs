//! The back references of everything in a tree that was written: the ways to it from the tree's root.

use std::collections::HashSet;
use std::io;

use crate::btrfs::top_level::ROOT_INODE;
use crate::btrfs::tree_items::{NameRef, inode_extrefs, inode_refs, kind};
use crate::btrfs::tree_queries::Searcher;
use crate::sys::tree_search::Item;

/// A name of an inode.
#[derive(Clone, Copy, Debug)]
struct BackReference {
    parent: u64,
    child: u64,
    start: u64,
    len: u8,
}

/// Names of inodes by their directories: those of touched inodes, and of every directory on the way
/// to them. What lies in a new directory is among that directory's entries instead.
#[derive(Debug, Default)]
pub struct BackReferences {
    names: Vec<u8>,
    /// Sorted by directory and name once it is complete.
    back_references: Vec<BackReference>,
}

impl BackReferences {
    pub(crate) fn push(&mut self, child: u64, name: NameRef<'_>) {
        let start = self.names.len() as u64;
        self.names.extend_from_slice(name.name);
        let len = name.name.len().min(255) as u8;
        self.back_references.push(BackReference { parent: name.parent, child, start, len });
    }

    /// Adds the names in an item of an inode, but for those in directories that `left_out` names,
    /// and says how many there are with those.
    pub fn push_item(&mut self, item: Item<'_>, left_out: impl Fn(u64) -> bool) -> u32 {
        let mut count = 0;
        each_name(item, |name| {
            count += 1;
            // The root has the name `..` in itself, which leads nowhere.
            if item.key.objectid != ROOT_INODE && !left_out(name.parent) {
                self.push(item.key.objectid, name);
            }
        });
        count
    }

    pub(crate) fn append(&mut self, other: &Self) {
        let base = self.names.len() as u64;
        self.names.extend_from_slice(&other.names);
        self.back_references.extend(
            other.back_references.iter().map(|l| BackReference { start: l.start + base, ..*l }),
        );
    }

    /// Forgets all but the names that `keep`, given a directory and what it leads to, wants.
    pub fn retain(&mut self, keep: impl Fn(u64, u64) -> bool) {
        self.back_references.retain(|reference| keep(reference.parent, reference.child));
    }

    /// Adds the directories on the way from the root to every name, and sorts. Those that are
    /// `known_already` have their own names among those given.
    pub fn complete(
        &mut self,
        known_already: impl Fn(u64) -> bool,
        search: &mut Searcher<'_>,
    ) -> io::Result<()> {
        let mut reached = HashSet::from([ROOT_INODE]);
        let mut at = 0;
        while let Some(reference) = self.back_references.get(at).copied() {
            at += 1;
            if !known_already(reference.parent) && reached.insert(reference.parent) {
                search.each_of(reference.parent, kind::INODE_REF, |item| {
                    self.push_item(item, |_| false);
                })?;
            }
        }
        self.sort();
        Ok(())
    }

    /// Puts the names in their order; what comes after finds them.
    pub fn sort(&mut self) {
        let names = std::mem::take(&mut self.names);
        let key = |reference: &BackReference| (reference.parent, name_in(&names, reference));
        self.back_references.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        self.back_references.dedup_by(|a, b| key(a) == key(b));
        self.names = names;
    }

    /// The names in directory `parent` that lead on, sorted, each with its inode.
    pub fn of(&self, parent: u64) -> impl Iterator<Item = (&[u8], u64)> {
        let start = self.back_references.partition_point(|reference| reference.parent < parent);
        self.back_references[start..]
            .iter()
            .take_while(move |reference| reference.parent == parent)
            .map(|reference| (name_in(&self.names, reference), reference.child))
    }

    pub(crate) fn has(&self, parent: u64) -> bool {
        self.back_references.binary_search_by_key(&parent, |reference| reference.parent).is_ok()
    }
}

fn name_in<'a>(names: &'a [u8], reference: &BackReference) -> &'a [u8] {
    let start = reference.start as usize;
    names.get(start..start + usize::from(reference.len)).unwrap_or_default()
}

fn each_name(item: Item<'_>, mut each: impl FnMut(NameRef<'_>)) {
    match item.key.kind {
        kind::INODE_REF => inode_refs(item.key.offset, item.data).for_each(&mut each),
        kind::INODE_EXTREF => inode_extrefs(item.data).for_each(&mut each),
        _ => {}
    }
}
