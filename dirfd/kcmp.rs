//! Which threads need no look of their own, since the kernel says that they share with a known one.

use std::cmp::Ordering;
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
    /// Orders threads; equal are those who share what is looked at.
    order: fn(i32, i32) -> io::Result<Ordering>,
    /// A thread of each kind that was looked at, in that order: whoever makes many kinds in turn is not
    /// looked at in turn.
    known: Vec<i32>,
}

impl Kin {
    /// `status` is our own thread's file of that name in the `/proc` whose threads are asked for.
    pub fn new(status: &[u8], order: fn(i32, i32) -> io::Result<Ordering>) -> Self {
        Self { same_numbers: is_numbered_here(status), order, known: Vec::new() }
    }

    /// `thread` was looked at.
    pub fn remember(&mut self, thread: i32) {
        if !self.same_numbers {
            return;
        }
        // One that has ended by now has no place in the order.
        if let (true, Err(place)) = ((self.order)(thread, thread).is_ok(), self.search(thread)) {
            self.known.insert(place, thread);
        }
    }

    /// Whether `thread` shares with one of them. What the kernel does not tell counts as no.
    pub fn has(&mut self, thread: i32) -> bool {
        self.same_numbers && self.search(thread).is_ok()
    }

    /// Where one that shares with it is, or where it would be.
    fn search(&mut self, thread: i32) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.known.len());
        while from < to {
            let middle = from + (to - from) / 2;
            match (self.order)(self.known[middle], thread) {
                Ok(Ordering::Equal) => return Ok(middle),
                Ok(Ordering::Less) => from = middle + 1,
                Ok(Ordering::Greater) => to = middle,
                // One of the two has ended.
                Err(_) if (self.order)(thread, thread).is_ok() => {
                    self.known.remove(middle);
                    to -= 1;
                }
                Err(_) => return Err(from),
            }
        }
        Err(from)
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

    /// Threads share by their last digit; those above 90 have ended.
    fn by_digit(one: i32, other: i32) -> io::Result<Ordering> {
        let gone = one > 90 || other > 90;
        if gone { Err(io::ErrorKind::NotFound.into()) } else { Ok((one % 10).cmp(&(other % 10))) }
    }

    #[test]
    fn each_kind_is_looked_at_once_whatever_comes_in_between() {
        let mut kin = Kin::new(b"NSpid:\t1\n", by_digit);
        let mut looked_at = Vec::new();
        for thread in [3, 1, 11, 2, 13, 22, 31, 3, 23, 41, 12, 9] {
            if !kin.has(thread) {
                looked_at.push(thread);
                kin.remember(thread);
            }
        }
        assert_eq!(looked_at, [3, 1, 2, 9]);
        assert!(!kin.has(99), "what the kernel does not tell counts as no");
        kin.remember(99);
        assert_eq!(kin.known, [1, 2, 3, 9], "one that has ended takes no other along");
        assert!(!Kin::new(b"NSpid:\t1\t2\n", by_digit).has(1));
    }

    #[test]
    fn a_thread_of_another_pid_namespace_is_told_by_its_numbers() {
        assert!(is_numbered_here(b"Name:\tx\nNSpid:\t4711\nNSpgid:\t1\t2\n"));
        assert!(!is_numbered_here(b"Name:\tx\nNSpid:\t4711\t7\n"));
        assert!(!is_numbered_here(b"NSpid:\n") && !is_numbered_here(b"Name:\tNSpid: 1\n"));
    }
}
