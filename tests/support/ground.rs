//! What histories are played on: a file system that copies whole trees.

use std::path::{Path, PathBuf};

use crate::apply;
use crate::base;
use crate::kernel::{create_subvolume, delete_subvolume, snapshot};
use crate::sandbox::Sandbox;

/// Trees by name, each a directory of its name below one that shows them all.
pub trait Ground {
    /// Where the trees are.
    fn top(&self) -> &Path;
    /// Unmounts and mounts again: everything is on the disk, and the kernel has forgotten it.
    fn remount(&mut self);
    /// Makes an empty tree.
    fn create(&mut self, name: &str);
    /// Makes a tree that is a copy of another one.
    fn copy(&mut self, from: &str, to: &str, read_only: bool);
    /// Deletes a tree, if there is one of this name.
    fn delete(&mut self, name: &str);
    /// Puts into a tree another one that is no part of it, where trees can be in each other.
    fn nest(&mut self, _name: &str) {}
}

impl Ground for Sandbox {
    fn top(&self) -> &Path {
        self.top()
    }

    fn remount(&mut self) {
        self.remount();
    }

    fn create(&mut self, name: &str) {
        create_subvolume(&self.top().join(name)).unwrap();
    }

    fn copy(&mut self, from: &str, to: &str, read_only: bool) {
        snapshot(&self.top().join(from), &self.top().join(to), read_only).unwrap();
    }

    fn delete(&mut self, name: &str) {
        delete_tree(&self.top().join(name));
    }

    fn nest(&mut self, name: &str) {
        base::nest(&self.top().join(name));
    }
}

/// Deletes a subvolume and those in it.
fn delete_tree(root: &Path) {
    if !root.exists() {
        return;
    }
    if delete_subvolume(root).is_ok() {
        return;
    }
    let mut dirs = Vec::new();
    subvolumes(root, &mut dirs);
    dirs.iter().for_each(|dir| delete_subvolume(dir).unwrap());
    delete_subvolume(root).unwrap();
}

/// The nested subvolumes below `dir`, innermost first.
fn subvolumes(dir: &Path, found: &mut Vec<PathBuf>) {
    for path in apply::directories(dir) {
        subvolumes(&path, found);
        if apply::inode(&path) == 256 {
            found.push(path);
        }
    }
}
