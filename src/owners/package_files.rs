//! The lists of files of all packages as one index from path to package.
//!
//! The index holds a fingerprint of 64 bits instead of each path: 50,000 lines of 300 packages are read without
//! one allocation for each, and nobody has to say beforehand which paths will be asked for. The key of the
//! fingerprints is random, so that no list can be made to collide; that two of a million paths do by chance has
//! odds of one to 30 million.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// The number of a package in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId(u32);

/// A package that a database names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name, without architecture.
    pub name: String,
    /// Its version, where the database tells it; one for each architecture that has the package.
    pub versions: Vec<String>,
    /// It is installed: not only its configuration was left.
    pub is_installed: bool,
}

/// Whose lists have a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// One package's.
    ByOne(PackageId),
    /// Several packages'; this is the first that was read.
    ByMany(PackageId),
}

/// Set in a package's number where others list the path, too.
const MANY: u32 = 1 << 31;

/// All packages, and the paths that they list.
#[derive(Debug, Default)]
pub struct PackageFiles {
    key: RandomState,
    owners: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
    packages: Vec<Package>,
    by_name: HashMap<String, PackageId>,
}

impl PackageFiles {
    /// The number of the package of this name, which is added if it is new.
    pub fn package(&mut self, name: &[u8]) -> PackageId {
        let name = String::from_utf8_lossy(name);
        if let Some(&id) = self.by_name.get(name.as_ref()) {
            return id;
        }
        // More packages than this no database has; all that come after count as one.
        let id = PackageId((self.packages.len() as u32).min(MANY - 1));
        let name = name.into_owned();
        self.by_name.insert(name.clone(), id);
        self.packages.push(Package { name, versions: Vec::new(), is_installed: false });
        id
    }

    /// Notes that a package is installed in this version.
    pub fn set_installed(&mut self, id: PackageId, version: &[u8]) {
        if let Some(package) = self.packages.get_mut(id.0 as usize) {
            package.is_installed = true;
            let version = String::from_utf8_lossy(version).into_owned();
            if !package.versions.contains(&version) {
                package.versions.push(version);
                package.versions.sort();
            }
        }
    }

    /// Notes that a package lists a path, without a leading slash.
    pub fn add(&mut self, path: &[u8], id: PackageId) {
        match self.owners.entry(self.key.hash_one(path)) {
            Entry::Vacant(entry) => {
                entry.insert(id.0);
            }
            Entry::Occupied(mut entry) => {
                if entry.get() & !MANY != id.0 {
                    *entry.get_mut() |= MANY;
                }
            }
        }
    }

    /// Whose lists have this path.
    pub fn listed(&self, path: &[u8]) -> Option<Listed> {
        let &found = self.owners.get(&self.key.hash_one(path))?;
        let id = PackageId(found & !MANY);
        Some(if found & MANY == 0 { Listed::ByOne(id) } else { Listed::ByMany(id) })
    }

    /// The package whose list alone has this path.
    pub fn only_owner(&self, path: &[u8]) -> Option<PackageId> {
        match self.listed(path)? {
            Listed::ByOne(id) => Some(id),
            Listed::ByMany(_) => None,
        }
    }

    /// The number of the package of this name, if there is one.
    pub fn find(&self, name: &[u8]) -> Option<PackageId> {
        self.by_name.get(std::str::from_utf8(name).ok()?).copied()
    }

    /// The name of a package.
    pub fn name(&self, id: PackageId) -> &str {
        self.packages.get(id.0 as usize).map_or("", |package| &package.name)
    }

    /// All packages with their numbers.
    pub fn packages(&self) -> impl Iterator<Item = (PackageId, &Package)> {
        self.packages.iter().enumerate().map(|(at, package)| (PackageId(at as u32), package))
    }

    /// How many paths the lists have.
    pub fn path_count(&self) -> usize {
        self.owners.len()
    }
}

/// A hasher for keys that are hashes already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_owner_or_many() {
        let mut files = PackageFiles::default();
        let (a, b) = (files.package(b"a"), files.package(b"b"));
        assert_eq!(files.package(b"a"), a);
        files.add(b"usr/bin/a", a);
        files.add(b"usr/bin", a);
        files.add(b"usr/bin", a);
        assert_eq!(files.listed(b"usr/bin"), Some(Listed::ByOne(a)));
        files.add(b"usr/bin", b);
        files.add(b"usr/bin", a);
        assert_eq!(files.listed(b"usr/bin"), Some(Listed::ByMany(a)));
        assert_eq!(files.only_owner(b"usr/bin/a"), Some(a));
        assert_eq!((files.only_owner(b"usr/bin"), files.listed(b"usr")), (None, None));
        assert_eq!((files.name(b), files.find(b"b"), files.find(b"c")), ("b", Some(b), None));
    }

    #[test]
    fn a_package_of_two_architectures_is_one_with_its_versions() {
        let mut files = PackageFiles::default();
        let id = files.package(b"libc6");
        for version in [&b"2"[..], b"1", b"2"] {
            files.set_installed(id, version);
        }
        let (_, package) = files.packages().next().unwrap();
        assert_eq!(
            (&package.versions[..], package.is_installed),
            (&["1".into(), "2".into()][..], true)
        );
    }
}
