//! All roots that there were and are, with a digest of each: the one that is there, or one that is made on the way.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use backends::{Backend, Life, OldRoot, Tree, kinship};
use dirfd::{Changes, Error, Result, TreePath};

use crate::config::Config;
use crate::diff::diff_trees;
use crate::evidence::ask_old_roots::read_digest_of;
use crate::evidence::digest::Digest;
use crate::evidence::make_digest::{changes_within, digest_of_changes, make_digest};
use crate::history::path_versions::{PathHistory, RootOfHistory, VersionCounter};
use crate::history::root_lives::{LossFinder, RootLife};
use crate::ui::progress::ProgressCounter;

/// All roots that there were and are, with what reading them needs.
pub(crate) struct AllRoots<'a> {
    backend: &'a dyn Backend,
    config: &'a Config,
    live: Tree,
    blank: Tree,
    /// Those of this system, the oldest first.
    old_roots: Vec<OldRoot>,
    /// The directory that they are in.
    old_dir: Option<OwnedFd>,
}

impl<'a> AllRoots<'a> {
    /// The tree that all others are compared with.
    pub(crate) fn blank(&self) -> &Tree {
        &self.blank
    }

    /// The root of now.
    pub(crate) fn live(&self) -> &Tree {
        &self.live
    }

    /// Looks which there are.
    pub(crate) fn gather(backend: &'a dyn Backend, config: &'a Config) -> Result<Self> {
        let survey = backend.survey_without_mounts()?;
        let (Some(live), Some(blank)) = (survey.live.tree(), survey.blank.tree()) else {
            return Err(Error::new("tell the root's history", "live or blank is missing")
                .hint("look at `blankroot status`"));
        };
        let old_roots = kinship::own_old_roots(&survey).into_iter().cloned().collect();
        let (live, blank, old_dir) = (live.clone(), blank.clone(), backend.old_dir()?);
        Ok(Self { backend, config, live, blank, old_roots, old_dir })
    }

    /// What differs in live.
    pub(crate) fn changes_in_live(&self) -> Result<Changes> {
        let progress = ProgressCounter::of_names("comparing");
        let tell = |count| progress.set(count);
        Ok(diff_trees(self.backend, &self.blank, &self.live, &tell)?.changes)
    }

    /// The digest that is there, or one that is made now.
    fn digest(&self, old_root: &OldRoot) -> Result<Digest> {
        let found = self.old_dir().and_then(|dir| read_digest_of(dir, old_root, &self.blank));
        match found {
            Some(digest) => Ok(digest),
            None => {
                let life = self.life(&old_root.tree);
                let progress = ProgressCounter::of_names("making a digest");
                let tell = |count| progress.set(count);
                make_digest(self.backend, &self.blank, &old_root.tree, life, &tell)
            }
        }
    }

    fn old_dir(&self) -> Option<BorrowedFd<'_>> {
        self.old_dir.as_ref().map(AsFd::as_fd)
    }

    fn life(&self, tree: &Tree) -> Option<Life> {
        // One that cannot be read tells nothing.
        Life::read(self.old_dir()?, &tree.id).ok().flatten()
    }

    /// What each root lost, the oldest first, and what live has to lose.
    pub(crate) fn lives(&self) -> Result<Vec<RootLife>> {
        let catalogue = self.config.catalogue();
        let mut finder = LossFinder::new(self.config, &catalogue);
        let mut lives = Vec::new();
        let mut began_before = None;
        for old_root in &self.old_roots {
            let ended = Some(old_root.record.time);
            let digest = self.digest(old_root)?;
            let boots = Some(digest.header().boots.len()).filter(|boots| *boots > 0);
            let name = Some(old_root.record.name.clone());
            let began = old_root.tree.created.or(began_before);
            lives.push(RootLife { name, began, ended, boots, lost: finder.next_root(digest) });
            began_before = ended;
        }
        let life = self.life(&self.live);
        let boots = life.map(|life| life.boots.len()).filter(|boots| *boots > 0);
        // No later root is compared with live, so that nothing in it has to be read.
        let changes = self.changes_in_live()?;
        let began = self.live.created.or(began_before);
        let lost = finder.loss_of(&changes);
        lives.push(RootLife { name: None, began, ended: None, boots, lost });
        Ok(lives)
    }

    /// What each root had at these paths, live last, whose changes are given.
    pub(crate) fn histories(
        &self,
        paths: &[TreePath],
        in_live: &Changes,
    ) -> Result<(Vec<RootOfHistory>, Vec<PathHistory>)> {
        let mut counters: Vec<VersionCounter> = paths.iter().map(|_| Default::default()).collect();
        let mut histories: Vec<PathHistory> =
            paths.iter().map(|path| PathHistory { path: path.clone(), states: vec![] }).collect();
        let mut of = Vec::new();
        let mut add = |root: RootOfHistory, digest: &Digest| {
            of.push(root);
            for (history, counter) in histories.iter_mut().zip(&mut counters) {
                history.states.push(counter.next_root(digest, &history.path));
            }
        };
        for old_root in &self.old_roots {
            let (name, ended) = (Some(old_root.record.name.clone()), Some(old_root.record.time));
            add(RootOfHistory { name, ended }, &self.digest(old_root)?);
        }
        let changes = changes_within(in_live, paths);
        let live = digest_of_changes(self.backend, &self.blank, &self.live, None, changes)?;
        add(RootOfHistory { name: None, ended: None }, &live);
        Ok((of, histories))
    }
}
