//! Whether live and blank are of one system: one was made of the other, or a file beside the old roots
//! says so.
//!
//! The file is written where the file system cannot tell it: a blank was made from nothing, or somebody
//! has adopted one. It names both trees by identity, so that it says nothing of any other.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use dirfd::atomic_file;
use dirfd::error::describe;
use dirfd::path::Escaped;
use serde::{Deserialize, Serialize};

use crate::{OldRoot, Survey, TreeId};

/// Its name in the directory of old roots.
pub const NAME: &str = "adopted";
const VERSION: u32 = 2;

/// What [`write`] does, for errors.
pub(crate) const ACTION: &str = "write down which blank live belongs to";

/// What is known of live and blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kinship {
    /// One of them was made of the other, by the file system's own account.
    Proven,
    /// It is written down that they belong together.
    Recorded,
    /// Neither was made of the other, and nothing says that they belong together. If what is written
    /// down could not be read, this says why.
    Unrelated(Option<String>),
    /// It cannot be told: one of them is not there, or nobody may look.
    Unknown,
}

/// What is written down of one system: these belong to this blank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adoption {
    blank: TreeId,
    /// Trees that are live, or are about to be.
    live: Vec<TreeId>,
}

/// The content of the file. More than one system may have its old roots here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adoptions {
    /// The version of this format: 2.
    version: u32,
    adoptions: Vec<Adoption>,
}

/// What was found at its name, nothing where there is no file; an error says in one line why it cannot be
/// read.
pub type Found = Result<Option<Adoptions>, String>;

impl Adoptions {
    /// Reads its text; the error says what is wrong with it, in one line.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        // The message may quote the text.
        let adoptions: Self = serde_json::from_slice(text)
            .map_err(|e| Escaped(e.to_string().as_bytes()).to_string())?;
        if adoptions.version != VERSION {
            return Err(format!("it has version {}, and this program knows 2", adoptions.version));
        }
        Ok(adoptions)
    }

    /// Says that `live` belong to `blank`, in place of what was said of any of these.
    fn add(&mut self, blank: &TreeId, live: &[&TreeId]) {
        self.adoptions.retain(|known| {
            known.blank != *blank && !known.live.iter().any(|known| live.contains(&known))
        });
        let live = live.iter().map(|id| (*id).clone()).collect();
        self.adoptions.push(Adoption { blank: blank.clone(), live });
    }

    fn say(&self, live: &TreeId, blank: &TreeId) -> bool {
        self.adoptions.iter().any(|known| known.blank == *blank && known.live.contains(live))
    }
}

impl Default for Adoptions {
    fn default() -> Self {
        Self { version: VERSION, adoptions: Vec::new() }
    }
}

/// What is known where the file system tells nothing: what is written down.
pub(crate) fn recorded(found: &Found, live: &TreeId, blank: &TreeId) -> Kinship {
    match found {
        Ok(Some(adoptions)) if adoptions.say(live, blank) => Kinship::Recorded,
        Ok(_) => Kinship::Unrelated(None),
        Err(why) => Kinship::Unrelated(Some(why.clone())),
    }
}

/// The old roots of other systems, which may keep theirs in the same directory: those that were another live
/// by their records, and those of which nothing says that they are of the system of live, where the file
/// system tells what is a copy of what.
///
/// Then an old root is of this system if it was live itself, if it was replaced by a blank of this system, or
/// if something of this system is a copy of it.
pub fn of_other_systems(survey: &Survey) -> HashSet<&TreeId> {
    let (named, roots): (Vec<&OldRoot>, Vec<&OldRoot>) =
        survey.old_roots.iter().partition(|old| survey.is_of_other(&old.record));
    let mut found: HashSet<&TreeId> = named.into_iter().map(|old| &old.tree.id).collect();
    if !survey.tells_copies {
        return found;
    }
    let related = !matches!(survey.kinship, Kinship::Unrelated(_));
    let blank = survey.blank.tree().filter(|_| related);
    let seeds = survey.live.tree().into_iter().chain(blank);
    let mut ours: HashSet<&TreeId> =
        seeds.flat_map(|tree| [Some(&tree.id), tree.copy_of.as_ref()]).flatten().collect();
    let mut others = roots;
    loop {
        let is_ours =
            |old: &&OldRoot| ours.contains(&old.tree.id) || ours.contains(&old.record.blank);
        let (joined, rest): (Vec<&OldRoot>, Vec<&OldRoot>) = others.into_iter().partition(is_ours);
        others = rest;
        if joined.is_empty() {
            found.extend(others.into_iter().map(|old| &old.tree.id));
            return found;
        }
        for old in joined {
            ours.extend([&old.tree.id, &old.record.blank].into_iter().chain(&old.tree.copy_of));
        }
    }
}

/// All others, the oldest first: those of the system of live.
pub fn own_old_roots(survey: &Survey) -> Vec<&OldRoot> {
    let others = of_other_systems(survey);
    survey.old_roots.iter().filter(|old| !others.contains(&old.tree.id)).collect()
}

/// Reads it in `old`, the open directory of old roots, whose listing has its name.
pub(crate) fn read(old: BorrowedFd<'_>) -> Found {
    let text = atomic_file::read(old, Path::new(NAME)).map_err(|e| describe(&e))?;
    Adoptions::parse(&text).map(Some)
}

/// Writes it, in place of what was said of these, or of what cannot be read; durable when this returns.
pub(crate) fn write(old: BorrowedFd<'_>, blank: &TreeId, live: &[&TreeId]) -> io::Result<()> {
    let mut adoptions = read(old).ok().flatten().unwrap_or_default();
    adoptions.add(blank, live);
    let text = serde_json::to_vec_pretty(&adoptions)?;
    atomic_file::replace(old, OsStr::new(NAME), &text, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Record, Slot, Tree};
    use dirfd::TreeName;

    #[test]
    fn it_speaks_of_the_very_trees_that_it_names() {
        let [live, next, blank, other] = ["a", "b", "c", "d"].map(TreeId::new);
        let mut adoptions = Adoptions::default();
        adoptions.add(&blank, &[&live, &next]);
        let found: Found = Ok(Some(adoptions));
        for (live, blank, kinship) in [
            (&live, &blank, Kinship::Recorded),
            (&next, &blank, Kinship::Recorded),
            (&other, &blank, Kinship::Unrelated(None)),
            (&live, &other, Kinship::Unrelated(None)),
        ] {
            assert_eq!(recorded(&found, live, blank), kinship, "{live} {blank}");
        }
        assert_eq!(recorded(&Ok(None), &live, &blank), Kinship::Unrelated(None));
        let why = Kinship::Unrelated(Some("x".into()));
        assert_eq!(recorded(&Err("x".into()), &live, &blank), why);
    }

    #[test]
    fn what_is_said_of_one_system_leaves_what_is_said_of_another() {
        let ids = ["live", "blank", "other live", "other blank", "next", "new blank"];
        let [live, blank, other, other_blank, next, new_blank] = ids.map(TreeId::new);
        let mut adoptions = Adoptions::default();
        adoptions.add(&blank, &[&live]);
        adoptions.add(&other_blank, &[&other]);
        assert!(adoptions.say(&live, &blank) && adoptions.say(&other, &other_blank));
        // The same live with a new blank, and the same blank with the next live.
        adoptions.add(&new_blank, &[&live]);
        adoptions.add(&other_blank, &[&other, &next]);
        assert!(adoptions.say(&live, &new_blank) && !adoptions.say(&live, &blank));
        assert_eq!(adoptions.adoptions.len(), 2);
    }

    #[test]
    fn old_roots_are_of_this_system_as_far_as_copies_and_records_lead() {
        let tree = |id: &str, of: Option<&str>| Tree {
            id: TreeId::new(id),
            name: TreeName::new(format!("old/{id}")).unwrap(),
            read_only: false,
            created: None,
            copy_of: of.map(TreeId::new),
            pristine: None,
        };
        let old = |id: &str, of: Option<&str>, blank: &str| {
            let [live, blank] = [id, blank].map(TreeId::new);
            let time = chrono::DateTime::UNIX_EPOCH;
            let record = Record::next(&[], "a", time, live, blank);
            OldRoot::new(tree(id, of), record)
        };
        let survey = Survey {
            tells_copies: true,
            kinship: Kinship::Proven,
            old_roots: vec![
                // The first live, and one that a blank before the last took the place of.
                old("l0", None, "b1"),
                old("l1", Some("b1"), "b1"),
                // The last blank was made of it.
                old("l2", Some("b1"), "b2"),
                // Of the same image as the first live, but another system.
                old("x0", Some("image"), "xb"),
                old("x1", Some("xb"), "xb"),
            ],
            ..Survey::new(
                "x",
                Slot::Present(tree("l3", Some("b2"))),
                Slot::Present(tree("b2", Some("l2"))),
            )
        };
        let named = |survey: &Survey| {
            let mut ids: Vec<String> =
                of_other_systems(survey).iter().map(ToString::to_string).collect();
            ids.sort();
            ids
        };
        assert_eq!(named(&survey), ["x0", "x1"]);
        let foreign = Slot::Present(tree("xb", Some("x0")));
        let kinship = Kinship::Unrelated(None);
        let unrelated = Survey { blank: foreign, kinship, ..survey.clone() };
        assert_eq!(named(&unrelated), ["x0", "x1"]);
        let untold = Survey { tells_copies: false, ..survey };
        assert!(named(&untold).is_empty());
        // One that was another live that is still there, and one whose live has another name by now.
        let mut by_name = untold;
        let [other, former] = ["other", "former"].map(|name| TreeName::new(name).unwrap());
        let set_name = |old: &mut OldRoot, name| old.record.live_name = Some(format!("{name}"));
        set_name(&mut by_name.old_roots[0], &other);
        set_name(&mut by_name.old_roots[1], &former);
        by_name.other_lives = vec![other];
        assert_eq!(named(&by_name), ["l0"]);
    }

    #[test]
    fn it_survives_its_own_text_and_refuses_others() {
        let mut adoptions = Adoptions::default();
        adoptions.add(&TreeId::new("a"), &[&TreeId::new("b")]);
        let text = serde_json::to_vec(&adoptions).unwrap();
        assert_eq!(Adoptions::parse(&text), Ok(adoptions));
        for bad in [&b""[..], b"{}", b"\xff", b"{\"version\":1}"] {
            let why = Adoptions::parse(bad).unwrap_err();
            assert!(why.lines().count() <= 1, "{why}");
        }
    }
}
