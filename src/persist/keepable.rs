//! Refuses paths that cannot be kept as they are: what `keep` asks of them, and `init` of those that it is
//! to declare or finds declared.

use std::os::fd::AsFd;

use dirfd::manifest::Census;
use dirfd::path::shell_path;
use dirfd::stat::of_open;
use dirfd::{Error, FileType, Result, TreeName, TreePath, boundary, mountinfo};
use rustix::fs::OFlags;

use crate::boot::fstab::{self, FstabMounts};
use crate::config::entry::EntryKind;
use crate::config::storage::Storage;
use crate::config::{Config, is_own_file};
use crate::host::Machine;
use crate::persist::list::{self, KeepEntry};
use crate::persist::observed::VolatileStorage;
use crate::persist::path_lookup::{Dentry, look_up, look_up_data};
use crate::persist::plan_target::leads_to;
use crate::persist::resolve::{ResolvedEntry, ancestors, resolve_entries};
use crate::persist::{known_state, unsuitable};

/// A machine, and what it mounts by itself.
pub(crate) struct KeepChecker<'k> {
    machine: &'k Machine,
    fstab: Vec<fstab::FstabEntry>,
    storages: Vec<TreePath>,
    live: Option<&'k TreeName>,
}

impl<'k> KeepChecker<'k> {
    /// `storages` are all, those yet to be declared too; `live` is the tree that a rollback replaces.
    pub(crate) fn new(
        machine: &'k Machine,
        storages: Vec<TreePath>,
        live: Option<&'k TreeName>,
    ) -> Result<Self> {
        let fstab = fstab::read_fstab(machine.root().as_fd());
        let fstab = fstab.map_err(|why| Error::io("read /etc/fstab", why))?;
        Ok(Self { machine, fstab: fstab::parse_entries(&fstab), storages, live })
    }

    /// What is at a path that is not on the keep list yet, and what the owner may want to know of it.
    pub(crate) fn check_undeclared(
        &self,
        path: &TreePath,
    ) -> Result<(Option<Dentry>, Option<String>)> {
        if let Some(mount) = self.fstab_mounts().at(path) {
            let hint = mount.hint(path);
            return Err(Error::new(format!("keep {path}"), mount).hint(hint));
        }
        let note = check_suitable(path)?;
        refuse_in_memory(self.machine, path)?;
        Ok((look_up(self.machine, path)?, note))
    }

    /// What is in the place of an entry, and not kept yet; `None` if nothing is, or its data is shown there.
    pub(crate) fn check_declared(&self, one: &ResolvedEntry) -> Result<Option<Dentry>> {
        let path = &one.entry.path;
        let stored = look_up_data(self.machine, &one.source)?;
        let live = look_up(self.machine, path)?;
        if live.as_ref().is_some_and(|live| is_in_place(one, live, stored.as_ref())) {
            return Ok(None);
        }
        let mount = self.fstab_mounts().at(path);
        // Below such a mount, data that storage has already is shown all the same.
        if let Some(mount) = mount.filter(|mount| mount.point == *path || stored.is_none()) {
            let hint = format!("remove its entry in line {}", one.entry.place.line);
            return Err(Error::new(format!("keep {path}"), mount).hint(hint));
        }
        refuse_in_memory(self.machine, path)?;
        // What PID 1 has mounted as the machine's identity is not lost, and an empty subvolume has nothing
        // to lose.
        let is_empty = |live: &Dentry| {
            live.stat.facts.file_type == FileType::Subvolume && !live.stat.has_names
        };
        if let Some(live) = live.as_ref().filter(|live| !one.is_identity() && !is_empty(live)) {
            kind_of_live(path, live, false)?;
        }
        Ok(live.filter(|live| !live.is_mount))
    }

    /// Refuses what a snapshot of live does not have, so that after a rollback nothing, or what is older,
    /// would be kept in its place. What is mounted within it is mounted there again.
    fn expect_in_blank(&self, live: &Dentry, path: &TreePath) -> Result<()> {
        if let Some(point) = self.mount_above(live, path)? {
            let why = format!("it lies on what is mounted at {point}, of which blank has nothing");
            return Err(Error::new(format!("keep {path}"), why).hint(format!(
                "see what it is with `findmnt {point}`; what has a file system of its own survives anyway"
            )));
        }
        refuse_subvolume(&live.census(path)?, path)
    }

    /// The outermost parent that is on another mount than the root, if what is there is, too.
    fn mount_above(&self, live: &Dentry, path: &TreePath) -> Result<Option<TreePath>> {
        let failed = |why| Error::io(format!("look at {path}"), why);
        let top = of_open(self.machine.root().as_fd()).map_err(failed)?;
        if live.stat.mount == top.mount {
            return Ok(None);
        }
        let mut parents: Vec<TreePath> = ancestors(path).collect();
        parents.reverse();
        for parent in parents {
            let opened = self.machine.open_at(&parent, OFlags::PATH).map_err(failed)?;
            if of_open(opened.as_fd()).map_err(failed)?.mount != top.mount {
                return Ok(Some(parent));
            }
        }
        Ok(None)
    }

    fn fstab_mounts(&self) -> FstabMounts<'_> {
        FstabMounts { entries: &self.fstab, storages: &self.storages, live: self.live }
    }
}

/// Every reason why entries of a configuration would not keep what live has in their places.
pub(crate) fn find_refusals(config: &Config, machine: &Machine) -> Result<Vec<Error>> {
    let storages = config.storages.iter().map(|storage| storage.path.clone()).collect();
    let live = config.root.layout().map(|layout| &layout.live);
    let keepable = KeepChecker::new(machine, storages, live)?;
    let list = list::keep_list(config);
    let resolved = resolve_entries(&list);
    // What lies in another entry is moved with that.
    let outer = resolved.iter().filter(|one| one.within.is_none());
    let refused = outer.filter_map(|one| refuse_declared(&keepable, one).err());
    Ok(refused.collect())
}

fn refuse_declared(keepable: &KeepChecker<'_>, one: &ResolvedEntry) -> Result<()> {
    match keepable.check_declared(one)? {
        Some(live) if !one.is_identity() => keepable.expect_in_blank(&live, &one.entry.path),
        _ => Ok(()),
    }
}

/// Whether what is at the place of an entry is its data: mounted, or linked to.
fn is_in_place(one: &ResolvedEntry, live: &Dentry, stored: Option<&Dentry>) -> bool {
    if stored.is_some_and(|stored| stored.stat.is_same_file(&live.stat)) {
        return true;
    }
    live.place().link_target().ok().flatten().is_some_and(|target| leads_to(&target, one))
}

/// What lies in memory is empty at every boot by itself, before it could be covered.
fn refuse_in_memory(machine: &Machine, path: &TreePath) -> Result<()> {
    let Some(dir) = outermost_in_memory(machine, path)? else { return Ok(()) };
    let why = format!("{dir} is in memory (tmpfs), and empty at every boot by itself");
    Err(Error::new(format!("keep {path}"), why)
        .hint("let the program put it below /var/lib or /srv, and keep that"))
}

/// Refuses a directory in memory as a storage that is declared for `path`.
pub(crate) fn refuse_storage_in_memory(
    machine: &Machine,
    path: &TreePath,
    storage: &TreePath,
) -> Result<()> {
    match outermost_in_memory(machine, storage)? {
        Some(_) => {
            Err(Error::new(format!("keep {path}"), VolatileStorage::InMemory.reason(storage))
                .hint(VolatileStorage::HINT))
        }
        None => Ok(()),
    }
}

/// The outermost directory on the way to `path`, or that itself, that is in memory and not on the root's
/// own file system.
fn outermost_in_memory(machine: &Machine, path: &TreePath) -> Result<Option<TreePath>> {
    let failed = |why| Error::io(format!("look at {path}"), why);
    let root = machine.open_at(&TreePath::root(), OFlags::PATH).map_err(failed)?;
    let root = of_open(root.as_fd()).map_err(failed)?;
    let mut outermost = None;
    for dir in std::iter::once(path.clone()).chain(ancestors(path)) {
        let opened = match machine.open_at(&dir, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(opened) => opened,
            // What is not there yet will be where its parents are; whoever looks next tells the rest.
            Err(_) => continue,
        };
        let of_root = of_open(opened.as_fd()).map_err(failed)?.device == root.device;
        let in_memory = match mountinfo::mount_of_file(opened.as_fd())? {
            Some(mount) => mount.is_in_memory(),
            None => boundary::file_system_type(&opened).map_err(failed)? == boundary::TMPFS,
        };
        if of_root || !in_memory {
            break;
        }
        outermost = Some(dir);
    }
    Ok(outermost)
}

/// A directory or a file, told from what is there.
pub(crate) fn kind_of_live(path: &TreePath, live: &Dentry, must_be_dir: bool) -> Result<EntryKind> {
    if live.is_mount {
        return Err(Error::new(format!("keep {path}"), "something is mounted there").hint(format!(
            "see what it is with `findmnt {path}`; what has a file system of its own survives anyway"
        )));
    }
    kind_of_type(path, live.stat.facts.file_type, must_be_dir)
}

/// The same by the type alone.
pub(crate) fn kind_of_type(
    path: &TreePath,
    file_type: FileType,
    must_be_dir: bool,
) -> Result<EntryKind> {
    let refused = |why: &str| Error::new(format!("keep {path}"), why);
    match file_type {
        FileType::Dir => Ok(EntryKind::Dir),
        FileType::File if !must_be_dir => Ok(EntryKind::File),
        FileType::File => Err(refused("it is a file, and no directory")),
        FileType::Symlink => Err(refused("it is a link")
            .hint("keep what it leads to; the link itself can be a part of blank")),
        FileType::Subvolume => Err(refused("it is a subvolume of its own")
            .hint("move it out of live, and mount it there with a line in fstab")),
        other => Err(refused(&format!("it is a {}, which its program makes anew", other.word()))
            .hint("keep the directory that it lies in, if at all")),
    }
}

/// What live has, if it can be moved.
pub(crate) fn census_to_move(live: &Dentry, path: &TreePath) -> Result<Census> {
    let census = live.census(path)?;
    if let Some(below) = &census.mounted_over {
        let why = format!("something is mounted at {below}, which lies in it");
        return Err(Error::new(format!("keep {path}"), why)
            .hint("unmount it first, or keep what lies beside it"));
    }
    refuse_subvolume(&census, path)?;
    Ok(census)
}

fn refuse_subvolume(census: &Census, path: &TreePath) -> Result<()> {
    let Some(below) = &census.subvolume else { return Ok(()) };
    let why = format!("{below}, which lies in it, is a subvolume of its own");
    Err(Error::new(format!("keep {path}"), why)
        .hint("move the subvolume out of live, and mount it there with a line in fstab"))
}

/// The storage for `path`: the one that is asked for, the only one, or the one that holds what is
/// kept nearest to it.
pub(crate) fn choose_storage(
    config: &Config,
    asked: Option<&TreePath>,
    path: &TreePath,
) -> Result<TreePath> {
    if let Some(asked) = asked {
        return Ok(asked.clone());
    }
    let storages: Vec<&Storage> = config.storages.iter().filter(|one| one.enable).collect();
    let action = format!("choose a storage for {path}");
    let nearest = |storage: &Storage| {
        let users = storage.users.iter().flat_map(|user| &user.entries);
        let entries = storage.entries.iter().chain(users).filter(|entry| entry.enable);
        entries.map(|entry| common_components(&entry.path, path)).max().unwrap_or(0)
    };
    let depth = storages.iter().map(|storage| nearest(storage)).max().unwrap_or(0);
    let near: Vec<&&Storage> = storages.iter().filter(|one| nearest(one) == depth).collect();
    match (storages.as_slice(), near.as_slice()) {
        ([], _) => {
            let hint = "name a directory that survives with `--storage DIR`; it is added to the \
                        configuration";
            Err(Error::new(action, "the configuration has no storage").hint(hint))
        }
        ([only], _) => Ok(only.path.clone()),
        (_, [one]) if depth > 0 => Ok(one.path.clone()),
        (all, _) => {
            let names: Vec<String> = all.iter().map(|one| one.path.to_string()).collect();
            let why = format!("there are {} of them: {}", names.len(), names.join(", "));
            Err(Error::new(action, why).hint("name one with `--storage DIR`"))
        }
    }
}

/// How many directories two paths have in common.
fn common_components(one: &TreePath, other: &TreePath) -> usize {
    let parts = |path: &TreePath| -> Vec<Vec<u8>> {
        path.as_bytes().split(|&b| b == b'/').map(<[u8]>::to_vec).collect()
    };
    let (one, other) = (parts(one), parts(other));
    one.iter().zip(&other).take_while(|(a, b)| a == b).count()
}

/// What the lists say of a path already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declaration {
    /// Nothing.
    Not,
    /// It is an entry itself.
    Itself(Box<KeepEntry>),
    /// It lies in a directory that is kept.
    In(Box<KeepEntry>),
}

/// Looks a path up in the keep list; an error if it cannot be kept whatever is there.
pub(crate) fn find_declaration(
    config: &Config,
    list: &[KeepEntry],
    path: &TreePath,
) -> Result<Declaration> {
    let action = format!("keep {path}");
    if path.depth() == 0 {
        return Err(Error::new(action, "it is the root itself").hint("keep what is below it"));
    }
    for storage in config.storages.iter().filter(|storage| storage.enable) {
        let (name, line) = (&storage.path, storage.place.line);
        if path.is_within(name) {
            let why = format!("it lies in the storage {name} (line {line}), and survives anyway");
            return Err(Error::new(action, why));
        }
        if name.is_within(path) {
            let why = format!("it contains the storage {name} (line {line})");
            return Err(Error::new(action, why).hint("keep only what lies beside the storage"));
        }
    }
    let is_dir = |entry: &KeepEntry| entry.kind == EntryKind::Dir;
    if let Some(entry) = list.iter().find(|entry| entry.path == *path) {
        return Ok(Declaration::Itself(Box::new(entry.clone())));
    }
    if let Some(entry) = list.iter().find(|entry| is_dir(entry) && path.is_within(&entry.path)) {
        return Ok(Declaration::In(Box::new(entry.clone())));
    }
    if let Some(entry) = list.iter().find(|entry| entry.path.is_within(path)) {
        let (below, line) = (&entry.path, entry.place.line);
        let why = format!("{below}, which lies in it, is kept on its own (line {line})");
        let word = shell_path(below);
        // Nothing could tell where the list of what is kept is, if that were kept with what is around it.
        let hint = match is_own_file(below) {
            true => format!(
                "keep what lies beside it: `blankroot diff {}` shows what that is",
                shell_path(path)
            ),
            false => format!("run `blankroot unkeep --move-back {word}` first, then this again"),
        };
        return Err(Error::new(action, why).hint(hint));
    }
    check_suitable(path)?;
    Ok(Declaration::Not)
}

/// Refuses a path that does not work as a kept one; else what will not work about it, if anything. An
/// entry that is made by a command is early only where it is known to be needed so.
pub(crate) fn check_suitable(path: &TreePath) -> Result<Option<String>> {
    let early = known_state::find_known_path(path, None).is_some_and(|known| known.early);
    let Some(row) = unsuitable::find_unsuitable(path, early) else { return Ok(None) };
    match row.severity {
        unsuitable::UnsuitableSeverity::Refused => {
            Err(Error::new(format!("keep {path}"), row.why).hint(row.hint))
        }
        _ => Ok(Some(format!("{path}: {}; better: {}", row.why, row.hint))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::list;
    use std::path::Path;

    fn config(text: &str) -> Config {
        let text = format!("[root]\nbackend = \"tmpfs\"\n{text}");
        Config::parse(Path::new("f"), text.as_bytes()).unwrap()
    }

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    const TWO: &str = "[[storage]]\npath = \"/persist\"\ndirectories = [\"/var/log\"]\n\
                       [[storage]]\npath = \"/big\"\ndirectories = [\"/var/lib/db\", \"/srv/a\"]";

    #[test]
    fn the_storage_of_what_is_kept_nearest_is_chosen() {
        let chosen = |text: &str, of: &str| choose_storage(&config(text), None, &path(of));
        assert_eq!(chosen(TWO, "/var/lib/x").unwrap(), path("/big"));
        assert_eq!(chosen(TWO, "/srv/b/c").unwrap(), path("/big"));
        assert_eq!(chosen("[[storage]]\npath = \"/p\"", "/x").unwrap(), path("/p"));
        assert_eq!(
            chosen(TWO, "/etc/x").unwrap_err().to_string(),
            "cannot choose a storage for /etc/x: there are 2 of them: /persist, /big\n  hint: name \
             one with `--storage DIR`"
        );
        assert!(chosen(TWO, "/var/x").is_err(), "both are as near");
        assert!(chosen("", "/x").unwrap_err().to_string().contains("has no storage"));
        let asked = path("/other");
        assert_eq!(choose_storage(&config(TWO), Some(&asked), &path("/srv/b")).unwrap(), asked);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_line() {
        let config = config(TWO);
        let list = list::keep_list(&config);
        let answer = |of: &str| find_declaration(&config, &list, &path(of));
        for (of, why) in [
            ("/", "it is the root itself"),
            ("/persist/x", "it lies in the storage /persist (line 4)"),
            ("/big", "it lies in the storage /big"),
            ("/var", "/var/lib/db, which lies in it, is kept on its own (line 8)"),
        ] {
            let error = answer(of).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(matches!(answer("/var/lib/db"), Ok(Declaration::Itself(_))));
        assert!(matches!(answer("/var/lib/db/x"), Ok(Declaration::In(_))));
        assert_eq!(answer("/var/lib/d").unwrap(), Declaration::Not);
    }
}
