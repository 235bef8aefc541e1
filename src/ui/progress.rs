//! Progress on a terminal while something takes long; silent elsewhere, and gone when dropped.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::ui::is_quiet;

/// A count that goes up: of names, steps or bytes.
pub(crate) struct ProgressCounter(ProgressBar);

impl ProgressCounter {
    /// Names that were looked at.
    pub(crate) fn of_names(what: &'static str) -> Self {
        Self::start(what, 0, "{spinner} {msg}: {human_pos} names")
    }

    /// Steps that are taken one after the other.
    pub(crate) fn of_steps(what: &'static str, total: usize) -> Self {
        let total = u64::try_from(total).unwrap_or(u64::MAX);
        Self::start(what, total, "{msg}: {bar:30} {pos} of {len}")
    }

    /// Bytes that are copied; `total` is 0 where it is not known.
    pub(crate) fn of_bytes(what: &'static str, total: u64) -> Self {
        let template = match total {
            0 => "{spinner} {msg}: {bytes}",
            _ => "{msg}: {bar:30} {bytes} of {total_bytes}, {binary_bytes_per_sec}",
        };
        Self::start(what, total, template)
    }

    fn start(what: &'static str, total: u64, template: &str) -> Self {
        let bar = match (io::stderr().is_terminal() && !is_quiet(), total) {
            (false, _) => ProgressBar::hidden(),
            (true, 0) => ProgressBar::new_spinner(),
            (true, total) => ProgressBar::new(total),
        };
        let bar = bar.with_message(what).with_finish(ProgressFinish::AndClear);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Tells how many there are by now.
    pub(crate) fn set(&self, count: u64) {
        self.0.set_position(count);
    }

    /// Tells how many more there are.
    pub(crate) fn add(&self, count: u64) {
        self.0.inc(count);
    }

    /// Writes something else while the bar is out of the way.
    pub(crate) fn suspend(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }
}
