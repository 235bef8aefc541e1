//! How everything is shown: problems on standard error, colours where they are wanted, progress on
//! a terminal.

pub mod colours;
pub mod figures;
pub mod json_value;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lscolors::LsColors;

use crate::cli::arguments::{Cli, Color};
use crate::ui::colours::Style;

/// Writes a problem to standard error.
pub fn report_problem(problem: impl Display) {
    // Nobody is left to tell that standard error is closed.
    let _ = writeln!(io::stderr(), "blankroot: {problem}");
}

/// Writes a warning to standard error.
pub fn report_warning(warning: impl Display) {
    report_problem(format_args!("warning: {warning}"));
}

/// Tells why nothing happens for a while.
pub fn report_waiting() {
    report_problem("waiting for another blankroot, which is at work on the same file system");
}

/// Whether and how to paint what goes to standard output.
pub fn style_of_output(cli: &Cli) -> Style {
    let color = match cli.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
            io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
        }
    };
    Style { color, ls_colors: if color { LsColors::from_env() } else { None } }
}

/// Counts names on a terminal while something takes long; silent elsewhere. Gone when dropped.
pub struct NameProgress(ProgressBar);

impl NameProgress {
    /// Starts counting `what`.
    pub fn new(what: &'static str) -> Self {
        let bar = if io::stderr().is_terminal() {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}: {human_pos} names") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Tells how many there are by now.
    pub fn at(&self, count: u64) {
        self.0.set_position(count);
    }
}

impl Drop for NameProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Counts steps on a terminal while they are taken one after the other; silent elsewhere. Gone when
/// dropped.
pub struct StepProgress(ProgressBar);

impl StepProgress {
    /// Starts counting `what`, of which there are `total`.
    pub fn new(what: &'static str, total: usize) -> Self {
        let bar = if io::stderr().is_terminal() {
            ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX))
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{msg}: {bar:30} {pos} of {len}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// One more was taken; `write` says how it went, while the bar is out of the way.
    pub fn taken(&self, write: impl FnOnce()) {
        self.0.suspend(write);
        self.0.inc(1);
    }
}

impl Drop for StepProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Counts bytes on a terminal while something is copied; silent elsewhere. Gone when dropped.
pub struct ByteProgress(ProgressBar);

impl ByteProgress {
    /// Starts counting `what`; `total` is 0 where it is not known.
    pub fn new(what: &'static str, total: u64) -> Self {
        let bar = match (io::stderr().is_terminal(), total) {
            (false, _) => ProgressBar::hidden(),
            (true, 0) => ProgressBar::new_spinner(),
            (true, total) => ProgressBar::new(total),
        };
        let template = match total {
            0 => "{spinner} {msg}: {bytes}",
            _ => "{msg}: {bar:30} {bytes} of {total_bytes}, {binary_bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Adds to what was copied.
    pub fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// Writes something else while the bar is out of the way.
    pub fn outside(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }
}

impl Drop for ByteProgress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
