//! What takes long in a review, beside the keys: each job on a thread of its own, and nobody waits for one that was
//! given up.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Scope;

use crate::persist::config_file::LockedConfig;
use crate::review::review_plan::ReviewPlan;

/// What looking once more made of a plan that was agreed to.
#[derive(Debug)]
pub(crate) enum Agreement {
    /// It holds. Nobody else changes the configuration from here on; `None` where nothing is to be written.
    Holds(Box<ReviewPlan>, Option<Box<LockedConfig>>),
    /// This one has to be agreed to instead.
    Changed(Box<ReviewPlan>),
}

/// What a job ended with; a problem is in words.
#[derive(Debug)]
pub(crate) enum JobResult {
    Plan(Result<Box<ReviewPlan>, String>),
    Explanation(Result<String, String>),
    /// What became of a plan that was agreed to.
    Agreement(Result<Agreement, String>),
}

/// Starts jobs, and takes the result of the last one.
pub(crate) struct ReviewJobs<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    sender: Sender<(u64, JobResult)>,
    results: Receiver<(u64, JobResult)>,
    /// The number of the last job.
    last: u64,
    is_awaited: bool,
}

impl<'scope, 'env> ReviewJobs<'scope, 'env> {
    pub(crate) fn new(scope: &'scope Scope<'scope, 'env>) -> Self {
        let (sender, results) = mpsc::channel();
        Self { scope, sender, results, last: 0, is_awaited: false }
    }

    pub(crate) fn start(&mut self, work: impl FnOnce() -> JobResult + Send + 'scope) {
        self.last += 1;
        self.is_awaited = true;
        let (number, sender) = (self.last, self.sender.clone());
        self.scope.spawn(move || {
            // Nobody listens once the view was left.
            let _ = sender.send((number, work()));
        });
    }

    pub(crate) fn cancel(&mut self) {
        self.is_awaited = false;
    }

    pub(crate) fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// The result of the last job, if it is there and somebody waits for it.
    pub(crate) fn take_result(&mut self) -> Option<JobResult> {
        let mut all = std::iter::from_fn(|| self.results.try_recv().ok());
        let found = all.find(|(number, _)| *number == self.last && self.is_awaited);
        found.map(|(_, result)| {
            self.is_awaited = false;
            result
        })
    }
}
