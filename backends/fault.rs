//! Names every moment at which a disk or a host is changed, so that tests can fail or cut each.
//!
//! Without the feature `faults` a [`change`] is a plain call. With it, a test may arm one `Fault`
//! for the current thread and see which points a run passes.

/// Runs one change under its name.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn change<T>(
    _point: &'static str,
    run: impl FnOnce() -> std::io::Result<T>,
) -> std::io::Result<T> {
    run()
}

#[cfg(feature = "faults")]
pub use armed::{Fault, change, run_with};

#[cfg(feature = "faults")]
mod armed {
    use std::cell::RefCell;
    use std::io;

    /// What to do at a named point.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Fault {
        /// The call fails with this errno and has no effect.
        Fail(&'static str, i32),
        /// The power goes before the call: it and every later change fail without effect.
        CutBefore(&'static str),
        /// The power goes after the call took effect.
        CutAfter(&'static str),
    }

    type Watcher = Box<dyn FnMut(&'static str)>;

    #[derive(Default)]
    struct State {
        fault: Option<Fault>,
        cut: bool,
        passed: Vec<&'static str>,
        after_each: Option<Watcher>,
    }

    thread_local! {
        static STATE: RefCell<State> = RefCell::default();
    }

    /// Runs `work` with `fault` armed and returns its result with the points that it passed;
    /// `after_each` is called when a change has taken effect, with its point's name.
    pub fn run_with<T>(
        fault: Option<Fault>,
        after_each: Option<Watcher>,
        work: impl FnOnce() -> T,
    ) -> (T, Vec<&'static str>) {
        STATE.with_borrow_mut(|s| *s = State { fault, after_each, ..State::default() });
        let result = work();
        (result, STATE.take().passed)
    }

    /// Runs one change under its name, or what is armed for it.
    pub fn change<T>(point: &'static str, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let armed = STATE.with_borrow_mut(|state| {
            state.passed.push(point);
            if state.fault == Some(Fault::CutBefore(point)) {
                state.cut = true;
            }
            if state.cut {
                return Err(io::Error::other("the power was cut (by a test)"));
            }
            match state.fault {
                Some(Fault::Fail(at, errno)) if at == point => {
                    Err(io::Error::from_raw_os_error(errno))
                }
                _ => Ok(()),
            }
        });
        armed?;
        let result = run();
        let watcher = STATE.with_borrow_mut(|state| state.after_each.take());
        if let Some(mut watcher) = watcher {
            watcher(point);
            STATE.with_borrow_mut(|state| state.after_each = Some(watcher));
        }
        STATE.with_borrow_mut(|state| {
            if state.fault == Some(Fault::CutAfter(point)) {
                state.cut = true;
                return Err(io::Error::other("the power was cut (by a test)"));
            }
            Ok(())
        })?;
        result
    }
}
