//! Plans the side of an entry that is seen on the machine: the mount or the link, and what it needs.

use dirfd::{FileType, TreePath};

use crate::config::entry::{EntryKind, PlacementMethod};
use crate::persist::WhyAndHint;
use crate::persist::mount_options::MountOptions;
use crate::persist::observed::{FoundFile, HiddenContent, PathState};
use crate::persist::owners::OwnerAndMode;
use crate::persist::plan::{Adopt, Planner, unreadable_place};
use crate::persist::resolve::ResolvedEntry;
use crate::persist::step::{ApplyStep, FileFingerprint, FileSpec, Owner};

impl Planner<'_> {
    /// Makes the place, and mounts or links what is in storage to it.
    pub(crate) fn plan_target(
        &mut self,
        one: &ResolvedEntry,
        how: PlacementMethod,
    ) -> Result<(), WhyAndHint> {
        let options = MountOptions::of(&one.entry)?;
        if let Some(found) = self.file_at(&one.seen_at).filter(|found| found.mounted.is_some()) {
            return self.check_mounted(one, &found.clone(), how, options);
        }
        let here = match self.state_of(&one.made_at) {
            PathState::Unreadable(why, hint) => {
                return Err(unreadable_place(why, hint.as_deref()));
            }
            PathState::Absent => None,
            PathState::Present(found) => Some(found.clone()),
        };
        if let Some(target) = here.as_ref().and_then(|found| found.target.as_ref()) {
            let leads_there = leads_to(target, one);
            match (one.entry.fixed_placement(), how) {
                (None, _) | (Some(PlacementMethod::Symlink), _) if leads_there => return Ok(()),
                (_, PlacementMethod::Bind) if leads_there => {
                    self.push_cover(one, target.clone(), options);
                    return Ok(());
                }
                _ => {}
            }
        }
        match how {
            PlacementMethod::Symlink => self.plan_link(one, here.as_ref()),
            PlacementMethod::Bind => {
                self.plan_mount_point(one, here.as_ref())?;
                self.push_bind(one, options);
                Ok(())
            }
        }
    }

    /// Makes a mount of a link that leads to the data.
    fn push_cover(&mut self, one: &ResolvedEntry, target: Vec<u8>, options: MountOptions) {
        let (link, source) = (one.made_at.clone(), one.source.clone());
        if self.asked.mounts {
            let (spec, path) = (self.placeholder(one), one.seen_at.clone());
            let step = ApplyStep::Cover { link, target, spec, source, path, options };
            self.plan.steps.push(step);
        } else {
            self.plan.steps.push(ApplyStep::Unlink { path: link.clone(), target, source });
            self.make_place(one, link);
        }
    }

    /// What to do about something that is mounted there already.
    fn check_mounted(
        &mut self,
        one: &ResolvedEntry,
        found: &FoundFile,
        how: PlacementMethod,
        options: MountOptions,
    ) -> Result<(), WhyAndHint> {
        let path = &one.seen_at;
        let stored = self.file_at(&one.source);
        if !stored.is_some_and(|stored| stored.stat.is_same_file(&found.stat)) {
            if self.is_this_boots_identity(one, found) {
                return Ok(());
            }
            let why = format!("something other than {} is mounted at {path}", one.source);
            let hint = format!(
                "see what it is with `findmnt {path}`: what has a file system of its own survives already, so \
                 remove the entry; anything else has to be moved to {} before it is unmounted",
                one.source
            );
            return Err((why, hint));
        }
        if how == PlacementMethod::Symlink && one.entry.how.is_some() {
            let why = format!("it is declared a link, but {} is mounted there", one.source);
            return Err((why, format!("run `umount {path}`, and then this again")));
        }
        if !self.asked.mounts {
            return Ok(());
        }
        if !found.mounted.is_some_and(|flags| options.are_in_force(flags)) {
            self.plan.steps.push(ApplyStep::SetOptions { path: path.clone(), options });
        } else if !options.user.is_empty() {
            self.plan.mounted.push((path.clone(), options));
        }
        Ok(())
    }

    fn push_bind(&mut self, one: &ResolvedEntry, options: MountOptions) {
        if self.asked.mounts {
            let (source, path) = (one.source.clone(), one.seen_at.clone());
            self.plan.steps.push(ApplyStep::Bind { source, path, options });
        }
    }

    /// Sees to it that there is something to mount over.
    fn plan_mount_point(
        &mut self,
        one: &ResolvedEntry,
        here: Option<&FoundFile>,
    ) -> Result<(), WhyAndHint> {
        let path = one.made_at.clone();
        let Some(found) = here else {
            if !self.made.contains_key(&path) {
                self.make_parents(&path, &one.source, one)?;
                self.make_place(one, path);
            }
            return Ok(());
        };
        if found.content == HiddenContent::Data {
            return Err(occupied_by_data(one, found, self.file_at(&one.source)));
        }
        if !is_of_declared_kind(one, found) {
            let spec = self.placeholder(one);
            let removable = removable_fingerprint(found);
            self.plan.steps.push(ApplyStep::Replace { path, spec, removable });
        }
        Ok(())
    }

    fn plan_link(
        &mut self,
        one: &ResolvedEntry,
        here: Option<&FoundFile>,
    ) -> Result<(), WhyAndHint> {
        let path = one.made_at.clone();
        let spec = link_to_data(one);
        let Some(found) = here else {
            self.make_parents(&path, &one.source, one)?;
            self.plan.steps.push(ApplyStep::Make { path, spec, attributes: None });
            return Ok(());
        };
        if found.content == HiddenContent::Data {
            return Err(occupied_by_data(one, found, self.file_at(&one.source)));
        }
        self.plan.steps.push(ApplyStep::Replace {
            path,
            spec,
            removable: removable_fingerprint(found),
        });
        Ok(())
    }

    fn make_place(&mut self, one: &ResolvedEntry, path: TreePath) {
        let spec = self.placeholder(one);
        let (FileSpec::Dir(owner, mode) | FileSpec::File(owner, mode)) = spec else { return };
        let ownership = OwnerAndMode { owner, mode, user: None, group: None, declared_mode: None };
        // What covers it has them.
        self.plan.steps.push(ApplyStep::Make { path: path.clone(), spec, attributes: None });
        self.made.insert(path, ownership);
    }

    /// An empty place with the owner and mode of what will cover it, so that both sides agree.
    fn placeholder(&self, one: &ResolvedEntry) -> FileSpec {
        let planned = self.made.get(&one.source).map(|ownership| (ownership.owner, ownership.mode));
        let stored = self.file_at(&one.source).map(|found| {
            let facts = &found.stat.facts;
            (Owner { uid: facts.uid, gid: facts.gid }, facts.mode)
        });
        let (owner, mode) = planned.or(stored).unwrap_or((Owner { uid: 0, gid: 0 }, 0o700));
        match one.entry.kind {
            EntryKind::Dir => FileSpec::Dir(owner, mode),
            EntryKind::File => FileSpec::File(owner, mode),
        }
    }

    /// Whether what is at the place is to become what storage has: data that nothing else has if
    /// that was asked for, and what blank has where storage has nothing yet.
    pub(crate) fn is_to_adopt(&self, one: &ResolvedEntry, how: PlacementMethod) -> bool {
        let stored = self.file_at(&one.source);
        let nothing_yet = stored.is_none_or(|stored| stored.content == HiddenContent::Empty);
        if let Some(seen) = self.file_at(&one.seen_at).filter(|seen| seen.mounted.is_some()) {
            let other = !stored.is_some_and(|stored| stored.stat.is_same_file(&seen.stat));
            return one.is_identity() && other && nothing_yet;
        }
        self.file_at(&one.made_at).is_some_and(|found| {
            let links = found.target.as_ref().is_some_and(|target| leads_to(target, one));
            match found.content {
                HiddenContent::Data if links => false,
                // There is no other that it could be.
                HiddenContent::Data | HiddenContent::AsInBlank
                    if one.is_identity() && nothing_yet =>
                {
                    is_of_declared_kind(one, found)
                }
                HiddenContent::Data => match self.asked.adopt {
                    Adopt::Nothing => false,
                    Adopt::Replaced => {
                        let is_file = found.stat.facts.file_type == FileType::File;
                        let linked = how == PlacementMethod::Symlink || self.was_replaced(one);
                        stored.is_none() || (linked && is_file)
                    }
                    Adopt::Everything => true,
                },
                HiddenContent::AsInBlank => {
                    stored.is_none() && !links && is_of_declared_kind(one, found)
                }
                HiddenContent::Empty | HiddenContent::AsInStorage => false,
            }
        })
    }

    /// Whether this boot has linked a file of which nothing says so, and a program has put another in
    /// the place of the link: over a mount it could not, so that it stays a link.
    pub(crate) fn was_replaced(&self, one: &ResolvedEntry) -> bool {
        let noted = || self.observed.replaced.contains(&one.source);
        one.entry.fixed_placement().is_none()
            && (self.observed.linked.contains(&one.entry.path) || noted())
    }

    /// Moves what is at the place into storage, and goes on from there.
    pub(crate) fn plan_adoption(
        &mut self,
        one: &ResolvedEntry,
        ownership: OwnerAndMode,
        how: PlacementMethod,
    ) -> Result<(), WhyAndHint> {
        let Some(found) = self.file_at(&one.made_at).cloned() else { return Ok(()) };
        if !is_of_declared_kind(one, &found) {
            return Err(occupied_by_data(one, &found, self.file_at(&one.source)));
        }
        let is_declared = [ownership.user, ownership.group].iter().any(Option::is_some)
            || ownership.declared_mode.is_some();
        // The copy would have one name alone, and nothing would tell whose file it was.
        if is_declared && found.stat.facts.file_type == FileType::File && found.stat.links > 1 {
            let path = &one.made_at;
            let why =
                format!("{path} has another name somewhere, and an owner or mode is declared");
            return Err((
                why,
                format!("see what {path} is, and copy it to {} by hand", one.source),
            ));
        }
        let options = MountOptions::of(&one.entry)?;
        let sets_aside = match self.state_of(&one.source) {
            PathState::Absent => false,
            PathState::Present(_) => true,
            PathState::Unreadable(why, hint) => {
                return Err(unreadable_place(why, hint.as_deref()));
            }
        };
        if !sets_aside {
            self.make_parents(&one.source, &one.entry.path, one)?;
        }
        let (path, source) = (one.made_at.clone(), one.source.clone());
        self.adopted.push((source.clone(), path.clone()));
        self.plan.steps.push(ApplyStep::Adopt { path: path.clone(), source, sets_aside });
        // The copy has no other name, whatever the original has.
        let mut copy = found;
        copy.stat.links = 1;
        self.plan_owner_and_mode(one, &copy, ownership)?;
        if how == PlacementMethod::Symlink {
            let spec = link_to_data(one);
            // What was copied is in storage by then.
            let removable =
                Some(FileFingerprint::of(&copy.stat)).filter(|_| one.entry.kind == EntryKind::File);
            self.plan.steps.push(ApplyStep::Replace { path, spec, removable });
        } else {
            self.push_bind(one, options);
        }
        if self.was_replaced(one) {
            let (source, path) = (one.source.clone(), one.entry.path.clone());
            self.plan.steps.push(ApplyStep::Remember { source, path });
        }
        Ok(())
    }
}

/// What holds nothing that would be lost. A directory with content is left to the next rollback.
fn removable_fingerprint(found: &FoundFile) -> Option<FileFingerprint> {
    let whole =
        found.stat.facts.file_type == FileType::Dir && found.content != HiddenContent::Empty;
    (found.content != HiddenContent::Data && !whole).then(|| FileFingerprint::of(&found.stat))
}

/// Whether something is of the kind that was declared.
fn is_of_declared_kind(one: &ResolvedEntry, found: &FoundFile) -> bool {
    match one.entry.kind {
        EntryKind::Dir => found.stat.facts.file_type == FileType::Dir,
        EntryKind::File => found.stat.facts.file_type == FileType::File,
    }
}

fn occupied_by_data(
    one: &ResolvedEntry,
    found: &FoundFile,
    stored: Option<&FoundFile>,
) -> WhyAndHint {
    let word = match found.stat.facts.file_type {
        FileType::Dir => "directory",
        other => other.word(),
    };
    let path = &one.made_at;
    let other = match stored {
        Some(_) => format!("and {} has data of its own", one.source),
        None => format!("and {} is not there yet", one.source),
    };
    let why = format!("{path} is a {word} with data that nothing else has, {other}");
    let hint = match stored {
        Some(_) => format!(
            "compare the two, then remove {path}, or run `blankroot apply --adopt`, which takes it \
             and leaves what storage has beside it"
        ),
        None => "run `blankroot apply --adopt` to move it into storage".to_string(),
    };
    (why, hint)
}

/// Whether a link leads to an entry's data, from where it is seen.
pub(crate) fn leads_to(target: &[u8], one: &ResolvedEntry) -> bool {
    is_link_to(&one.source, &one.seen_at, target)
}

/// Whether a link at `link` that says `target` leads to `source`.
pub(crate) fn is_link_to(source: &TreePath, link: &TreePath, target: &[u8]) -> bool {
    target == relative_path(link, source).as_slice()
        || target
            .strip_prefix(b"/")
            .is_some_and(|path| TreePath::parse(path).is_ok_and(|path| path == *source))
}

fn link_to_data(one: &ResolvedEntry) -> FileSpec {
    FileSpec::Link { target: relative_path(&one.seen_at, &one.source), source: one.source.clone() }
}

/// The way from the directory that holds `link` to `target`: so the link is right wherever live is
/// mounted. No directory on the way to `link` may be a link itself.
pub(crate) fn relative_path(link: &TreePath, target: &TreePath) -> Vec<u8> {
    let dir = link.parent().unwrap_or_default();
    let common = std::iter::successors(Some(dir.clone()), TreePath::parent)
        .find(|dir| target.is_within(dir) && target != dir)
        .unwrap_or_default();
    let up = dir.depth() - common.depth();
    let down = target.below(&common).unwrap_or_default();
    [b"../".repeat(up).as_slice(), down.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_goes_up_no_further_than_it_must() {
        for (link, target, says) in [
            ("/etc/x", "/persist/etc/x", "../persist/etc/x"),
            ("/x", "/persist/x", "persist/x"),
            ("/home/a/.zshrc", "/home/a/dotfiles/zsh/.zshrc", "dotfiles/zsh/.zshrc"),
            ("/home/a/.config/k", "/home/a/dotfiles/k", "../dotfiles/k"),
        ] {
            let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap_or_default();
            let found = relative_path(&path(link), &path(target));
            assert_eq!(String::from_utf8_lossy(&found), says, "{link}");
        }
    }
}
