//! The terminal while a review fills it: given back as it was, whatever ends the view.

use std::io::{self, IsTerminal, stdout};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dirfd::{Error, Result};
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
    Event,
};
use ratatui::crossterm::{execute, style};
use ratatui::{DefaultTerminal, Frame};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::ui::QuietTerminal;

/// Whether the terminal has to be given back.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, taken.
pub(crate) struct ReviewTerminal {
    terminal: DefaultTerminal,
    /// Set by a signal that tells the program to end.
    is_told_to_end: Arc<AtomicBool>,
    /// Once this is set, such a signal does what it does to any program.
    is_given_back: Arc<AtomicBool>,
    /// Goes last.
    _quiet: QuietTerminal,
}

/// An error where there is nobody to look at a screen and to press keys.
pub(crate) fn expect_terminal() -> Result<()> {
    let hint = "`blankroot diff --by owner` prints the same groups anywhere";
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let why = match (io::stdin().is_terminal(), io::stdout().is_terminal(), dumb) {
        (false, _, _) => "standard input is no terminal",
        (_, false, _) => "standard output is no terminal",
        (_, _, true) => "the terminal can only print lines (TERM=dumb)",
        (true, true, false) => return Ok(()),
    };
    Err(Error::new("show the review", why).hint(hint))
}

impl ReviewTerminal {
    pub(crate) fn take(has_mouse: bool, paints: bool) -> Result<Self> {
        let failed = |why| Error::io("take the terminal", why);
        let quiet = QuietTerminal::start();
        let is_told_to_end = Arc::new(AtomicBool::new(false));
        let is_given_back = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGHUP, SIGINT] {
            flag::register_conditional_default(signal, Arc::clone(&is_given_back))
                .and_then(|_| flag::register(signal, Arc::clone(&is_told_to_end)))
                .map_err(failed)?;
        }
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
        if paints {
            // It was asked for, and the variable that says otherwise was looked at.
            style::force_color_output(true);
        }
        IS_TAKEN.store(true, Ordering::SeqCst);
        let terminal = ratatui::try_init().inspect_err(|_| give_back()).map_err(failed)?;
        let taken = Self { terminal, is_told_to_end, is_given_back, _quiet: quiet };
        execute!(stdout(), EnableBracketedPaste).map_err(failed)?;
        if has_mouse {
            execute!(stdout(), EnableMouseCapture).map_err(failed)?;
        }
        Ok(taken)
    }

    pub(crate) fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        let drawn = self.terminal.draw(render);
        drawn.map(drop).map_err(|why| Error::io("draw on the terminal", why))
    }

    /// An error once a signal told the program to end.
    pub(crate) fn expect_to_go_on(&self) -> Result<()> {
        match self.is_told_to_end.load(Ordering::SeqCst) {
            true => Err(Error::new("go on with the review", "it was told to end")
                .hint("nothing was written; run it again")),
            false => Ok(()),
        }
    }

    /// The next event, if one comes within this time.
    pub(crate) fn next_event(&self, wait: Duration) -> Result<Option<Event>> {
        self.expect_to_go_on()?;
        let failed = |why| Error::io("read from the terminal", why);
        // What crossterm has read already comes first. It never waits by itself: it would read a terminal that is gone
        // again and again.
        wait_for_input(Duration::ZERO).map_err(failed)?;
        if !event::poll(Duration::ZERO).map_err(failed)? {
            wait_for_input(wait).map_err(failed)?;
            if !event::poll(Duration::ZERO).map_err(failed)? {
                return Ok(None);
            }
        }
        Ok(Some(event::read().map_err(failed)?))
    }
}

/// Waits until there is something to read, or a signal comes; an error where the terminal is gone.
fn wait_for_input(wait: Duration) -> io::Result<()> {
    let stdin = io::stdin();
    let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
    let wait =
        Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
    match rustix::event::poll(&mut polled, Some(&wait)) {
        Err(Errno::INTR) => Ok(()),
        Err(why) => Err(why.into()),
        Ok(_) if polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) => {
            Err(io::Error::other("it is gone"))
        }
        Ok(_) => Ok(()),
    }
}

impl Drop for ReviewTerminal {
    fn drop(&mut self) {
        give_back();
        self.is_given_back.store(true, Ordering::SeqCst);
    }
}

fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        // Nothing can be told to a terminal that is gone.
        let _ = execute!(stdout(), DisableMouseCapture, DisableBracketedPaste);
        ratatui::restore();
    }
}
