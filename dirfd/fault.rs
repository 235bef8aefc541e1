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
        /// As `Fail`, but only the change with this position in the run, from 0: one name may be
        /// passed several times.
        FailNth(usize, i32),
        /// As `CutBefore`, by position.
        CutBeforeNth(usize),
        /// As `CutAfter`, by position.
        CutAfterNth(usize),
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
            let position = state.passed.len();
            state.passed.push(point);
            let cuts = [Fault::CutBefore(point), Fault::CutBeforeNth(position)];
            if state.fault.is_some_and(|fault| cuts.contains(&fault)) {
                state.cut = true;
            }
            if state.cut {
                return Err(io::Error::other("the power was cut (by a test)"));
            }
            match state.fault {
                Some(Fault::Fail(at, errno)) if at == point => {
                    Err(io::Error::from_raw_os_error(errno))
                }
                Some(Fault::FailNth(at, errno)) if at == position => {
                    Err(io::Error::from_raw_os_error(errno))
                }
                _ => Ok(position),
            }
        });
        let position = armed?;
        let result = run();
        let watcher = STATE.with_borrow_mut(|state| state.after_each.take());
        if let Some(mut watcher) = watcher {
            watcher(point);
            STATE.with_borrow_mut(|state| state.after_each = Some(watcher));
        }
        STATE.with_borrow_mut(|state| {
            let cuts = [Fault::CutAfter(point), Fault::CutAfterNth(position)];
            if state.fault.is_some_and(|fault| cuts.contains(&fault)) {
                state.cut = true;
                return Err(io::Error::other("the power was cut (by a test)"));
            }
            Ok(())
        })?;
        result
    }
}

#[cfg(feature = "faults")]
pub use armed::{Fault, change, run_with};
