//! What a review is going to write: the plans of `forget` and of `keep` for what was decided, one after the other.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use backends::View;
use dirfd::{Error, TreePath};

use crate::cli::arguments::{Cli, KeepOptions};
use crate::cli::invocation::Failure;
use crate::config::Config;
use crate::host::Machine;
use crate::persist::config_file::LockedConfig;
use crate::persist::forget::{ForgetPlan, literal_pattern};
use crate::persist::keep::{Keeper, write_preface};
use crate::persist::keep_plan::{KeepPlan, RefusedPath};
use crate::ui;
use crate::ui::figures;

/// The paths that were decided about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DecidedPaths {
    pub(crate) keep: Vec<TreePath>,
    pub(crate) forget: Vec<TreePath>,
}

impl DecidedPaths {
    /// As of what is kept already: owners may differ where one directory lies in another.
    fn expect_not_kept(&self, path: &TreePath) -> dirfd::Result<()> {
        match self.keep.iter().find(|kept| path.is_within(kept)) {
            None => Ok(()),
            Some(kept) => {
                let why = format!("it lies in {kept}, which is to be kept");
                Err(Error::new(format!("forget {path}"), why).hint("decide for one of the two"))
            }
        }
    }
}

/// What will be done; prints as the summary of it.
#[derive(Debug)]
pub(crate) struct ReviewPlan {
    /// What was decided.
    decided: DecidedPaths,
    /// The configuration that it was made for.
    before: Config,
    forget: Option<PlannedForget>,
    keep: Option<PlannedKeep>,
    refused: Vec<RefusedPath>,
    /// How many paths were decided about and are in neither plan.
    left_out: usize,
    /// Whether the configuration outlives the next boot, if not.
    note: Option<String>,
}

#[derive(Debug)]
struct PlannedForget {
    plan: ForgetPlan,
    count: usize,
}

#[derive(Debug)]
struct PlannedKeep {
    plan: KeepPlan,
    /// The configuration once the plan for forgetting is done, which this one begins with.
    config: Config,
    /// What was noticed when it was looked who uses the paths.
    notes: Vec<String>,
    count: usize,
}

impl ReviewPlan {
    /// Plans for these paths. What cannot be done is left out, and told with its reason.
    pub(crate) fn new(
        cli: &Cli,
        options: &KeepOptions,
        decided: &DecidedPaths,
    ) -> Result<Self, Failure> {
        let root = &options.root.root;
        let locked = LockedConfig::lock_in_place(cli, root, true)?;
        let (forget, mut refused) = plan_to_forget(&locked.config, root, decided)?;
        let config = match &forget {
            Some(PlannedForget { plan, .. }) => parse_again(&locked.config, &plan.after)?,
            None => parse_again(&locked.config, &locked.config.text)?,
        };
        let (keep, refused_to_keep) = plan_to_keep(options, config, &decided.keep)?;
        refused.extend(refused_to_keep);
        let text = keep.as_ref().and_then(|planned| planned.plan.config.as_ref());
        let after = match (text, &forget) {
            (Some((_, after)), _) => Some(after),
            (None, Some(planned)) => Some(&planned.plan.after),
            (None, None) => None,
        };
        let after = after.map(|after| parse_again(&locked.config, after)).transpose()?;
        let note = after.and_then(|after| locked.note(&after, root));
        let planned = forget.as_ref().map_or(0, |planned| planned.count)
            + keep.as_ref().map_or(0, |planned| planned.count);
        let left_out = decided.forget.len() + decided.keep.len() - planned;
        let decided = decided.clone();
        Ok(Self { decided, before: locked.config, forget, keep, refused, left_out, note })
    }

    /// Whether there is anything to do.
    pub(crate) fn does_something(&self) -> bool {
        let forgets = self.forget.as_ref().is_some_and(|planned| planned.plan.changes_config());
        let keeps = self.keep.as_ref().is_some_and(|planned| !planned.plan.steps.is_empty());
        forgets || keeps
    }

    /// Looks at everything once more: the same plan, or another one.
    pub(crate) fn renew(&self, cli: &Cli, options: &KeepOptions) -> Result<Self, Failure> {
        Self::new(cli, options, &self.decided)
    }

    /// Whether it does the same to the same configuration.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let (before, text) = (&self.before, self.to_string());
        before.file == other.before.file
            && before.text == other.before.text
            && text == other.to_string()
    }

    /// Does it, and tells of each step; the configuration is locked.
    pub(crate) fn execute(
        &self,
        locked: &LockedConfig,
        options: &KeepOptions,
        out: &mut impl Write,
    ) -> Result<ExitCode, Failure> {
        if let Some(PlannedForget { plan, .. }) = &self.forget {
            plan.already.iter().try_for_each(|already| writeln!(out, "{already}"))?;
            if plan.changes_config() {
                plan.execute(&locked.config, out)?;
            }
        }
        let mut code = self.code();
        if let Some(PlannedKeep { plan, config, .. }) = &self.keep {
            let kept = Keeper::open(options, config, None)?.execute(plan, out)?;
            if kept != ExitCode::SUCCESS {
                // The words of `keep` are about its own part.
                if self.forget.as_ref().is_some_and(|planned| planned.plan.changes_config()) {
                    writeln!(
                        out,
                        "note: what is to be forgotten stands in the configuration all the same"
                    )?;
                }
                code = kept;
            }
        }
        if let Some(note) = &self.note {
            writeln!(out, "note: {note}")?;
        }
        self.refused.iter().for_each(ui::report_problem);
        Ok(code)
    }

    /// Prints it instead.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<ExitCode> {
        write!(out, "{self}")?;
        Ok(self.code())
    }

    /// As of `keep`: a path that was refused is not kept.
    fn code(&self) -> ExitCode {
        if self.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn parse_again(config: &Config, text: &str) -> Result<Config, Failure> {
    Ok(Config::parse(&config.file, text.as_bytes())?)
}

fn plan_to_forget(
    config: &Config,
    root: &Path,
    decided: &DecidedPaths,
) -> Result<(Option<PlannedForget>, Vec<RefusedPath>), Failure> {
    if decided.forget.is_empty() {
        return Ok((None, Vec::new()));
    }
    let machine = Machine::open(root)?;
    let (mut patterns, mut refused) = (Vec::new(), Vec::new());
    for path in &decided.forget {
        // What one of them is refused for concerns no other one.
        let checked = decided
            .expect_not_kept(path)
            .and_then(|()| literal_pattern(path, &machine))
            .and_then(|pattern| ForgetPlan::expect_not_kept(config, &pattern).map(|()| pattern));
        match checked {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => refused.push(RefusedPath::new(path, error)),
        }
    }
    if patterns.is_empty() {
        return Ok((None, refused));
    }
    let plan = ForgetPlan::new(config, &patterns)?;
    Ok((Some(PlannedForget { plan, count: patterns.len() }), refused))
}

fn plan_to_keep(
    options: &KeepOptions,
    config: Config,
    paths: &[TreePath],
) -> Result<(Option<PlannedKeep>, Vec<RefusedPath>), Failure> {
    let from_live: Option<(String, View)> = None;
    let keeper = Keeper::open(options, &config, from_live)?;
    let mut paths: Vec<(TreePath, bool)> = paths.iter().map(|path| (path.clone(), false)).collect();
    let mut refused = Vec::new();
    // Without those that are refused, others may be: each round has fewer.
    while !paths.is_empty() {
        let planned = keeper.plan(&config, &paths);
        let planned = planned.and_then(|plan| Ok((keeper.check(&plan)?, plan)));
        let reasons = match planned {
            Ok((notes, plan)) => {
                let count = paths.len();
                return Ok((Some(PlannedKeep { plan, config, notes, count }), refused));
            }
            Err(reasons) => reasons,
        };
        let count = paths.len();
        paths.retain(|(path, _)| reasons.iter().all(|one| one.path.as_ref() != Some(path)));
        let stands_against_all = paths.len() == count;
        refused.extend(reasons);
        if stands_against_all {
            break;
        }
    }
    Ok((None, refused))
}

impl fmt::Display for ReviewPlan {
    /// What `--dry-run` of the two commands prints, each below its title, and what is not done.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = |count: usize| figures::count_noun(count as u64, "path", "paths");
        if let Some(PlannedForget { plan, count }) = &self.forget {
            writeln!(f, "Forget {}:", paths(*count))?;
            plan.already.iter().try_for_each(|already| writeln!(f, "{already}"))?;
            if plan.changes_config() {
                write!(f, "{plan}")?;
            }
        }
        if let Some(PlannedKeep { plan, notes, count, .. }) = &self.keep {
            writeln!(f, "Keep {}:", paths(*count))?;
            let mut preface = Vec::new();
            write_preface(plan, &mut preface).map_err(|_| fmt::Error)?;
            f.write_str(&String::from_utf8_lossy(&preface))?;
            write!(f, "{plan}")?;
            notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        }
        if !self.refused.is_empty() {
            writeln!(f, "Not done, {}:", paths(self.left_out))?;
            self.refused.iter().try_for_each(|refused| writeln!(f, "{refused}"))?;
        }
        if let Some(note) = &self.note {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

/// An error of planning that no path is the reason of.
pub(crate) fn describe_failure(failure: &Failure) -> String {
    match failure {
        Failure::Error(error) => error.to_string(),
        Failure::Errors(errors) => join_lines(errors),
        Failure::Config(error) => error.to_string(),
        Failure::Refused(refusals) => join_lines(refusals),
        Failure::Output(why) => Error::io("plan this", io::Error::from(why.kind())).to_string(),
    }
}

fn join_lines<T: fmt::Display>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_forgotten_in_what_is_to_be_kept() {
        let paths = |paths: &[&str]| -> Vec<TreePath> {
            paths.iter().map(|path| TreePath::parse(path.as_bytes()).unwrap()).collect()
        };
        let decided = DecidedPaths { keep: paths(&["/var/lib/db"]), forget: Vec::new() };
        for (path, refused) in [
            ("/var/lib/db", true),
            ("/var/lib/db/x", true),
            ("/var/lib/db2", false),
            ("/var", false),
        ] {
            let checked = decided.expect_not_kept(&paths(&[path])[0]);
            assert_eq!(checked.is_err(), refused, "{path}");
        }
    }
}
