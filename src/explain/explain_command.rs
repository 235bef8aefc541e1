//! `explain`: gathers what is known of each path.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::ExitCode;

use backends::{Backend, Tree};
use chrono::Local;
use dirfd::cause::Cause;
use dirfd::changes::ChangesWriter;
use dirfd::lookup_in_order::LookupInOrder;
use dirfd::{ChangeKind, Changes, Error, Facts, FileType, Result, TreePath};

use crate::catalogue::Catalogue;
use crate::cli::arguments::{Cli, Explain, Format};
use crate::cli::invocation::{Failure, in_tree, load_config};
use crate::config::Config;
use crate::diff::classify::{Verdict, Verdicts, classify};
use crate::diff::is_within;
use crate::diff::ownerships::OwnersOfTrees;
use crate::diff::summary::{Tally, VERDICTS, new_bytes};
use crate::evidence::ask_old_roots::ask_old_roots;
use crate::evidence::classes::Classes;
use crate::evidence::digest::Digest;
use crate::explain::explanation::{Explanation, Here, Known};
use crate::explain::{explanation_json, explanation_text};
use crate::history::all_roots::{AllRoots, Histories};
use crate::history::path_versions::{PathHistory, RootOfHistory};
use crate::ui;

pub(crate) fn run(cli: &Cli, args: &Explain) -> Result<ExitCode, Failure> {
    let root = &args.root.root;
    let paths = args.paths.iter().map(|path| in_tree(path, root, "explain"));
    let paths = paths.collect::<Result<Vec<_>, Error>>()?;
    let config = load_config(cli, root)?;
    let backend = config.open_backend(root)?;
    let (explanations, of) = explain_paths(backend.as_ref(), &config, root, &paths)?;
    let (out, style) = (io::stdout().lock(), ui::style_of_output(cli));
    match args.format {
        Format::Json => explanation_json::write_explanations_json(&explanations, &of, out)?,
        Format::Human => {
            explanation_text::write_explanations(&explanations, &of, &style, &Local::now(), out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All that is known of these paths, and the roots that were asked about them.
pub(crate) fn explain_paths(
    backend: &dyn Backend,
    config: &Config,
    root: &Path,
    paths: &[TreePath],
) -> Result<(Vec<Explanation>, Vec<RootOfHistory>)> {
    let roots = AllRoots::gather(backend, config, root)?;
    let changes = roots.changes_in_live()?;
    let most = config.evidence.old_roots as usize;
    let Histories { of, of_paths, last_digests } = roots.histories(paths, &changes, most)?;
    let asked = (&roots, last_digests);
    let catalogue = config.catalogue();
    let explainer = Explainer::new(backend, config, &catalogue, asked, changes)?;
    let explanations = of_paths.into_iter().map(|history| explainer.explain(history));
    Ok((explanations.collect::<Result<Vec<_>>>()?, of))
}

/// What all explanations are made from.
struct Explainer<'a> {
    backend: &'a dyn Backend,
    config: &'a Config,
    catalogue: &'a Catalogue,
    /// `None` where the root starts empty.
    blank: Option<&'a Tree>,
    live: &'a Tree,
    changes: Changes,
    verdicts: Verdicts,
    classes: Option<Classes>,
    owners: OwnersOfTrees,
}

/// What the changes at and below a path are.
#[derive(Default)]
struct Around {
    own: Option<(usize, ChangeKind, Facts)>,
    below: [Tally; VERDICTS.len()],
}

impl<'a> Explainer<'a> {
    fn new(
        backend: &'a dyn Backend,
        config: &'a Config,
        catalogue: &'a Catalogue,
        (roots, last_digests): (&'a AllRoots<'_>, Vec<Digest>),
        changes: Changes,
    ) -> Result<Self> {
        let (blank, live) = (roots.blank(), roots.live());
        let mut verdicts = classify(&changes, config);
        let digests = last_digests.into_iter().map(Ok);
        let is_stamp = |path: &[u8]| catalogue.mtime_counts(path);
        let is_of_running = |path: &[u8], uid| catalogue.is_of_running(path, uid);
        let classes = ask_old_roots(
            backend,
            live,
            &changes,
            &mut verdicts,
            digests,
            is_stamp,
            is_of_running,
        )?;
        let (owners, warnings) = OwnersOfTrees::read(backend, blank, live, &changes)?;
        warnings.iter().for_each(ui::report_warning);
        Ok(Self { backend, config, catalogue, blank, live, changes, verdicts, classes, owners })
    }

    fn explain(&self, history: PathHistory) -> Result<Explanation> {
        let path = history.path.clone();
        let Around { own, below } = self.look_around(&path);
        let (here, target) = self.look_here(&path, own.map(|(_, kind, facts)| (kind, facts)))?;
        let verdict = match own {
            Some((at, ..)) => {
                let verdict = self.verdicts.get(at).unwrap_or(Verdict::Stray);
                Some((verdict, self.verdicts.rule(at).map(str::to_string)))
            }
            None => self.verdict_without_change(&path),
        };
        let facts = match here {
            Here::Changed(kind, facts) => (kind, facts),
            Here::Same | Here::Nowhere => (ChangeKind::Added, NO_FACTS),
        };
        let owner = self.owners.owner_of(path.as_bytes(), facts.0, &facts.1, &target);
        let class = own
            .zip(self.classes.as_ref())
            .and_then(|((at, ..), classes)| Some((classes.class(at)?, classes.boots())));
        Ok(Explanation {
            here,
            verdict,
            below,
            owner,
            class,
            history,
            known: Known::of(self.catalogue, &path),
            path,
        })
    }

    fn look_around(&self, path: &TreePath) -> Around {
        let mut around = Around::default();
        let mut cursor = self.changes.cursor();
        let mut at = 0;
        while let Some((row, kind, facts)) = cursor.next_row() {
            if row == path.as_bytes() {
                around.own = Some((at, kind, *facts));
            } else if is_within(row, path.as_bytes()) {
                let verdict = self.verdicts.get(at).unwrap_or(Verdict::Stray);
                let tally = VERDICTS.iter().zip(&mut around.below).find(|(v, _)| **v == verdict);
                if let Some((_, tally)) = tally {
                    tally.add(new_bytes(kind, facts));
                }
            }
            at += 1;
        }
        around
    }

    /// What is there, and what it says if it is a link.
    fn look_here(
        &self,
        path: &TreePath,
        own: Option<(ChangeKind, Facts)>,
    ) -> Result<(Here, Vec<u8>)> {
        let look = |tree: &Tree| -> Result<Option<Vec<u8>>> {
            let view = self.backend.view(tree)?;
            target_of(view.as_fd(), path)
                .map_err(|why| Error::io(format!("look at {path} in {}", tree.name), why))
        };
        let in_blank = || Ok(self.blank.map(look).transpose()?.flatten());
        let in_live = look(self.live)?;
        Ok(match (own, in_live) {
            // A link is gone: what it said tells whose it was.
            (Some((kind @ ChangeKind::Removed, facts)), _) => {
                (Here::Changed(kind, facts), in_blank()?.unwrap_or_default())
            }
            (Some((kind, facts)), target) => {
                (Here::Changed(kind, facts), target.unwrap_or_default())
            }
            (None, Some(target)) => (Here::Same, target),
            (None, None) if in_blank()?.is_some() => (Here::Same, Vec::new()),
            (None, None) => (Here::Nowhere, Vec::new()),
        })
    }

    /// What would become of the path if something were there: for kept and forgotten ones the rule.
    fn verdict_without_change(&self, path: &TreePath) -> Option<(Verdict, Option<String>)> {
        let mut writer = ChangesWriter::new();
        writer.record_path(path.as_bytes(), ChangeKind::Modified, NO_FACTS);
        let verdicts = classify(&writer.finish(), self.config);
        let (verdict, rule) = verdicts.iter().next()?;
        (verdict != Verdict::Stray).then(|| (verdict, rule.map(str::to_string)))
    }
}

/// Those of a path of which nothing is known.
const NO_FACTS: Facts =
    Facts { file_type: FileType::File, mode: 0, uid: 0, gid: 0, size: 0, mtime: 0, mtime_nanos: 0 };

/// What a tree has at a path: the target if it is a link, else nothing; `None` if there is nothing.
fn target_of(tree: BorrowedFd<'_>, path: &TreePath) -> io::Result<Option<Vec<u8>>> {
    let looked = LookupInOrder::new(tree)?
        .look_at(path.as_bytes(), |place, _| Ok(place.link_target()?.unwrap_or_default()));
    match looked {
        Ok(target) => target.map(Some),
        Err(why) if Cause::of(&why).leads_nowhere() => Ok(None),
        Err(why) => Err(why),
    }
}
