//! Everything about a tree as plain text, by the standard library alone: what the tests believe.

use std::collections::BTreeMap;
use std::collections::hash_map::{DefaultHasher, HashMap};
use std::fmt::Write;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{lgetxattr, llistxattr};

/// A line for each path, the root directory among them. Two trees with the same listing differ in
/// nothing but times.
pub(crate) fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut paths = vec![root.to_owned()];
    collect(root, &mut paths);
    paths.sort();
    let mut first_names: HashMap<(u64, u64), PathBuf> = HashMap::new();
    let mut listing = BTreeMap::new();
    for path in paths {
        let below = path.strip_prefix(root).unwrap().to_owned();
        let found = fs::symlink_metadata(&path).unwrap();
        let mut line = line(&path, &found);
        if !found.is_dir() {
            let first = first_names.entry((found.dev(), found.ino())).or_insert(below.clone());
            write!(line, " same as {:?}", first.as_os_str()).unwrap();
        }
        listing.insert(format!("{:?}", below.as_os_str()), line);
    }
    listing
}

fn collect(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        paths.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), paths);
        }
    }
}

fn line(path: &Path, found: &fs::Metadata) -> String {
    let file_type = found.file_type();
    let content = if file_type.is_file() {
        let mut hasher = DefaultHasher::new();
        fs::read(path).unwrap().hash(&mut hasher);
        format!("{} bytes, hash {:016x}", found.len(), hasher.finish())
    } else if file_type.is_symlink() {
        format!("to {:?}", fs::read_link(path).unwrap())
    } else if file_type.is_block_device() || file_type.is_char_device() {
        format!("device {:x}", found.rdev())
    } else {
        String::new()
    };
    let owner = format!("{}:{}", found.uid(), found.gid());
    let mut line = format!("{:o} {owner} {content}", found.mode());
    for attribute in attributes(path) {
        write!(line, " {attribute}").unwrap();
    }
    line
}

fn attributes(path: &Path) -> Vec<String> {
    let mut names = vec![0; 65536];
    let len = llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut found = Vec::new();
    for name in names[..len].split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65536];
        let len = lgetxattr(path, name, &mut value[..]).unwrap();
        let name = std::ffi::OsStr::from_bytes(name);
        found.push(format!("{}={:?}", name.display(), &value[..len]));
    }
    found.sort();
    found
}
