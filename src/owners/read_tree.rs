//! Reads all that tells of owners in a tree: the one file here that opens anything.
//!
//! Everything lies below one open root directory, no link leads out of it, and every file has a bound. What is not
//! there tells nothing; what cannot be read is a warning, and the rest is read nevertheless.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use dirfd::TreePath;
use dirfd::atomic_file::{MAX_OWN, MAX_SYSTEM, read_open};
use dirfd::directory_walker::{Entry, list_entries};
use dirfd::error::describe;
use dirfd::path::Escaped;
use dirfd::stat::{Place, is_gone};

use super::claims::Claimant;
use super::dpkg::{self, Diversions};
use super::join::{Owners, is_home_of_person, is_shared};
use super::maintainer_scripts::named_paths;
use super::owner::How;
use super::package_files::PackageId;
use super::pacman;
use super::rpm::{self, Header};
use super::rpm_database;
use super::systemd_words::directory_specifier;
use super::tmpfiles::{TMPFILES_DIRECTORIES, made_paths};
use super::unit_directories::{UNIT_DIRECTORIES, UnitSettings, has_processes};
use super::usr_merge::Aliases;
use crate::host::{HostRoot, is_not_found};
use crate::persist::accounts::Accounts;

/// Whose the lines of a tmpfiles.d are that no package brought.
const TMPFILES_UNIT: &str = "systemd-tmpfiles-setup.service";

impl Owners {
    /// Reads the package databases, units, tmpfiles.d and accounts of the tree whose root directory this is.
    pub fn read(tree: BorrowedFd<'_>) -> Self {
        let mut owners = Self::default();
        let host = match HostRoot::of_open(tree) {
            Ok(host) => host,
            Err(error) => {
                let why = format!("cannot open the root directory again: {}", describe(&error));
                owners.warnings.push(why);
                return owners;
            }
        };
        let mut reading = Reading { host, owners };
        reading.read_links();
        // Lists come first: units and tmpfiles.d belong to whoever lists them.
        reading.read_dpkg();
        reading.read_rpm();
        reading.read_pacman();
        reading.read_units();
        reading.read_tmpfiles();
        reading.read_accounts();
        reading.owners.collect_names();
        reading.owners
    }
}

struct Reading {
    host: HostRoot,
    owners: Owners,
}

/// An open directory and what it has.
struct Listing<'p> {
    path: &'p str,
    fd: OwnedFd,
    entries: Vec<Entry>,
}

impl Listing<'_> {
    fn place<'a>(&'a self, name: &'a CStr) -> Place<'a> {
        Place { dir: self.fd.as_fd(), name }
    }

    fn path_of(&self, name: &CStr) -> Vec<u8> {
        [self.path.as_bytes(), b"/", name.to_bytes()].concat()
    }
}

impl Reading {
    fn warn(&mut self, path: &[u8], error: &io::Error) {
        self.owners.warnings.push(format!("cannot read /{}: {}", Escaped(path), describe(error)));
    }

    /// What was read; `None` if it is not there, or could not be read, of which there is a warning then.
    fn found<T>(&mut self, path: &[u8], read: io::Result<T>) -> Option<T> {
        match read {
            Ok(found) => Some(found),
            Err(error) if is_not_found(&error) => None,
            Err(error) => {
                self.warn(path, &error);
                None
            }
        }
    }

    fn file(&mut self, path: &str) -> Option<Vec<u8>> {
        let read = self.host.read(path);
        self.found(path.as_bytes(), read)
    }

    fn dir<'p>(&mut self, path: &'p str) -> Option<Listing<'p>> {
        let listed = self.host.dir(path).and_then(|fd| {
            let entries = list_entries(fd.as_fd())?;
            Ok(Listing { path, fd, entries })
        });
        self.found(path.as_bytes(), listed)
    }

    /// The content of a plain file in a directory.
    fn plain_file(&mut self, dir: &Listing<'_>, name: &CStr, max: u64) -> Option<Vec<u8>> {
        let read = dir.place(name).open_file().and_then(|file| read_open(file, max));
        let read = read.map_err(|error| match is_gone(&error) && !is_not_found(&error) {
            true => io::Error::other("it is not a plain file"),
            false => error,
        });
        self.found(&dir.path_of(name), read)
    }

    /// The same, also through a link that gives a file its own name: so NixOS has its units.
    fn file_or_same_name(&mut self, dir: &Listing<'_>, name: &CStr) -> Option<Vec<u8>> {
        let target = dir.place(name).link_target();
        let Some(target) = self.found(&dir.path_of(name), target).flatten() else {
            return self.plain_file(dir, name, MAX_OWN);
        };
        let has_same_name = target.rsplit(|&b| b == b'/').next() == Some(name.to_bytes());
        let path = dir.path_of(name);
        has_same_name.then(|| self.file(std::str::from_utf8(&path).ok()?))?
    }

    fn read_links(&mut self) {
        let root = self.host.as_fd();
        let link = |path: &[u8]| -> Option<Vec<u8>> {
            // The links that are asked for lie at most two directories deep, and are all the tree's own.
            let found = rustix::fs::readlinkat(root, path, Vec::new()).ok()?;
            Some(found.into_bytes())
        };
        self.owners.aliases = Aliases::of(link);
        self.owners.nixos_etc = link(b"etc/static");
        let Some(dir) = self.dir("etc/alternatives") else { return };
        for entry in &dir.entries {
            let target = dir.place(&entry.name).link_target();
            if let Some(Some(target)) = self.found(&dir.path_of(&entry.name), target) {
                self.owners.alternatives.insert(entry.name.to_bytes().to_vec(), target);
            }
        }
    }

    fn read_dpkg(&mut self) {
        let Some(dir) = self.dir("var/lib/dpkg/info") else { return };
        let diversions = self.file("var/lib/dpkg/diversions").unwrap_or_default();
        let diversions = Diversions::parse(&diversions);
        for entry in &dir.entries {
            let Some((name, kind)) = dpkg::package_of_record(entry.name.to_bytes()) else {
                continue;
            };
            let (is_list, is_script) = (kind == b"list", dpkg::SCRIPTS.contains(&kind));
            if !is_list && !is_script {
                continue;
            }
            let max = if is_list { MAX_SYSTEM } else { MAX_OWN };
            let Some(text) = self.plain_file(&dir, &entry.name, max) else { continue };
            let id = self.owners.files.package(name);
            if is_list {
                for path in dpkg::listed_paths(&text) {
                    let path = self.owners.aliases.canonical(diversions.real_path(path, name));
                    self.owners.files.add(&path, id);
                }
            } else {
                self.add_script(id, &text);
            }
        }
        let status = self.file("var/lib/dpkg/status").unwrap_or_default();
        for package in dpkg::installed_packages(&status) {
            let id = self.owners.files.package(package.name);
            self.owners.files.set_installed(id, package.version);
        }
        let registry = self.file("var/lib/ucf/registry").unwrap_or_default();
        for (package, path) in dpkg::ucf_files(&registry) {
            let id = self.owners.files.package(package);
            self.claim(path, Claimant::Package(id), How::Ucf);
        }
    }

    fn read_rpm(&mut self) {
        for database in rpm::DATABASES {
            let (owners, mut odd) = (&mut self.owners, None);
            let read = rpm_database::for_each_header(&self.host, database, |blob| {
                match Header::parse(blob) {
                    Ok(header) => add_rpm_package(owners, &header),
                    Err(why) => odd = Some(why),
                }
            });
            if let Some(why) = odd {
                self.warn(database.as_bytes(), &io::Error::other(format!("in a header: {why}")));
            }
            match self.found(database.as_bytes(), read) {
                // The other place is a link to the first one, or was left by a version before.
                Some(true) => return,
                Some(false) => {}
                None => return,
            }
        }
        for other in rpm::OTHER_DATABASES {
            if self.host.has(other).unwrap_or(false) {
                let why = "it is in a format other than SQLite, which is not read";
                self.warn(other.as_bytes(), &io::Error::other(why));
            }
        }
    }

    fn read_pacman(&mut self) {
        let Some(dir) = self.dir(pacman::DIRECTORY) else { return };
        for entry in &dir.entries {
            let Some((name, version)) = pacman::package_of_directory(entry.name.to_bytes()) else {
                continue;
            };
            let Ok(entry_name) = entry.name.to_str() else { continue };
            let path = format!("{}/{entry_name}", pacman::DIRECTORY);
            let Some(package) = self.dir(&path) else { continue };
            let id = self.owners.files.package(name);
            self.owners.files.set_installed(id, version);
            if let Some(files) = self.plain_file(&package, c"files", MAX_SYSTEM) {
                for path in pacman::listed_paths(&files) {
                    self.owners.files.add(&self.owners.aliases.canonical(path), id);
                }
            }
            if let Some(script) = self.plain_file(&package, c"install", MAX_OWN) {
                self.add_script(id, &script);
            }
        }
    }

    fn add_script(&mut self, id: PackageId, script: &[u8]) {
        add_script(&mut self.owners, id, script);
    }

    fn read_units(&mut self) {
        let mut settings: BTreeMap<Vec<u8>, UnitSettings> = BTreeMap::new();
        // By unit and file name; of two of one name the first counts.
        let mut drop_ins: BTreeMap<(Vec<u8>, CString), Vec<u8>> = BTreeMap::new();
        let mut seen: HashSet<CString> = HashSet::new();
        for path in UNIT_DIRECTORIES {
            if *self.owners.aliases.canonical(path.as_bytes()) != *path.as_bytes() {
                continue;
            }
            let Some(dir) = self.dir(path) else { continue };
            for entry in &dir.entries {
                let name = entry.name.to_bytes();
                if let Some(unit) = name.strip_suffix(b".d")
                    && has_processes(unit)
                {
                    self.read_drop_ins(&dir, &entry.name, unit, &mut drop_ins);
                } else if !is_unit_name(name) || !seen.insert(entry.name.clone()) {
                    continue;
                }
                let is_alias = self.read_unit_alias(&dir, &entry.name);
                if !has_processes(name) {
                    self.add_unit(name);
                } else if let Some(text) = self.file_or_same_name(&dir, &entry.name) {
                    self.add_unit(name);
                    settings.entry(name.to_vec()).or_default().read(&text);
                } else if !is_alias {
                    // What masks a unit is that unit's, too, and hides the file of its name that says what it does.
                    self.add_unit(name);
                }
            }
        }
        for ((unit, _), text) in drop_ins {
            settings.entry(unit).or_default().read(&text);
        }
        for (unit, settings) in settings {
            let Some(number) = self.add_unit(&unit) else { continue };
            for found in settings.paths(&unit) {
                self.claim(&found.path, Claimant::Unit(number), found.how);
            }
        }
    }

    /// Notes which unit a link of another name leads to; `false` if it is no such link.
    fn read_unit_alias(&mut self, dir: &Listing<'_>, name: &CStr) -> bool {
        let read = dir.place(name).link_target();
        let Some(target) = self.found(&dir.path_of(name), read).flatten() else { return false };
        let unit = target.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let is_alias = is_unit_name(unit) && unit != name.to_bytes();
        if is_alias {
            self.owners.unit_aliases.insert(name.to_bytes().to_vec(), unit.to_vec());
        }
        is_alias
    }

    fn read_drop_ins(
        &mut self,
        dir: &Listing<'_>,
        name: &CStr,
        unit: &[u8],
        drop_ins: &mut BTreeMap<(Vec<u8>, CString), Vec<u8>>,
    ) {
        let path = dir.path_of(name);
        let Ok(path) = std::str::from_utf8(&path) else { return };
        let Some(dir) = self.dir(path) else { return };
        for entry in dir.entries.iter().filter(|e| e.name.to_bytes().ends_with(b".conf")) {
            let key = (unit.to_vec(), entry.name.clone());
            if !drop_ins.contains_key(&key)
                && let Some(text) = self.file_or_same_name(&dir, &entry.name)
            {
                drop_ins.insert(key, text);
            }
        }
    }

    fn add_unit(&mut self, name: &[u8]) -> Option<u32> {
        std::str::from_utf8(name).ok().map(|name| self.owners.unit_number(name))
    }

    fn read_tmpfiles(&mut self) {
        let machine_id = self.file("etc/machine-id").unwrap_or_default();
        let machine_id = machine_id.trim_ascii();
        let has_id = machine_id.len() == 32 && machine_id.iter().all(u8::is_ascii_hexdigit);
        let specifiers = |letter: u8| match letter {
            b'm' => has_id.then(|| machine_id.to_vec()),
            letter => directory_specifier(letter).map(<[u8]>::to_vec),
        };
        let mut seen: HashSet<CString> = HashSet::new();
        for path in TMPFILES_DIRECTORIES {
            let Some(dir) = self.dir(path) else { continue };
            for entry in dir.entries.iter().filter(|e| e.name.to_bytes().ends_with(b".conf")) {
                if !seen.insert(entry.name.clone()) {
                    continue;
                }
                let Some(text) = self.file_or_same_name(&dir, &entry.name) else { continue };
                let path = dir.path_of(&entry.name);
                let owner = self.owners.files.only_owner(&self.owners.aliases.canonical(&path));
                let claimant = match owner {
                    Some(id) => Claimant::Package(id),
                    None => Claimant::Unit(self.owners.unit_number(TMPFILES_UNIT)),
                };
                for path in made_paths(&text, &specifiers) {
                    self.claim(&path, claimant, How::Tmpfiles);
                }
            }
        }
    }

    fn read_accounts(&mut self) {
        match Accounts::read(&self.host) {
            Ok(accounts) => self.owners.accounts = accounts,
            Err(error) => return self.owners.warnings.push(error.to_string()),
        }
        let homes: Vec<(u32, TreePath)> = (0..)
            .zip(self.owners.accounts.users())
            .filter(|(_, user)| is_home_of_person(user.uid))
            .filter_map(|(number, user)| Some((number, TreePath::parse(&user.home).ok()?)))
            .collect();
        for (number, home) in homes.iter().filter(|(_, home)| !is_shared(home.as_bytes())) {
            self.claim(home.as_bytes(), Claimant::User(*number), How::Home);
        }
    }

    fn claim(&mut self, path: &[u8], claimant: Claimant, how: How) {
        claim(&mut self.owners, path, claimant, how);
    }
}

fn claim(owners: &mut Owners, path: &[u8], claimant: Claimant, how: How) {
    let path = owners.aliases.canonical(path);
    owners.claims.add(&path, claimant, how);
}

fn add_script(owners: &mut Owners, id: PackageId, script: &[u8]) {
    named_paths(script, |path| claim(owners, path, Claimant::Package(id), How::Script));
}

fn add_rpm_package(owners: &mut Owners, header: &Header<'_>) {
    let Some(name) = header.name() else { return };
    let id = owners.files.package(name);
    owners.files.set_installed(id, &header.version());
    header.for_each_file(|file| {
        if file.is_ghost {
            claim(owners, file.path, Claimant::Package(id), How::Ghost);
        } else {
            let path = owners.aliases.canonical(file.path);
            owners.files.add(&path, id);
        }
    });
    for script in header.scripts() {
        add_script(owners, id, script);
    }
}

/// Whether a file of a directory of units is a unit: systemd.unit(5) has the kinds.
fn is_unit_name(name: &[u8]) -> bool {
    const KINDS: [&[u8]; 9] = [
        b".service",
        b".socket",
        b".mount",
        b".swap",
        b".timer",
        b".target",
        b".path",
        b".slice",
        b".automount",
    ];
    KINDS.iter().any(|kind| name.ends_with(kind) && name.len() > kind.len())
}

#[cfg(test)]
#[path = "read_tree_tests.rs"]
mod tests;
