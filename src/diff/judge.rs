//! The changes of live with their verdicts, and with what old roots tell of them: what `diff` shows and `audit`
//! judges.

use std::cell::LazyCell;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use backends::{Backend, Slot, Tree};
use dirfd::{Error, Result};

use crate::catalogue::Catalogue;
use crate::config::Config;
use crate::diff::classify::{Verdicts, classify};
use crate::diff::{TreeDiff, diff_trees, list_everything};
use crate::evidence::ask_old_roots::{AskedRoots, ask_old_roots, read_digests};
use crate::evidence::classes::Classes;
use crate::evidence::digest::Digest;
use crate::evidence::stored_digests::read_boots;
use crate::host::HostRoot;
use crate::ui::progress::ProgressCounter;

/// The trees that are compared.
#[derive(Debug)]
pub(crate) struct ComparedTrees {
    /// `None` where the root starts empty, so that everything is new.
    pub(crate) blank: Option<Tree>,
    pub(crate) live: Tree,
}

impl ComparedTrees {
    /// Those of this file system; an error where one is missing.
    pub(crate) fn find(backend: &dyn Backend) -> Result<Self> {
        let (live, blank) = backend.live_and_blank()?;
        let hint = "set `live` in the configuration to the name of the root";
        let live = expect_tree("live", live, hint)?;
        let needs_blank = backend.abilities().needs_rollback;
        let blank = needs_blank
            .then(|| expect_tree("blank", blank, "make it with `blankroot init`"))
            .transpose()?;
        Ok(Self { blank, live })
    }

    /// Whether live is what is at `root`, where the reader may think so.
    pub(crate) fn is_live_at(&self, backend: &dyn Backend, root: &Path) -> Result<bool> {
        let mounted = HostRoot::open(root)?.dir(".");
        let mounted = mounted.map_err(|why| Error::io("open the root directory", why))?;
        Ok(backend.identify(mounted.as_fd())?.as_ref() == Some(&self.live.id))
    }
}

fn expect_tree(what: &str, slot: Slot, hint: &str) -> Result<Tree> {
    let why = match slot {
        Slot::Present(tree) => return Ok(tree),
        Slot::Missing => format!("{what} is missing"),
        Slot::NotATree(found) => format!("{what} is {found}"),
    };
    Err(Error::new("compare live with blank", why).hint(hint))
}

/// What differs in live, judged.
#[derive(Debug)]
pub(crate) struct JudgedDiff {
    pub(crate) diff: TreeDiff,
    /// One for each change.
    pub(crate) verdicts: Verdicts,
    /// What old roots tell of each change; `None` where there are none to ask.
    pub(crate) classes: Option<Classes>,
    /// Why old roots could not be asked.
    pub(crate) evidence_problem: Option<Error>,
}

/// Compares live with blank, and asks old roots about what differs.
pub(crate) fn find_and_judge(
    backend: &dyn Backend,
    trees: &ComparedTrees,
    config: &Config,
    root: &Path,
    asked: &AskedRoots,
) -> Result<JudgedDiff> {
    let progress = ProgressCounter::of_names("comparing");
    let tell = |count| progress.set(count);
    let live = &trees.live;
    let Some(blank) = &trees.blank else {
        let found = list_everything(backend, live, &tell)?;
        let digests = match read_boots(config, root, asked) {
            Ok(boots) => boots.into_iter().map(|(_, digest)| Ok(digest)).collect(),
            Err(why) => vec![Err(why)],
        };
        return Ok(judge(backend, live, found, config, digests));
    };
    thread::scope(|scope| {
        // Digests are read while the trees are compared, but for one no further than they are asked.
        let (send, digests) = mpsc::sync_channel(1);
        scope.spawn(move || {
            let see = |digest| {
                let is_asked = send.send(Ok(digest)).is_ok();
                // The catalogue is asked about what digests agree on: it is read while nobody waits for it.
                Catalogue::well_known();
                is_asked
            };
            if let Err(why) = read_digests(backend, blank, asked, see) {
                // Nobody listens any more where the trees could not be compared.
                let _ = send.send(Err(why));
            }
        });
        let found = diff_trees(backend, blank, live, &tell)?;
        Ok(judge(backend, live, found, config, digests))
    })
}

fn judge(
    backend: &dyn Backend,
    live: &Tree,
    diff: TreeDiff,
    config: &Config,
    digests: impl IntoIterator<Item = Result<Digest>>,
) -> JudgedDiff {
    let mut verdicts = classify(&diff.changes, config);
    // Read when the first path is looked up: most are not.
    let catalogue = LazyCell::new(|| config.catalogue());
    let is_stamp = |path: &[u8]| catalogue.mtime_counts(path);
    let is_of_running = |path: &[u8], uid| catalogue.is_of_running(path, uid);
    let asked = ask_old_roots(
        backend,
        live,
        &diff.changes,
        &mut verdicts,
        digests,
        is_stamp,
        is_of_running,
    );
    let (classes, evidence_problem) = match asked {
        Ok(classes) => (classes, None),
        Err(why) => (None, Some(why)),
    };
    JudgedDiff { diff, verdicts, classes, evidence_problem }
}
