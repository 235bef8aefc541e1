//! `review`: compares, shows the strays, and does what was confirmed.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use backends::{Backend, View};
use chrono::Local;
use dirfd::{Error, Result, TreePath};
use ratatui::crossterm::event::Event;

use crate::cli::arguments::{Cli, Review};
use crate::cli::invocation::Failure;
use crate::config::Config;
use crate::diff::DiffReport;
use crate::diff::command::warn_if_elsewhere;
use crate::diff::diff_owners::NO_STRAYS;
use crate::diff::judge::{ComparedTrees, JudgedDiff, find_and_judge};
use crate::diff::ownerships::{OwnerViews, Ownerships};
use crate::evidence::ask_old_roots::AskedRoots;
use crate::explain::explain_command::explain_paths;
use crate::explain::explanation_text::write_explanations;
use crate::persist::config_file::LockedConfig;
use crate::review::look_inside::look_inside;
use crate::review::review_app::{Effect, ReviewApp};
use crate::review::review_jobs::{Agreement, JobResult, ReviewJobs};
use crate::review::review_model::ReviewModel;
use crate::review::review_plan::{DecidedPaths, ReviewPlan, describe_failure};
use crate::review::review_screen;
use crate::review::review_terminal::{ReviewTerminal, expect_terminal};
use crate::review::stray_tree::StrayTree;
use crate::ui;
use crate::ui::colours::Style;

/// How long nothing is looked at while no key comes, with a job under way and without.
const WAIT_WITH_JOB: Duration = Duration::from_millis(20);
const IDLE_WAIT: Duration = Duration::from_millis(250);

pub(crate) fn run(cli: &Cli, args: &Review) -> Result<ExitCode, Failure> {
    expect_terminal()?;
    let root = &args.keep.root.root;
    // What cannot be written is told before anybody has decided anything.
    let locked = LockedConfig::lock_in_place(cli, root, true)?;
    if !args.dry_run {
        locked.expect_writable()?;
    }
    let config = locked.config;
    let backend = config.open_backend(root)?;
    let trees = ComparedTrees::find(backend.as_ref())?;
    warn_if_elsewhere(backend.as_ref(), &trees, root);
    let strays = find_strays(backend.as_ref(), &trees, &config, args)?;
    if strays.strays.is_empty() {
        ui::print_text(&format!("{NO_STRAYS}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let app = ReviewApp::new(ReviewModel::new(strays), args.dry_run);
    let world = ReviewWorld { cli, args, config: &config, backend, trees: &trees };
    let confirmed = show_review(&world, app)?;
    // Nothing of the trees stays open while paths are kept.
    drop(world);
    let mut out = io::stdout().lock();
    match confirmed {
        None => Ok(ExitCode::SUCCESS),
        Some((plan, None)) => Ok(plan.print(&mut out)?),
        Some((plan, Some(locked))) => plan.execute(&locked, &args.keep, &mut out),
    }
}

fn find_strays(
    backend: &dyn Backend,
    trees: &ComparedTrees,
    config: &Config,
    args: &Review,
) -> Result<StrayTree> {
    let ComparedTrees { blank, live } = trees;
    let asked = AskedRoots::last(config.evidence.old_roots as usize);
    let JudgedDiff { diff, verdicts, classes, evidence_problem } =
        find_and_judge(backend, trees, config, &args.keep.root.root, &asked)?;
    if let Some(why) = evidence_problem {
        ui::report_warning(format_args!("no old root is asked about the changes: {why}"));
    }
    let (blank, classes) = (blank.as_ref(), classes.as_ref());
    let report = DiffReport {
        blank,
        live,
        diff: &diff,
        verdicts: &verdicts,
        classes,
        only: &[],
        all: false,
    };
    let views = OwnerViews::open(backend, blank, live)?;
    let (owners, warnings) = Ownerships::read(backend, &views, &diff.changes)?;
    warnings.iter().for_each(ui::report_warning);
    Ok(StrayTree::of_report(&report, &owners))
}

/// What the view is about, and what it is done with.
struct ReviewWorld<'a> {
    cli: &'a Cli,
    args: &'a Review,
    config: &'a Config,
    backend: Box<dyn Backend>,
    trees: &'a ComparedTrees,
}

/// A plan that was agreed to and holds, as in [`Agreement::Holds`].
type Confirmed = (Box<ReviewPlan>, Option<Box<LockedConfig>>);

/// The two trees, open for looking inside.
struct OpenTrees {
    live: View,
    blank: Option<View>,
}

impl ReviewWorld<'_> {
    fn open_trees(&self) -> Result<OpenTrees> {
        let blank = self.trees.blank.as_ref().map(|blank| self.backend.view(blank)).transpose()?;
        Ok(OpenTrees { live: self.backend.view(&self.trees.live)?, blank })
    }

    fn explain_path(&self, path: TreePath) -> Result<String> {
        let root = &self.args.keep.root.root;
        let (explanations, of) = explain_paths(self.backend.as_ref(), self.config, root, &[path])?;
        let mut text = Vec::new();
        write_explanations(&explanations, &of, &Style::default(), &Local::now(), &mut text)
            .map_err(|why| Error::io("write the explanation", why))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn plan_review(&self, decided: &DecidedPaths) -> JobResult {
        let plan = ReviewPlan::new(self.cli, &self.args.keep, decided);
        JobResult::Plan(plan.map(Box::new).map_err(|failure| describe_failure(&failure)))
    }

    /// Makes a plan that was agreed to once more, with the configuration locked: since it was shown, storages may have
    /// gone, and paths have become something else.
    fn look_again(&self, plan: Box<ReviewPlan>) -> Result<Agreement, Failure> {
        if self.args.dry_run {
            return Ok(Agreement::Holds(plan, None));
        }
        let locked = LockedConfig::lock_in_place(self.cli, &self.args.keep.root.root, false)?;
        let renewed = Box::new(plan.renew(self.cli, &self.args.keep)?);
        Ok(match plan.is_same(&renewed) {
            true => Agreement::Holds(renewed, Some(Box::new(locked))),
            false => Agreement::Changed(renewed),
        })
    }
}

/// Shows the strays until a plan is confirmed, or the view is left without one.
fn show_review(world: &ReviewWorld<'_>, app: ReviewApp) -> Result<Option<Confirmed>, Failure> {
    let trees = world.open_trees()?;
    let paints = ui::style_of_output(world.cli).color;
    thread::scope(|scope| {
        let terminal = ReviewTerminal::take(!world.args.no_mouse, paints)?;
        let jobs = ReviewJobs::new(scope);
        let mut view = ReviewView { world, trees: &trees, app, jobs, terminal, paints };
        view.run_view()
    })
}

/// The view with all that it is connected to.
struct ReviewView<'scope, 'env> {
    world: &'scope ReviewWorld<'env>,
    trees: &'scope OpenTrees,
    app: ReviewApp,
    jobs: ReviewJobs<'scope, 'env>,
    terminal: ReviewTerminal,
    paints: bool,
}

impl ReviewView<'_, '_> {
    fn run_view(&mut self) -> Result<Option<Confirmed>, Failure> {
        loop {
            let (app, paints) = (&mut self.app, self.paints);
            self.terminal.draw(|frame| review_screen::draw_review(frame, app, paints))?;
            let mut wait = if self.jobs.is_awaited() { WAIT_WITH_JOB } else { IDLE_WAIT };
            // Keys that wait already are all answered by one frame.
            while let Some(event) = self.terminal.next_event(wait)? {
                let effect = match event {
                    Event::Key(key) => self.app.press_key(key),
                    Event::Mouse(event) => self.app.use_mouse(event),
                    Event::Paste(text) => self.app.paste_text(&text),
                    _ => Effect::None,
                };
                if let ControlFlow::Break(confirmed) = self.run_effect(effect) {
                    return Ok(confirmed);
                }
                wait = Duration::ZERO;
            }
            match self.jobs.take_result() {
                Some(JobResult::Agreement(Ok(Agreement::Holds(plan, locked)))) => {
                    // Who was told to end while it was looked at does not begin now.
                    self.terminal.expect_to_go_on()?;
                    return Ok(Some((plan, locked)));
                }
                Some(JobResult::Agreement(Ok(Agreement::Changed(plan)))) => {
                    self.app.show_plan("The plan is another one now: nothing is written yet", plan);
                }
                Some(JobResult::Agreement(Err(why))) => {
                    self.app.show_problem("Nothing is written", &why);
                }
                Some(JobResult::Plan(Ok(plan))) => {
                    self.app.show_plan("The plan: nothing is written yet", plan);
                }
                Some(JobResult::Plan(Err(why))) => self.app.show_problem("No plan", &why),
                Some(JobResult::Explanation(Ok(text))) => self.app.show_explanation(&text),
                Some(JobResult::Explanation(Err(why))) => {
                    self.app.show_problem("No explanation", &why);
                }
                None => {}
            }
        }
    }

    /// Does what a key asks for; breaks with what was confirmed once the view is left.
    fn run_effect(&mut self, effect: Effect) -> ControlFlow<Option<Confirmed>> {
        let world = self.world;
        match effect {
            Effect::None => {}
            Effect::LookInside(path) => {
                let (live, blank) = (self.trees.live.as_fd(), self.trees.blank.as_ref());
                match look_inside(live, blank.map(AsFd::as_fd), &path) {
                    Ok(inside) => self.app.show_inside(path, inside),
                    Err(why) => self.app.show_problem("No look inside", &why.to_string()),
                }
            }
            Effect::Explain(path) => self.jobs.start(move || {
                JobResult::Explanation(world.explain_path(path).map_err(|why| why.to_string()))
            }),
            Effect::Plan(decided) => self.jobs.start(move || world.plan_review(&decided)),
            Effect::CancelJob => self.jobs.cancel(),
            Effect::Quit => return ControlFlow::Break(None),
            Effect::Execute(plan) => self.jobs.start(move || {
                let agreement = world.look_again(plan);
                JobResult::Agreement(agreement.map_err(|failure| describe_failure(&failure)))
            }),
        }
        ControlFlow::Continue(())
    }
}
