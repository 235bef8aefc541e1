//! All roots that there were and are, with a digest of each: the one that is there, or one that is made on the way.

use std::os::fd::AsFd;

use backends::{Backend, Life, OldRoot, Survey, Tree};
use dirfd::{Error, Result, TreePath};

use crate::config::Config;
use crate::diff::diff_trees;
use crate::evidence::ask_old_roots::{is_of, read_digest_of};
use crate::evidence::digest::Digest;
use crate::evidence::make_digest::{make_digest, make_digest_within};
use crate::history::path_versions::{PathHistory, RootOfHistory, VersionCounter};
use crate::history::root_lives::{LossFinder, RootLife};
use crate::ui::progress::ProgressCounter;

/// All roots that there were and are, with what reading them needs.
pub(crate) struct AllRoots<'a> {
    backend: &'a dyn Backend,
    config: &'a Config,
    live: Tree,
    blank: Tree,
    /// Those of this live, the oldest first.
    old_roots: Vec<OldRoot>,
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
        let survey: Survey = backend.survey()?;
        let (Some(live), Some(blank)) = (survey.live.tree(), survey.blank.tree()) else {
            return Err(Error::new("tell the root's history", "live or blank is missing")
                .hint("look at `blankroot status`"));
        };
        let own = survey.old_roots.iter().filter(|old_root| is_of(old_root, live));
        let (live, blank, old_roots) = (live.clone(), blank.clone(), own.cloned().collect());
        Ok(Self { backend, config, live, blank, old_roots })
    }

    /// The digest that is there, or one that is made now.
    pub(crate) fn digest(&self, old_root: &OldRoot) -> Result<Digest> {
        let old_dir = self.backend.old_dir()?;
        let found = old_dir.and_then(|dir| read_digest_of(dir.as_fd(), old_root, &self.blank));
        match found {
            Some(digest) => Ok(digest),
            None => {
                let life = self.life(&old_root.tree)?;
                let progress = ProgressCounter::of_names("making a digest");
                let tell = |count| progress.set(count);
                make_digest(self.backend, &self.blank, &old_root.tree, life, &tell)
            }
        }
    }

    fn life(&self, tree: &Tree) -> Result<Option<Life>> {
        let old_dir = self.backend.old_dir()?;
        // One that cannot be read tells nothing.
        Ok(old_dir.and_then(|dir| Life::read(dir.as_fd(), &tree.id).ok().flatten()))
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
        let life = self.life(&self.live)?;
        let boots = life.as_ref().map(|life| life.boots.len()).filter(|boots| *boots > 0);
        let progress = ProgressCounter::of_names("comparing");
        let tell = |count| progress.set(count);
        // No later root is compared with live, so that nothing in it has to be read.
        let changes = diff_trees(self.backend, &self.blank, &self.live, &tell)?.changes;
        drop(progress);
        let began = self.live.created.or(began_before);
        let lost = finder.loss_of(&changes);
        lives.push(RootLife { name: None, began, ended: None, boots, lost });
        Ok(lives)
    }

    /// What each root had at these paths, live last.
    pub(crate) fn histories(
        &self,
        paths: &[TreePath],
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
        let live = make_digest_within(self.backend, &self.blank, &self.live, None, paths, &|_| ())?;
        add(RootOfHistory { name: None, ended: None }, &live);
        Ok((of, histories))
    }
}
