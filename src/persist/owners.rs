//! Owner and mode of each entry, and of the parents that have to be made for it: as declared, else as live
//! has them, else as blank has them. Pure.

use std::collections::HashMap;

use dirfd::TreePath;
use dirfd::path::Escaped;

use crate::catalogue::catalogue_entry::CatalogueEntry;
use crate::config::entry::EntryKind;
use crate::config::ownership::{Mode, Ownership};
use crate::persist::WhyAndHint;
use crate::persist::accounts::Accounts;
use crate::persist::create::InodeAttributes;
use crate::persist::known_state;
use crate::persist::observed::Observations;
use crate::persist::resolve::ResolvedEntry;
use crate::persist::step::Owner;

/// Owner and mode as declared, with what holds where nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnerAndMode {
    /// For what is made.
    pub(crate) owner: Owner,
    /// For what is made.
    pub(crate) mode: u16,
    /// The declared user, which is enforced.
    pub(crate) user: Option<u32>,
    /// The declared group, which is enforced.
    pub(crate) group: Option<u32>,
    /// The declared mode, which is enforced.
    pub(crate) declared_mode: Option<u16>,
}

const ROOT: Owner = Owner { uid: 0, gid: 0 };
const DIR_MODE: u16 = 0o755;
const FILE_MODE: u16 = 0o644;
const PRIVATE_DIR_MODE: u16 = 0o700;
const PRIVATE_FILE_MODE: u16 = 0o600;

/// All owners of a keep list, by what they are asked for.
pub(crate) struct OwnerResolver<'p> {
    accounts: &'p Accounts,
    observed: &'p Observations,
    /// What is declared of a path on either side, and what that entry's defaults are.
    explicit: HashMap<&'p TreePath, &'p ResolvedEntry>,
    /// What is declared of a parent alone.
    parents: HashMap<TreePath, &'p ResolvedEntry>,
}

impl<'p> OwnerResolver<'p> {
    /// Collects what is declared.
    pub(crate) fn new(
        resolved: &'p [ResolvedEntry],
        accounts: &'p Accounts,
        observed: &'p Observations,
    ) -> Self {
        let (mut explicit, mut parents) = (HashMap::new(), HashMap::new());
        for one in resolved {
            for path in [&one.source, &one.made_at] {
                explicit.insert(path, one);
                if one.entry.parent != Ownership::default() {
                    parents.extend(path.parent().map(|parent| (parent, one)));
                }
            }
        }
        Self { accounts, observed, explicit, parents }
    }

    /// Whose an entry is.
    pub(crate) fn of(&self, one: &ResolvedEntry) -> Result<OwnerAndMode, WhyAndHint> {
        let default = self.default_owner(one)?;
        let secret = one.entry.known.is_some_and(CatalogueEntry::is_secret);
        let mode = match (one.entry.kind, secret) {
            (EntryKind::Dir, true) => PRIVATE_DIR_MODE,
            (EntryKind::Dir, false) => {
                known_state::parent_mode(&one.entry.path).unwrap_or(DIR_MODE)
            }
            (EntryKind::File, true) => PRIVATE_FILE_MODE,
            (EntryKind::File, false) => FILE_MODE,
        };
        let (owner, mode) = match self.owner_of_model(&one.source, default, one) {
            // What is known for a secret stays one, whoever has made its place.
            Some((owner, mode)) if secret => (owner, mode & !0o077),
            Some(found) => found,
            None => (default, mode),
        };
        self.with_declared(&one.entry.owner, owner, mode)
    }

    /// Owner and mode of what something is made after. Nobody but root can give files away.
    fn owner_of_model(
        &self,
        path: &TreePath,
        default: Owner,
        one: &ResolvedEntry,
    ) -> Option<(Owner, u16)> {
        let model = self.observed.models.get(path)?;
        let owner = Owner { uid: model.uid, gid: model.gid };
        Some((if is_on_users_list(one) { default } else { owner }, model.mode))
    }

    /// What else is made of it: an access control list says more than a mode, and nothing where a
    /// mode is declared.
    pub(crate) fn attributes(
        &self,
        path: &TreePath,
        ownership: OwnerAndMode,
        one: &ResolvedEntry,
    ) -> Option<InodeAttributes> {
        let mut attributes = self.observed.models.get(path)?.attributes.clone();
        if ownership.declared_mode.is_some() {
            attributes = attributes.without_access_lists();
        }
        Some(if is_on_users_list(one) { attributes.for_anybody() } else { attributes })
    }

    fn default_owner(&self, one: &ResolvedEntry) -> Result<Owner, WhyAndHint> {
        let Some(home) = &one.entry.home else { return Ok(ROOT) };
        if let (Some(uid), Some(gid)) = (home.uid, home.gid) {
            return Ok(Owner { uid, gid });
        }
        match self.accounts.user(&home.user) {
            Some(user) => Ok(Owner { uid: user.uid, gid: user.gid }),
            None => Err((
                format!("there is no user `{}` in etc/passwd", Escaped(home.user.as_bytes())),
                "add the user first, or declare `user` and `group` of the entry by number".into(),
            )),
        }
    }

    fn with_declared(
        &self,
        own: &Ownership,
        default: Owner,
        mode: u16,
    ) -> Result<OwnerAndMode, WhyAndHint> {
        let hint = |why| (why, "add the account first, or write its number".to_string());
        let user = own.user.as_ref().map(|user| self.accounts.uid(user)).transpose();
        let group = own.group.as_ref().map(|group| self.accounts.gid(group)).transpose();
        let (user, group) = (user.map_err(hint)?, group.map_err(hint)?);
        let declared_mode = own.mode.map(Mode::bits);
        let owner = Owner { uid: user.unwrap_or(default.uid), gid: group.unwrap_or(default.gid) };
        Ok(OwnerAndMode { owner, mode: declared_mode.unwrap_or(mode), user, group, declared_mode })
    }

    /// Whose a directory is that has to be made for `one`. `other` is the same directory on the
    /// other side, if there is one.
    pub(crate) fn for_parent(
        &self,
        dir: &TreePath,
        other: Option<&TreePath>,
        one: &ResolvedEntry,
    ) -> Result<OwnerAndMode, WhyAndHint> {
        if let Some(explicit) = self.explicit.get(dir) {
            return self.of(explicit);
        }
        let home = self.is_in_home(dir, one);
        let default = if home { self.default_owner(one)? } else { ROOT };
        let mode = if home { PRIVATE_DIR_MODE } else { DIR_MODE };
        if let Some(declaring) = self.parents.get(dir) {
            return self.with_declared(&declaring.entry.parent, default, mode);
        }
        if let Some((owner, mode)) = self.owner_of_model(dir, default, one) {
            return Ok(undeclared(owner, mode));
        }
        let known = other.into_iter().chain([dir]).find_map(known_state::parent_mode);
        Ok(undeclared(default, known.unwrap_or(mode)))
    }

    /// Whether a directory is a user's home or lies in it, on either side.
    fn is_in_home(&self, dir: &TreePath, one: &ResolvedEntry) -> bool {
        let Some(home) = &one.entry.home else { return false };
        if dir.is_within(&home.path) {
            return true;
        }
        let Some(stored) = dir.below(&one.entry.storage) else { return false };
        // The storage itself is nobody's home.
        stored.depth() > 0 && stored.is_within(&home.data)
    }
}

/// Whether it is on a user's own list, which nobody puts in force as root.
fn is_on_users_list(one: &ResolvedEntry) -> bool {
    one.entry.home.as_ref().is_some_and(|home| home.uid.is_some())
}

fn undeclared(owner: Owner, mode: u16) -> OwnerAndMode {
    OwnerAndMode { owner, mode, user: None, group: None, declared_mode: None }
}
