//! What there is to say of a path, and the advice that follows. Pure.

use dirfd::{ChangeKind, Facts, TreePath};

use crate::catalogue::Catalogue;
use crate::catalogue::catalogue_entry::Advice;
use crate::diff::classify::Verdict;
use crate::diff::summary::{Tally, VERDICTS};
use crate::evidence::classes::Class;
use crate::history::path_versions::PathHistory;
use crate::owners::Ownership;

/// All that is known of one path.
#[derive(Debug)]
pub(crate) struct Explanation {
    pub(crate) path: TreePath,
    /// What is there.
    pub(crate) here: Here,
    /// What becomes of it at the next boot, with the rule that decided so; `None` where nothing changed, and
    /// nobody has decided.
    pub(crate) verdict: Option<(Verdict, Option<String>)>,
    /// What lies below it and changed, by verdict.
    pub(crate) below: [Tally; VERDICTS.len()],
    /// Whose it is, if anything tells.
    pub(crate) owner: Option<Ownership>,
    /// What the last old roots tell, and how many were asked.
    pub(crate) class: Option<(Class, u16)>,
    /// What each root had there.
    pub(crate) history: PathHistory,
    /// What the catalogue says.
    pub(crate) known: Option<Known>,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Here {
    /// Live has something else there than blank.
    Changed(ChangeKind, Facts),
    /// Live and blank have the same there.
    Same,
    /// Neither has anything there.
    Nowhere,
}

/// An entry of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) what: String,
    pub(crate) advice: Advice,
    pub(crate) source: Option<String>,
    /// What the entry names: the path, or the parent of it that it lies in.
    pub(crate) named: TreePath,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NextStep {
    /// Nothing, for this reason.
    Nothing(&'static str),
    /// Keep this path.
    Keep(TreePath, &'static str),
    /// Declare this path disposable.
    Forget(TreePath, &'static str),
    /// Somebody has to know what it is.
    Decide(TreePath, &'static str),
}

impl Known {
    /// What the catalogue says of a path.
    pub(crate) fn of(catalogue: &Catalogue, path: &TreePath) -> Option<Self> {
        let found = catalogue.find(path.as_bytes())?;
        let named = path.as_bytes().get(..found.named_bytes)?;
        Some(Self {
            what: found.entry.what.clone().into_owned(),
            advice: found.entry.advice,
            source: found.entry.source.clone().map(|source| source.into_owned()),
            named: TreePath::parse(named).ok()?,
        })
    }
}

impl Explanation {
    /// How many changes below it have this verdict.
    fn count_below(&self, verdict: Verdict) -> u64 {
        let below = VERDICTS.iter().zip(&self.below).find(|(known, _)| **known == verdict);
        below.map_or(0, |(_, tally)| tally.count)
    }

    /// What to do about it.
    pub(crate) fn next_step(&self) -> NextStep {
        let strays_below = self.count_below(Verdict::Stray);
        match (&self.verdict, self.here) {
            (Some((Verdict::Kept, _)), _) => NextStep::Nothing("it is kept"),
            (Some((Verdict::Forgotten, _)), _) => NextStep::Nothing("it was declared disposable"),
            (Some((Verdict::Regenerated, _)), _) if strays_below == 0 => {
                NextStep::Nothing("it comes back by itself")
            }
            (None, Here::Nowhere) => NextStep::Nothing("there is nothing to lose"),
            (None, _) if strays_below == 0 => {
                NextStep::Nothing("it is as in blank, and the next boot has it again")
            }
            _ => self.about_stray(),
        }
    }

    fn about_stray(&self) -> NextStep {
        let Some(known) = &self.known else {
            return match self.class {
                Some((Class::New, _)) => NextStep::Decide(
                    self.path.clone(),
                    "no boot before had it, so somebody may miss it",
                ),
                Some((Class::Changing, _)) => NextStep::Decide(
                    self.path.clone(),
                    "each boot had it in another version: identity, a cache or a database",
                ),
                _ => NextStep::Decide(
                    self.path.clone(),
                    "nothing tells whether somebody would miss it",
                ),
            };
        };
        // An entry for much of the tree is no reason to keep all of that.
        let place = if known.named.depth() >= 3 { &known.named } else { &self.path };
        match known.advice {
            Advice::Keep => {
                NextStep::Keep(place.clone(), "somebody, or the machine, would miss it")
            }
            Advice::Secret => {
                NextStep::Keep(place.clone(), "it is a secret that its owner would miss")
            }
            Advice::Link => {
                NextStep::Keep(place.clone(), "it is kept as a link, since its program replaces it")
            }
            Advice::Forget => NextStep::Forget(place.clone(), "it is a cache, or comes back"),
            Advice::Never => NextStep::Nothing("it must not be kept, and nobody would miss it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::evidence_fixture::facts_of;
    use dirfd::FileType;

    fn explanation(path: &str, verdict: Option<Verdict>, here: Here) -> Explanation {
        let path = TreePath::parse(path.as_bytes()).unwrap();
        Explanation {
            history: PathHistory { path: path.clone(), states: Vec::new() },
            here,
            verdict: verdict.map(|verdict| (verdict, None)),
            below: Default::default(),
            owner: None,
            class: Some((Class::New, 5)),
            known: Known::of(Catalogue::well_known(), &path),
            path,
        }
    }

    fn added() -> Here {
        Here::Changed(ChangeKind::Added, facts_of(FileType::Dir))
    }

    #[test]
    fn what_is_decided_or_the_same_needs_nothing() {
        for (verdict, here) in [
            (Some(Verdict::Kept), added()),
            (Some(Verdict::Forgotten), added()),
            (Some(Verdict::Regenerated), added()),
            (None, Here::Same),
            (None, Here::Nowhere),
        ] {
            let next = explanation("/var/lib/postgresql", verdict, here).next_step();
            assert!(matches!(next, NextStep::Nothing(_)), "{verdict:?} {next:?}");
        }
    }

    #[test]
    fn a_stray_gets_the_advice_of_the_catalogue_for_what_that_names() {
        let next = |path| explanation(path, Some(Verdict::Stray), added()).next_step();
        let keep = next("/var/lib/postgresql/17/main");
        let NextStep::Keep(place, _) = keep else { panic!("{keep:?}") };
        assert_eq!(place.to_string(), "/var/lib/postgresql");
        assert!(matches!(next("/var/cache/apt/archives/x.deb"), NextStep::Forget(..)));
        assert!(matches!(next("/srv-of-mine/x"), NextStep::Decide(..)));
    }

    #[test]
    fn what_is_the_same_itself_and_holds_strays_is_no_nothing() {
        let mut parent = explanation("/var/lib/postgresql", None, Here::Same);
        parent.below[0].count = 3;
        assert!(matches!(parent.next_step(), NextStep::Keep(..)));
    }
}
