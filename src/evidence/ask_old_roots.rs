//! Asks old roots about the changes of live, by their digests: which class each has, and which come back by
//! themselves.

use std::os::fd::{AsFd, BorrowedFd};

use backends::old_root_files::{has_digests, read_digest};
use backends::{Backend, OldRoot, Tree};
use dirfd::lookup_in_order::LookupInOrder;
use dirfd::{ChangeKind, Changes, Error, Facts, Result};

use crate::diff::classify::{Verdict, Verdicts};
use crate::evidence::classes::{Classes, Version};
use crate::evidence::digest::Digest;
use crate::evidence::make_digest::read_changed;
use crate::evidence::regenerated::{Question, find_regenerated};

/// The digests of the youngest old roots of `live`, as many as `most`, the youngest first. An old root without a
/// digest against this blank is passed over, and so is a digest that was cut.
pub(crate) fn read_digests(
    backend: &dyn Backend,
    blank: &Tree,
    live: &Tree,
    most: usize,
    mut see: impl FnMut(&Digest),
) -> Result<()> {
    let Some(old_dir) = (match most {
        0 => None,
        _ => backend.old_dir()?,
    }) else {
        return Ok(());
    };
    if !has_digests(old_dir.as_fd())? {
        return Ok(());
    }
    let old_roots = backend.old_roots()?;
    let own = old_roots.iter().rev().filter(|old_root| is_of(old_root, live));
    let digests = own.filter_map(|old_root| read_digest_of(old_dir.as_fd(), old_root, blank));
    digests.filter(|digest| digest.header().cut.is_none()).take(most).for_each(|d| see(&d));
    Ok(())
}

/// The digest of an old root against this blank; `None` if there is none that can be believed.
pub(crate) fn read_digest_of(
    old_dir: BorrowedFd<'_>,
    old_root: &OldRoot,
    blank: &Tree,
) -> Option<Digest> {
    // One that cannot be read is none: it is a cache.
    let bytes = read_digest(old_dir, old_root).ok()??;
    let digest = Digest::decode(&bytes).ok()?;
    let header = digest.header();
    (header.tree == old_root.tree.id && header.blank == blank.id).then_some(digest)
}

/// Whether an old root was this live, by its name; one without a word of that is.
pub(crate) fn is_of(old_root: &OldRoot, live: &Tree) -> bool {
    old_root.record.live_name.as_ref().is_none_or(|name| *name == live.name.to_string())
}

/// The class of each change, and which strays are regenerated, which `verdicts` then say. `mtime_counts` tells
/// of a path whether the time of writing is what it is there for.
pub(crate) fn ask_old_roots(
    backend: &dyn Backend,
    (blank, live): (&Tree, &Tree),
    changes: &Changes,
    verdicts: &mut Verdicts,
    (most, mtime_counts): (usize, impl Fn(&[u8]) -> bool),
) -> Result<Classes> {
    let mut classes = Classes::new(changes);
    read_digests(backend, blank, live, most, |digest| classes.add(changes, digest))?;
    if classes.boots() == 0 {
        return Ok(classes);
    }
    classes.regard_mtimes(changes, mtime_counts);
    let view = backend.view(live)?;
    let lookup = LookupInOrder::new(view.as_fd())
        .map_err(|why| Error::io(format!("read what is in {}", live.name), why))?;
    let mut question = InLive { verdicts, lookup, buffer: Vec::new() };
    let regenerated = find_regenerated(changes, &classes, &mut question);
    let rule = match classes.boots() {
        1 => "the last old root has the same".to_string(),
        boots => format!("the last {boots} old roots have the same"),
    };
    verdicts.mark_regenerated(&regenerated, rule);
    Ok(classes)
}

/// Live, open for reading.
struct InLive<'a> {
    verdicts: &'a Verdicts,
    lookup: LookupInOrder<'a>,
    buffer: Vec<u8>,
}

impl Question for InLive<'_> {
    fn is_stray(&self, at: usize) -> bool {
        self.verdicts.get(at) == Some(Verdict::Stray)
    }

    fn version_in_live(&mut self, path: &[u8], kind: ChangeKind, facts: &Facts) -> Version {
        let (content, target) = read_changed(&mut self.lookup, path, kind, &mut self.buffer);
        Version::new(kind, *facts, content, &target)
    }
}
