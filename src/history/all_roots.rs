//! All roots that there were and are, with a digest of each: the one that is there, or one that is made on the way.
//! Of a root that starts empty they are its boots.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use backends::{Backend, Life, OldRoot, Tree, TreeId, kinship};
use chrono::{DateTime, Utc};
use dirfd::{Changes, Error, Result, TreePath};

use crate::config::Config;
use crate::diff::{diff_trees, list_everything};
use crate::evidence::ask_old_roots::read_digest_of;
use crate::evidence::digest::Digest;
use crate::evidence::make_digest::{changes_within, digest_of_changes, make_digest};
use crate::evidence::stored_digests::{empty_tree, read_all_boots};
use crate::history::path_versions::{PathHistory, RootOfHistory, VersionCounter};
use crate::history::root_lives::{LossFinder, RootLife};
use crate::ui::progress::ProgressCounter;

/// All roots that there were and are, with what reading them needs.
pub(crate) struct AllRoots<'a> {
    backend: &'a dyn Backend,
    config: &'a Config,
    live: Tree,
    before: Before<'a>,
}

/// The roots before live.
enum Before<'a> {
    OldRoots {
        /// The tree that all others are compared with.
        blank: Tree,
        /// Those of this system, the oldest first.
        old_roots: Vec<OldRoot>,
        /// The directory that they are in.
        old_dir: Option<OwnedFd>,
    },
    /// Boots of a root that starts empty, by the digests that they left in a storage of this host.
    Boots(&'a Path),
}

/// A root before live.
#[derive(Debug)]
pub(crate) struct FormerRoot {
    pub(crate) name: String,
    began: Option<DateTime<Utc>>,
    /// When it was set aside.
    pub(crate) ended: Option<DateTime<Utc>>,
    /// Whether its digest was there, so that `diff` asks it too.
    has_digest: bool,
    /// `None` of a boot, of which nothing is left.
    pub(crate) tree: Option<Tree>,
}

/// What each root had at some paths.
pub(crate) struct Histories {
    /// The roots, the oldest first, live last.
    pub(crate) of: Vec<RootOfHistory>,
    /// One for each path, in their order.
    pub(crate) of_paths: Vec<PathHistory>,
    /// The digests of the youngest roots before live that have a whole one, the youngest first.
    pub(crate) last_digests: Vec<Digest>,
}

impl<'a> AllRoots<'a> {
    /// The tree that all others are compared with; `None` where the root starts empty.
    pub(crate) fn blank(&self) -> Option<&Tree> {
        match &self.before {
            Before::OldRoots { blank, .. } => Some(blank),
            Before::Boots(_) => None,
        }
    }

    /// The root of now.
    pub(crate) fn live(&self) -> &Tree {
        &self.live
    }

    /// Looks which there are. `host` is where storages are found.
    pub(crate) fn gather(
        backend: &'a dyn Backend,
        config: &'a Config,
        host: &'a Path,
    ) -> Result<Self> {
        let missing = |what: &str| {
            Error::new("tell the root's history", format!("{what} is missing"))
                .hint("look at `blankroot status`")
        };
        let survey = backend.survey_without_mounts()?;
        let live = survey.live.tree().ok_or_else(|| missing("live"))?.clone();
        let before = if backend.abilities().needs_rollback {
            let blank = survey.blank.tree().ok_or_else(|| missing("blank"))?.clone();
            let old_roots = kinship::own_old_roots(&survey).into_iter().cloned().collect();
            Before::OldRoots { blank, old_roots, old_dir: backend.old_dir()? }
        } else {
            Before::Boots(host)
        };
        Ok(Self { backend, config, live, before })
    }

    /// What differs in live.
    pub(crate) fn changes_in_live(&self) -> Result<Changes> {
        let progress = ProgressCounter::of_names("comparing");
        let tell = |count| progress.set(count);
        let found = match self.blank() {
            Some(blank) => diff_trees(self.backend, blank, &self.live, &tell)?,
            None => list_everything(self.backend, &self.live, &tell)?,
        };
        Ok(found.changes)
    }

    /// The names of all roots before live that can be told of, the oldest first.
    pub(crate) fn former_names(&self) -> Result<Vec<String>> {
        Ok(match &self.before {
            Before::OldRoots { old_roots, .. } => {
                old_roots.iter().map(|old_root| old_root.record.name.clone()).collect()
            }
            Before::Boots(host) => {
                read_all_boots(self.config, host)?.into_iter().rev().map(|(name, _)| name).collect()
            }
        })
    }

    /// Shows each root before live to `see`, the oldest first.
    pub(crate) fn go_through_former(&self, mut see: impl FnMut(FormerRoot, Digest)) -> Result<()> {
        match &self.before {
            Before::OldRoots { blank, old_roots, .. } => {
                let mut began_before = None;
                for old_root in old_roots {
                    let (name, ended) = (old_root.record.name.clone(), Some(old_root.record.time));
                    let began = old_root.tree.created.or(began_before);
                    let stored = self
                        .old_dir()
                        .and_then(|dir| read_digest_of(dir, old_root, blank).ok().flatten());
                    let has_digest = stored.is_some();
                    let digest = stored.map_or_else(|| self.make_digest(blank, old_root), Ok)?;
                    let tree = Some(old_root.tree.clone());
                    see(FormerRoot { name, began, ended, has_digest, tree }, digest);
                    began_before = ended;
                }
            }
            Before::Boots(host) => {
                for (name, digest) in read_all_boots(self.config, host)?.into_iter().rev() {
                    // It was written when the boot ended.
                    let ended = digest.header().boots.last().map(|boot| boot.time);
                    let (began, has_digest, tree) = (None, true, None);
                    see(FormerRoot { name, began, ended, has_digest, tree }, digest);
                }
            }
        }
        Ok(())
    }

    fn make_digest(&self, blank: &Tree, old_root: &OldRoot) -> Result<Digest> {
        let life = self.life(&old_root.tree);
        let progress = ProgressCounter::of_names("making a digest");
        let tell = |count| progress.set(count);
        make_digest(self.backend, blank, &old_root.tree, life, &tell)
    }

    fn old_dir(&self) -> Option<BorrowedFd<'_>> {
        match &self.before {
            Before::OldRoots { old_dir, .. } => old_dir.as_ref().map(AsFd::as_fd),
            Before::Boots(_) => None,
        }
    }

    fn life(&self, tree: &Tree) -> Option<Life> {
        // One that cannot be read tells nothing.
        Life::read(self.old_dir()?, &tree.id).ok().flatten()
    }

    /// What each root lost, the oldest first, and what live, whose changes are given, has to lose. The digest of each
    /// former root is shown to `see`.
    pub(crate) fn lives(
        &self,
        in_live: &Changes,
        mut see: impl FnMut(&Digest),
    ) -> Result<Vec<RootLife>> {
        let catalogue = self.config.catalogue();
        let mut finder = LossFinder::new(self.config, &catalogue);
        let (mut lives, mut ended_before) = (Vec::new(), None);
        self.go_through_former(|FormerRoot { name, began, ended, .. }, digest| {
            see(&digest);
            let boots = Some(digest.header().boots.len()).filter(|boots| *boots > 0);
            let (name, lost) = (Some(name), finder.judge(&digest.changes()).loss);
            finder.add_root(digest);
            lives.push(RootLife { name, began, ended, boots, lost });
            ended_before = ended;
        })?;
        let boots = match self.before {
            Before::OldRoots { .. } => self.life(&self.live).map(|life| life.boots.len()),
            // It ends with this one.
            Before::Boots(_) => Some(1),
        };
        let boots = boots.filter(|boots| *boots > 0);
        // A machine may have been off between two boots.
        let set_aside = ended_before.filter(|_| self.blank().is_some());
        let began = self.live.created.or(set_aside);
        // No later root is compared with live, so that nothing in it has to be read.
        let lost = finder.judge(in_live).loss;
        lives.push(RootLife { name: None, began, ended: None, boots, lost });
        Ok(lives)
    }

    /// What each root had at these paths, live among them, whose changes are given. At most `most` digests are told.
    pub(crate) fn histories(
        &self,
        paths: &[TreePath],
        in_live: &Changes,
        most: usize,
    ) -> Result<Histories> {
        let mut counters: Vec<VersionCounter> = paths.iter().map(|_| Default::default()).collect();
        let mut of_paths: Vec<PathHistory> =
            paths.iter().map(|path| PathHistory { path: path.clone(), states: vec![] }).collect();
        let (mut of, mut last_digests) = (Vec::new(), VecDeque::new());
        let mut add = |root: RootOfHistory, digest: &Digest| {
            of.push(root);
            for (history, counter) in of_paths.iter_mut().zip(&mut counters) {
                history.states.push(counter.next_root(digest, &history.path));
            }
        };
        self.go_through_former(|FormerRoot { name, ended, has_digest, .. }, digest| {
            add(RootOfHistory { name: Some(name), ended }, &digest);
            if has_digest && digest.header().cut.is_none() {
                last_digests.push_front(digest);
                last_digests.truncate(most);
            }
        })?;
        let changes = changes_within(in_live, paths);
        let blank: TreeId = self.blank().map_or_else(empty_tree, |blank| blank.id.clone());
        let live = digest_of_changes(self.backend, &blank, &self.live, None, changes)?;
        add(RootOfHistory { name: None, ended: None }, &live);
        Ok(Histories { of, of_paths, last_digests: last_digests.into() })
    }
}
