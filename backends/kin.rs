//! Which threads need no look of their own, since the kernel says that they share with a known one.

use std::io;

/// Tells without a path whether a thread has the very same as another, that was looked at.
///
/// Who shares root and working directory with another (`CLONE_FS`) has the same root directory and
/// the same mount namespace: the kernel lets no thread change the latter before it stops sharing
/// (`unshare(2)`, `setns(2)`). All kernel threads share with the first process, and most threads
/// with their process, so that most of a machine need not be looked up.
#[derive(Debug)]
pub struct Kin {
    /// Whether the numbers in this `/proc` are those that system calls take.
    same_numbers: bool,
    /// Whether two threads share what is looked at.
    share: fn(i32, i32) -> io::Result<bool>,
    /// The last thread that was looked at.
    known: Option<i32>,
}

impl Kin {
    /// `status` is our own thread's file of that name in the `/proc` whose threads are asked for.
    pub fn new(status: &[u8], share: fn(i32, i32) -> io::Result<bool>) -> Self {
        Self { same_numbers: is_numbered_here(status), share, known: None }
    }

    /// `thread` was looked at.
    pub fn remember(&mut self, thread: i32) {
        self.known = Some(thread);
    }

    /// Whether `thread` shares with it. What the kernel does not tell counts as no.
    pub fn has(&self, thread: i32) -> bool {
        let Some(known) = self.known.filter(|_| self.same_numbers) else { return false };
        (self.share)(known, thread).unwrap_or(false)
    }
}

/// Whether a thread has but one number from this `/proc` down (`NSpid` in proc(5)): then the two are
/// in the same PID namespace.
fn is_numbered_here(status: &[u8]) -> bool {
    let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"NSpid:"));
    line.is_some_and(|line| {
        line.split(u8::is_ascii_whitespace).filter(|n| !n.is_empty()).count() == 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_of_another_pid_namespace_is_told_by_its_numbers() {
        assert!(is_numbered_here(b"Name:\tx\nNSpid:\t4711\nNSpgid:\t1\t2\n"));
        assert!(!is_numbered_here(b"Name:\tx\nNSpid:\t4711\t7\n"));
        assert!(!is_numbered_here(b"NSpid:\n") && !is_numbered_here(b"Name:\tNSpid: 1\n"));
    }
}
