//! Joins a path with its owner: what names the path itself, else the nearest directory that has one owner, else
//! what speaks for somebody.

use std::collections::HashMap;

use dirfd::FileType;

use super::claims::{Claim, Claimant, Claims};
use super::derived_names::origin;
use super::dpkg;
use super::known_writers::{Writer, writers_of};
use super::nix_store::{StoreOwner, owner_of_target};
use super::owner::{Certainty, How, Owner, OwnerFacts, Ownership};
use super::package_files::{Listed, PackageFiles, PackageId};
use super::pacman;
use super::unit_directories::{UNIT_DIRECTORIES, USER_UNIT_DIRECTORY};
use super::usr_merge::{Aliases, lexical_target};
use crate::persist::accounts::Accounts;

/// Numbers from here on are people's (systemd's and shadow's default).
const FIRST_PERSON: u32 = 1000;
/// The user that owns nothing, and what a dynamic user's files look like from outside.
const NOBODY: u32 = 65534;
/// Groups below this are the same on every machine of a distribution, and shared (`adm`, `utmp`, `mail`).
const FIRST_OWN_GROUP: u32 = 100;

/// The owners that one tree tells of.
#[derive(Debug, Default)]
pub struct Owners {
    pub(super) aliases: Aliases,
    pub(super) files: PackageFiles,
    pub(super) claims: Claims,
    /// The names of units, `nginx.service`.
    pub(super) units: Vec<String>,
    /// Numbers in `units`.
    pub(super) unit_numbers: HashMap<String, u32>,
    /// The units that links of other names lead to, by those: `Alias=`, systemd.unit(5).
    pub(super) unit_aliases: HashMap<Vec<u8>, Vec<u8>>,
    /// Names of packages and of services without `.service`, in lower case.
    pub(super) names: HashMap<Vec<u8>, Claimant>,
    pub(super) accounts: Accounts,
    /// What the links of `etc/alternatives` say, by their names.
    pub(super) alternatives: HashMap<Vec<u8>, Vec<u8>>,
    /// What the link `etc/static` says: NixOS has its part of `etc` behind it.
    pub(super) nixos_etc: Option<Vec<u8>>,
    pub(super) warnings: Vec<String>,
}

impl Owners {
    /// What could not be read, and why: "cannot read …: …".
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The packages of the tree's databases.
    pub fn packages(&self) -> &PackageFiles {
        &self.files
    }

    /// Adds which units had which paths open, without leading slash, while the machine ran.
    pub fn with_open_files<'a>(
        mut self,
        open: impl IntoIterator<Item = (&'a [u8], &'a str)>,
    ) -> Self {
        for (path, unit) in open {
            let path = self.aliases.canonical(path).into_owned();
            let unit = Claimant::Unit(self.unit_number(unit));
            self.claims.add(&path, unit, How::OpenFile);
            for dir in parents(&path).take_while(|dir| !is_shared(dir)) {
                self.claims.add(dir, unit, How::OpenFilesBelow);
            }
        }
        self
    }

    /// The number of the unit of this name, which is added if it is new.
    pub(super) fn unit_number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.unit_numbers.get(name) {
            return number;
        }
        let number = self.units.len() as u32;
        self.units.push(name.to_string());
        self.unit_numbers.insert(name.to_string(), number);
        number
    }

    /// To whom a path belongs, without leading slash; `None` if nothing tells.
    pub fn owner_of(&self, path: &[u8], facts: &OwnerFacts<'_>) -> Option<Ownership> {
        if let Some(owner) = facts.link_target.and_then(|target| self.in_store(target)) {
            return Some(Ownership { owner, certainty: Certainty::Exact, how: How::NixStore });
        }
        let path = self.aliases.canonical(path);
        let exact = self.exact(&path, facts).map(|found| (found, Certainty::Exact));
        let (found, certainty) = exact
            .or_else(|| self.directory(&path).map(|found| (found, Certainty::Directory)))
            .or_else(|| self.likely(&path, facts).map(|found| (found, Certainty::Likely)))?;
        Some(Ownership { owner: self.owner(found.claimant)?, certainty, how: found.how })
    }

    /// The package that brought a unit's file: of an instance, that of its template.
    pub fn package_of_unit(&self, unit: &str) -> Option<&str> {
        self.unit_package(unit.as_bytes()).map(|id| self.files.name(id))
    }

    /// Whose store path a link leads into, by NixOS's `etc/static`, too.
    fn in_store(&self, target: &[u8]) -> Option<Owner> {
        let behind = target.starts_with(b"/etc/static/").then_some(self.nixos_etc.as_deref());
        let name = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Some(match owner_of_target(behind.flatten().unwrap_or(target))? {
            StoreOwner::Package(package) => Owner::Package(name(package)),
            StoreOwner::Unit(unit) => Owner::Unit(name(unit)),
        })
    }

    /// Notes by which names packages and services are known.
    pub(super) fn collect_names(&mut self) {
        for (id, package) in self.files.packages() {
            let name = package.name.as_bytes().to_ascii_lowercase();
            self.names.entry(name).or_insert(Claimant::Package(id));
        }
        for (number, unit) in (0..).zip(&self.units) {
            let Some(name) = unit.strip_suffix(".service") else { continue };
            let name = name.split('@').next().unwrap_or(name).as_bytes().to_ascii_lowercase();
            self.names.entry(name).or_insert(Claimant::Unit(number));
        }
    }

    fn owner(&self, claimant: Claimant) -> Option<Owner> {
        Some(match claimant {
            Claimant::Package(id) => Owner::Package(self.files.name(id).to_string()),
            Claimant::Unit(number) => Owner::Unit(self.units.get(number as usize)?.clone()),
            Claimant::User(number) => {
                Owner::User(self.accounts.users().get(number as usize)?.name.clone())
            }
        })
    }

    /// The claim of a path that counts most, if all who make it so are one: the same package, or units of it.
    fn agreed(&self, path: &[u8], counts: impl Fn(How) -> bool) -> Option<Claim> {
        let claims = self.claims.foremost(path, counts);
        let first = *claims.first()?;
        if claims.iter().all(|claim| claim.claimant == first.claimant) {
            return Some(first);
        }
        let package = self.package_behind(first.claimant)?;
        let is_its = |claim: &Claim| self.package_behind(claim.claimant) == Some(package);
        let claimant = Claimant::Package(package);
        claims.iter().all(is_its).then_some(Claim { claimant, how: first.how })
    }

    fn package_behind(&self, claimant: Claimant) -> Option<PackageId> {
        match claimant {
            Claimant::Package(id) => Some(id),
            Claimant::Unit(number) => {
                self.unit_package(self.units.get(number as usize)?.as_bytes())
            }
            Claimant::User(_) => None,
        }
    }

    // What names the path itself.

    fn exact(&self, path: &[u8], facts: &OwnerFacts<'_>) -> Option<Claim> {
        let package = |id, how| Claim { claimant: Claimant::Package(id), how };
        if let Some(id) = self.files.only_owner(path) {
            return Some(package(id, How::Listed));
        }
        if let Some(id) = self.package_of_record(path) {
            return Some(package(id, How::DatabaseRecord));
        }
        self.agreed(path, |how| how.certainty() == Certainty::Exact)
            .or_else(|| self.unit_record(path))
            .or_else(|| self.by_target(path, facts.link_target?))
            .or_else(|| self.own_unit(path, facts))
    }

    /// The package that a file of a package database is about.
    fn package_of_record(&self, path: &[u8]) -> Option<PackageId> {
        if let Some(rest) = path.strip_prefix(dpkg::DIRECTORY.as_bytes()) {
            if let Some(record) = rest.strip_prefix(b"/info/") {
                return self.files.find(dpkg::package_of_record(record)?.0);
            }
            return self.chosen(rest.strip_prefix(b"/alternatives/")?);
        }
        let rest = path.strip_prefix(pacman::DIRECTORY.as_bytes())?.strip_prefix(b"/")?;
        self.files.find(pacman::package_of_directory(rest.split(|&b| b == b'/').next()?)?.0)
    }

    /// The package whose file is chosen for an alternative.
    fn chosen(&self, alternative: &[u8]) -> Option<PackageId> {
        let target = self.alternatives.get(alternative)?;
        let target = lexical_target(&[b"etc/alternatives/", alternative].concat(), target)?;
        self.files.only_owner(&self.aliases.canonical(&target))
    }

    /// What is noted of a unit: when it ran last, and, by deb-systemd-helper(1), that it was enabled by which
    /// links.
    fn unit_record(&self, path: &[u8]) -> Option<Claim> {
        let rest = path.strip_prefix(b"var/lib/systemd/")?;
        if let Some(timer) = rest.strip_prefix(b"timers/stamp-") {
            return Some(Claim { claimant: self.unit_claimant(timer)?, how: How::TimerStamp });
        }
        let rest = rest.strip_prefix(b"deb-systemd-")?;
        let name = rest.rsplit(|&b| b == b'/').next()?;
        let unit = name.strip_suffix(b".dsh-also").unwrap_or(name);
        // The directories themselves are the helper's, although a package may list one of the same name among its
        // units.
        let helper = || self.files.find(b"init-system-helpers");
        let is_directory = ENABLING.iter().any(|end| unit.ends_with(end));
        let of_unit = if is_directory { None } else { self.unit_package(unit) };
        let id = of_unit.or_else(helper)?;
        Some(Claim { claimant: Claimant::Package(id), how: How::EnablementRecord })
    }

    /// Links that belong to what they point to: enabled units and init scripts, alternatives.
    fn by_target(&self, path: &[u8], target: &[u8]) -> Option<Claim> {
        let target = lexical_target(path, target)?;
        let target = self.aliases.canonical(&target);
        if let Some(id) =
            target.strip_prefix(b"etc/alternatives/").and_then(|name| self.chosen(name))
        {
            return Some(Claim { claimant: Claimant::Package(id), how: How::EnabledLink });
        }
        if !is_enablement(path) {
            return None;
        }
        let claimant = match self.files.only_owner(&target) {
            Some(id) => Claimant::Package(id),
            // `getty@tty1.service` is a link to `getty@.service`.
            None => self.unit_claimant(target.rsplit(|&b| b == b'/').next()?)?,
        };
        Some(Claim { claimant, how: How::EnabledLink })
    }

    /// A unit file, a drop-in or a mask that no package brought belongs to the unit.
    fn own_unit(&self, path: &[u8], facts: &OwnerFacts<'_>) -> Option<Claim> {
        let rest = UNIT_DIRECTORIES
            .iter()
            .find_map(|dir| path.strip_prefix(dir.as_bytes())?.strip_prefix(b"/"))?;
        let mut parts = rest.split(|&b| b == b'/');
        let first = parts.next()?;
        let is_alone = parts.next().is_none();
        let unit = match first.strip_suffix(b".d") {
            Some(unit) => unit,
            None if !is_alone => return None,
            None if facts.file_type != FileType::Dir => first,
            // The directory of links to what the unit wants.
            None => ENABLING.iter().find_map(|end| first.strip_suffix(*end))?,
        };
        Some(Claim { claimant: self.unit_claimant(unit)?, how: How::UnitFile })
    }

    /// The unit of this name; of an alias, the one that it leads to.
    fn unit_claimant(&self, name: &[u8]) -> Option<Claimant> {
        let number = |name: &[u8]| self.unit_numbers.get(std::str::from_utf8(name).ok()?).copied();
        let found = number(name).or_else(|| number(self.unit_aliases.get(name)?))?;
        Some(Claimant::Unit(found))
    }

    fn unit_package(&self, unit: &[u8]) -> Option<PackageId> {
        let listed = |name: &[u8]| {
            let mut dirs = UNIT_DIRECTORIES.iter().chain(&[USER_UNIT_DIRECTORY]);
            dirs.find_map(|dir| {
                let path = [dir.as_bytes(), b"/", name].concat();
                self.files.only_owner(&self.aliases.canonical(&path))
            })
        };
        let script = || {
            let name = unit.strip_suffix(b".service")?;
            self.files.only_owner(&[b"etc/init.d/", name].concat())
        };
        let alias = || listed(self.unit_aliases.get(unit)?);
        listed(unit).or_else(|| listed(&template_of(unit)?)).or_else(script).or_else(alias)
    }

    // The nearest directory that has one owner.

    fn directory(&self, path: &[u8]) -> Option<Claim> {
        let below = |dir| self.agreed(dir, |how| how == How::OpenFilesBelow);
        if let Some(claim) = below(path) {
            return Some(claim);
        }
        for dir in parents(path) {
            if is_shared(dir) {
                break;
            }
            // What a user has at home is his, although base-files lists `/root`.
            if let Some(home) = self.agreed(dir, |how| how == How::Home) {
                return Some(home);
            }
            let listed = self.files.listed(dir);
            if let Some(Listed::ByOne(id)) = listed {
                return Some(Claim { claimant: Claimant::Package(id), how: How::Listed });
            }
            let claim =
                self.agreed(dir, |how| how.certainty() == Certainty::Exact && holds_below(how));
            let claim = claim.or_else(|| below(dir));
            if claim.is_some() || listed.is_some() {
                return claim;
            }
        }
        None
    }

    // What speaks for somebody.

    fn likely(&self, path: &[u8], facts: &OwnerFacts<'_>) -> Option<Claim> {
        self.by_origin(path)
            .or_else(|| self.by_likely_claim(path, How::Script))
            .or_else(|| self.by_likely_claim(path, How::ReadWritePaths))
            .or_else(|| self.by_likely_claim(path, How::RequiresMountsFor))
            .or_else(|| self.by_known_writer(path))
            .or_else(|| self.by_name(path))
            .or_else(|| self.by_link(path, facts.link_target?))
            .or_else(|| self.by_account(facts))
            .or_else(|| self.by_shared_directory(path))
    }

    fn by_origin(&self, path: &[u8]) -> Option<Claim> {
        let id = self.files.only_owner(&origin(path)?)?;
        Some(Claim { claimant: Claimant::Package(id), how: How::DerivedFrom })
    }

    fn by_likely_claim(&self, path: &[u8], how: How) -> Option<Claim> {
        for place in std::iter::once(path).chain(parents(path)) {
            // What is said of a shared directory holds for itself alone.
            if place != path && is_shared(place) {
                break;
            }
            let claim = self.agreed(place, |other| other == how);
            // A directory of several packages says nothing of what one of them says nothing of.
            if claim.is_some() || self.files.listed(place).is_some() {
                return claim;
            }
        }
        None
    }

    fn by_known_writer(&self, path: &[u8]) -> Option<Claim> {
        let known = |writer: &Writer| match writer {
            Writer::Unit(name) => self.unit_claimant(name.as_bytes()),
            Writer::Package(name) => self.files.find(name.as_bytes()).map(Claimant::Package),
        };
        let claimant = writers_of(path).iter().find_map(known)?;
        Some(Claim { claimant, how: How::KnownWriter })
    }

    /// By the name of a component below `etc` or `var/{lib,cache,log,spool}`: the whole name of any of them first,
    /// and then a name without what is behind its first dot.
    fn by_name(&self, path: &[u8]) -> Option<Claim> {
        const BASES: [&[u8]; 6] =
            [b"etc/", b"var/lib/", b"var/cache/", b"var/log/", b"var/spool/", b"opt/"];
        let rest = BASES.iter().find_map(|base| path.strip_prefix(*base))?;
        // What is deep in a tree has names of its own.
        let parts = || rest.split(|&b| b == b'/').take(3);
        let whole = parts().find_map(|part| self.named(part));
        let claimant = whole.or_else(|| {
            let stems = parts().map(|part| part.strip_prefix(b".").unwrap_or(part));
            let mut stems = stems.filter_map(|part| part.split(|&b| b == b'.').next());
            stems.find_map(|stem| self.named(stem))
        })?;
        Some(Claim { claimant, how: How::Named })
    }

    fn named(&self, name: &[u8]) -> Option<Claimant> {
        if name.len() < 2 {
            return None;
        }
        self.names.get(&name.to_ascii_lowercase()).copied()
    }

    fn by_link(&self, path: &[u8], target: &[u8]) -> Option<Claim> {
        let target = lexical_target(path, target)?;
        let id = self.files.only_owner(&self.aliases.canonical(&target))?;
        Some(Claim { claimant: Claimant::Package(id), how: How::LeadsTo })
    }

    fn by_account(&self, facts: &OwnerFacts<'_>) -> Option<Claim> {
        let users = self.accounts.users();
        let by_uid = || {
            let is_own = facts.uid != 0 && facts.uid != NOBODY;
            is_own.then(|| users.iter().position(|user| user.uid == facts.uid))?
        };
        let by_gid = || {
            let is_own = (FIRST_OWN_GROUP..FIRST_PERSON).contains(&facts.gid);
            is_own.then(|| users.iter().position(|user| user.gid == facts.gid))?
        };
        let number = by_uid().or_else(by_gid)?;
        Some(Claim { claimant: Claimant::User(number as u32), how: How::Account })
    }

    fn by_shared_directory(&self, path: &[u8]) -> Option<Claim> {
        match self.files.listed(path)? {
            Listed::ByOne(id) | Listed::ByMany(id) => {
                Some(Claim { claimant: Claimant::Package(id), how: How::SharedDirectory })
            }
        }
    }
}

/// Whether a claim of a directory tells of what is in it.
fn holds_below(how: How) -> bool {
    !matches!(how, How::OpenFile | How::Ucf | How::DatabaseRecord)
}

/// How the directories end in which links enable units.
const ENABLING: [&[u8]; 3] = [b".wants", b".requires", b".upholds"];

/// Whether a link here only says that what it leads to is enabled.
fn is_enablement(path: &[u8]) -> bool {
    let Some(slash) = path.iter().rposition(|&b| b == b'/') else { return false };
    let dir = &path[..slash];
    let is_runlevel =
        dir.strip_prefix(b"etc/rc").is_some_and(|rest| rest.len() == 3 && rest.ends_with(b".d"));
    is_runlevel
        || dir == b"etc/alternatives"
        || dir == b"etc/systemd/system"
        || dir == b"etc/systemd/user"
        || ENABLING.iter().any(|end| dir.ends_with(end))
}

/// `getty@.service` for `getty@tty1.service`.
fn template_of(unit: &[u8]) -> Option<Vec<u8>> {
    let at = unit.iter().position(|&b| b == b'@')?;
    let dot = unit.iter().rposition(|&b| b == b'.').filter(|&dot| dot > at)?;
    Some([&unit[..=at], &unit[dot..]].concat())
}

/// Whether a user of this number is a person, or root, whose home holds what he does himself.
pub(super) fn is_home_of_person(uid: u32) -> bool {
    uid == 0 || (uid >= FIRST_PERSON && uid != NOBODY)
}

/// Maximum number of components and of bytes of a path that anything says something of: deeper ones are made by whoever
/// wants to keep us busy.
const MOST_COMPONENTS: usize = 64;
const LONGEST_PATH: usize = 4096;

/// The directories around a path, the nearest first, without the root and without those of which nothing can be said.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let path = path.get(..=LONGEST_PATH).unwrap_or(path);
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let deepest = slashes.map(|(at, _)| at).nth(MOST_COMPONENTS);
    let mut rest = deepest.and_then(|at| path.get(..at)).unwrap_or(path);
    std::iter::from_fn(move || {
        let slash = rest.iter().rposition(|&b| b == b'/')?;
        rest = &rest[..slash];
        Some(rest)
    })
}

/// Directories that are everybody's, whoever lists them: of these nothing follows for what is in them.
pub(super) fn is_shared(dir: &[u8]) -> bool {
    const PRIVATE: [&[u8]; 3] = [b"var/lib/private", b"var/cache/private", b"var/log/private"];
    let slashes = dir.iter().filter(|&&b| b == b'/').take(3).count();
    let depth = if dir.is_empty() { 0 } else { 1 + slashes };
    match depth {
        0 => true,
        1 => dir != b"root",
        2 => dir.starts_with(b"usr/") || dir.starts_with(b"var/"),
        3 => dir.starts_with(b"usr/local/") || PRIVATE.contains(&dir),
        _ => false,
    }
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
