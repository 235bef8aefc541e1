//! How everything is shown: problems on standard error, colours where they are wanted, progress on
//! a terminal.

pub mod colours;
pub(crate) mod figures;
#[cfg(test)]
pub(crate) mod json_schema;
pub(crate) mod json_value;
pub(crate) mod output_file;
pub(crate) mod progress;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lscolors::LsColors;

use crate::cli::arguments::{Cli, Color};
use crate::ui::colours::Style;

/// Messages that wait for a full-screen view to give the terminal back; `None` while there is none.
static WAITING_MESSAGES: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// Keeps standard error quiet for a full-screen view, and writes what it would have had when this is dropped.
pub(crate) struct QuietTerminal(());

impl QuietTerminal {
    pub(crate) fn start() -> Self {
        *waiting_messages() = Some(Vec::new());
        Self(())
    }
}

impl Drop for QuietTerminal {
    fn drop(&mut self) {
        let messages = waiting_messages().take();
        messages.into_iter().flatten().for_each(report_problem);
    }
}

fn waiting_messages() -> MutexGuard<'static, Option<Vec<String>>> {
    WAITING_MESSAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a full-screen view has the terminal.
pub(crate) fn is_quiet() -> bool {
    waiting_messages().is_some()
}

/// Writes a problem to standard error.
pub(crate) fn report_problem(problem: impl Display) {
    if let Some(waiting) = waiting_messages().as_mut() {
        waiting.push(problem.to_string());
        return;
    }
    // Nobody is left to tell that standard error is closed.
    let _ = writeln!(io::stderr(), "blankroot: {problem}");
}

/// Writes a warning to standard error.
pub(crate) fn report_warning(warning: impl Display) {
    report_problem(format_args!("warning: {warning}"));
}

/// Tells why nothing happens for a while.
pub(crate) fn report_waiting() {
    report_problem("waiting for another blankroot, which is at work on the same file system");
}

/// Writes what was done to standard output. A reader that goes away does not stop or undo it.
pub(crate) fn print_text(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
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
