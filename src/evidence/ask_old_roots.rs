//! Asks old roots about the changes of live, by their digests: which class each has, and which come back by
//! themselves.

use std::os::fd::{AsFd, BorrowedFd};

use backends::old_root_files::{has_digests, read_digest};
use backends::{Backend, OldRoot, Tree, TreeId, kinship};
use dirfd::error::describe;
use dirfd::path::Escaped;
use dirfd::{ChangeKind, Changes, Error, Result};

use crate::diff::classify::{Verdict, Verdicts};
use crate::evidence::classes::{Class, Classes};
use crate::evidence::digest::Digest;
use crate::evidence::read_files::{ChangedFile, read_files};
use crate::evidence::regenerated::find_candidates;

/// Which old roots are asked about a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AskedRoots {
    /// Maximum number of them.
    pub(crate) most: usize,
    /// The youngest that is asked; `None`: the youngest that there is.
    pub(crate) from: Option<TreeId>,
    /// Whether a digest that cannot be read is an error. Otherwise it is passed over: it is a cache.
    pub(crate) all_must_answer: bool,
}

impl AskedRoots {
    /// The youngest ones.
    pub(crate) fn last(most: usize) -> Self {
        Self { most, from: None, all_must_answer: false }
    }

    /// The same, none of which may fail to answer.
    pub(crate) fn all_of_last(most: usize) -> Self {
        Self { all_must_answer: true, ..Self::last(most) }
    }

    /// Whether this old root is not the one from which on they are asked.
    pub(crate) fn begins_later(&self, id: &TreeId) -> bool {
        self.from.as_ref().is_some_and(|from| from != id)
    }
}

/// Shows the digests of old roots to `see`, the youngest first, until that says `false`. An old root that has no digest
/// against this blank yet is passed over, and so is a digest that was cut.
pub(crate) fn read_digests(
    backend: &dyn Backend,
    blank: &Tree,
    asked: &AskedRoots,
    mut see: impl FnMut(Digest) -> bool,
) -> Result<()> {
    let old_dir = if asked.most > 0 { backend.old_dir()? } else { None };
    let Some(old_dir) = old_dir else { return Ok(()) };
    if !has_digests(old_dir.as_fd())? {
        return Ok(());
    }
    let survey = backend.survey_without_mounts()?;
    let own = kinship::own_old_roots(&survey).into_iter().rev();
    let own = own.skip_while(|old_root| asked.begins_later(&old_root.tree.id));
    let mut answered = 0;
    for old_root in own {
        if answered == asked.most {
            break;
        }
        let read = read_digest_of(old_dir.as_fd(), old_root, blank);
        let digest = match read {
            Ok(digest) => digest.filter(|digest| digest.header().cut.is_none()),
            Err(why) if asked.all_must_answer => {
                let name = Escaped(old_root.record.name.as_bytes()).to_string();
                return Err(unreadable(&format!("the old root {name}"), why));
            }
            Err(_) => None,
        };
        if let Some(digest) = digest {
            answered += 1;
            if !see(digest) {
                break;
            }
        }
    }
    Ok(())
}

/// Of `what` nobody can say what it had.
pub(crate) fn unreadable(what: &str, why: String) -> Error {
    let hint = "`blankroot expire` makes digests anew that cannot be read";
    Error::new(format!("ask what {what} had"), format!("its digest cannot be read: {why}"))
        .hint(hint)
}

/// The digest of an old root against this blank; `None` if there is none, or of another blank. The error says why it
/// cannot be believed, in one line.
pub(crate) fn read_digest_of(
    old_dir: BorrowedFd<'_>,
    old_root: &OldRoot,
    blank: &Tree,
) -> std::result::Result<Option<Digest>, String> {
    let bytes = read_digest(old_dir, old_root).map_err(|why| describe(&why))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let digest = Digest::decode(&bytes)?;
    let header = digest.header();
    if header.tree != old_root.tree.id {
        return Err("it is of another tree".to_string());
    }
    Ok((header.blank == blank.id).then_some(digest))
}

/// The class of each change, and which strays are regenerated, which `verdicts` then say, by the digests of the
/// youngest old roots. `mtime_counts` tells of a path whether the time of writing is what it is there for, `is_of_running`
/// with its user whether it is there only while the machine runs. `None` if there are no digests.
pub(crate) fn ask_old_roots(
    backend: &dyn Backend,
    live: &Tree,
    changes: &Changes,
    verdicts: &mut Verdicts,
    digests: impl IntoIterator<Item = Result<Digest>>,
    mtime_counts: impl Fn(&[u8]) -> bool,
    is_of_running: impl Fn(&[u8], u32) -> bool,
) -> Result<Option<Classes>> {
    let mut asked = None;
    // One at a time: they may be large. Without any, nothing is made of the changes.
    for digest in digests {
        asked.get_or_insert_with(|| Classes::new(changes)).add(changes, &digest?);
    }
    let Some(mut classes) = asked else { return Ok(None) };
    classes.regard_mtimes(changes, mtime_counts);
    let of_running = find_of_running(changes, &classes, verdicts, is_of_running);
    verdicts.mark_regenerated(&of_running, "it is there only while the machine runs".to_string());
    let is_stray = |at| verdicts.get(at) == Some(Verdict::Stray);
    let candidates = find_candidates(changes, &classes, is_stray);
    let files: Vec<&ChangedFile> = candidates.iter().map(|one| &one.file).collect();
    let view = backend.view(live)?;
    let held = read_files(backend, (live, view.as_fd()), &files)?;
    let same = candidates.iter().zip(&held).filter(|(one, held)| one.is_regenerated(held));
    let regenerated: Vec<usize> = same.map(|(one, _)| one.at).collect();
    let rule = match classes.boots() {
        1 => "the last old root has the same".to_string(),
        boots => format!("the last {boots} old roots have the same"),
    };
    verdicts.mark_regenerated(&regenerated, rule);
    Ok(Some(classes))
}

/// The places of strays that no old root has because each was set aside when nothing ran any more.
fn find_of_running(
    changes: &Changes,
    classes: &Classes,
    verdicts: &Verdicts,
    is_of_running: impl Fn(&[u8], u32) -> bool,
) -> Vec<usize> {
    let mut found = Vec::new();
    let (mut cursor, mut at) = (changes.cursor(), 0);
    while let Some((path, kind, facts)) = cursor.next_row() {
        let may_be = kind == ChangeKind::Added
            && classes.class(at) == Some(Class::New)
            && verdicts.get(at) == Some(Verdict::Stray);
        if may_be && is_of_running(path, facts.uid) {
            found.push(at);
        }
        at += 1;
    }
    found
}
