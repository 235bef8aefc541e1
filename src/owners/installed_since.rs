//! Which packages came, went or changed between two trees, so that what they brought can be one group each.

use std::collections::BTreeMap;

use super::join::Owners;
use super::owner::Owner;
use super::{dpkg, pacman, rpm};

/// What happened to a package between blank and live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackageChange {
    /// Live has it and blank has not.
    Installed,
    /// Blank has it and live has not.
    Removed,
    /// Both have it, in different versions.
    Updated,
}

impl PackageChange {
    /// The word for it in all output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Removed => "removed",
            Self::Updated => "updated",
        }
    }
}

/// The packages that are not the same in both trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstalledSince {
    changes: BTreeMap<String, PackageChange>,
}

impl InstalledSince {
    /// What happened to the package that this is, if anything. Ask live's owners of what was added or modified,
    /// and blank's of what was removed: then every path that a package brought leads to its group.
    pub fn change_of(&self, owner: &Owner) -> Option<PackageChange> {
        match owner {
            Owner::Package(name) => self.changes.get(name).copied(),
            Owner::Unit(_) | Owner::User(_) => None,
        }
    }

    /// The names of the packages to which this happened, sorted.
    pub fn names(&self, change: PackageChange) -> impl Iterator<Item = &str> {
        self.changes
            .iter()
            .filter(move |(_, other)| **other == change)
            .map(|(name, _)| name.as_str())
    }
}

/// Whether a path belongs to a package database. Where nothing did change there, no package came, went or changed.
pub fn is_in_package_database(path: &[u8]) -> bool {
    let [first_rpm, second_rpm] = rpm::DATABASES;
    let databases = [dpkg::DIRECTORY, pacman::DIRECTORY, first_rpm, second_rpm];
    databases.iter().any(|database| path.starts_with(database.as_bytes()))
}

/// Compares the package databases of two trees. Only packages that are installed count: of one that was removed,
/// the configuration may be left.
pub fn installed_since(blank: &Owners, live: &Owners) -> InstalledSince {
    let installed = |owners: &Owners| -> BTreeMap<String, Vec<String>> {
        let packages = owners.packages().packages().filter(|(_, package)| package.is_installed);
        packages.map(|(_, package)| (package.name.clone(), package.versions.clone())).collect()
    };
    let (before, now) = (installed(blank), installed(live));
    let mut changes = BTreeMap::new();
    for (name, versions) in &now {
        match before.get(name) {
            None => changes.insert(name.clone(), PackageChange::Installed),
            Some(old) if old != versions => changes.insert(name.clone(), PackageChange::Updated),
            Some(_) => None,
        };
    }
    for name in before.into_keys().filter(|name| !now.contains_key(name)) {
        changes.insert(name, PackageChange::Removed);
    }
    InstalledSince { changes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_database_belong_to_it() {
        for path in [
            "var/lib/dpkg/status",
            "var/lib/dpkg/info/a.list",
            "var/lib/pacman/local/a-1-1/desc",
            "usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
            "var/lib/rpm/rpmdb.sqlite",
        ] {
            assert!(is_in_package_database(path.as_bytes()), "{path}");
        }
        assert!(!is_in_package_database(b"var/lib/postgresql"));
    }
}
