//! `kcmp(2)`: whether two threads share what they were made with, and an order of those who do not.

use std::cmp::Ordering;
use std::io;

use nix::errno::Errno;
use nix::libc::{SYS_ioprio_set, SYS_kcmp, c_long, syscall};

/// The table of open files (`KCMP_FILES`, `linux/kcmp.h`).
const FILES: c_long = 2;
/// The record of root and working directory (`KCMP_FS`).
const FS: c_long = 3;

/// Orders threads by their root and working directory: equal are those who share them, not only have the
/// same ones.
///
/// An error where the kernel lacks the call, where we may not look, or where one of them has ended.
pub fn by_root(one: i32, other: i32) -> io::Result<Ordering> {
    order(FS, one, other)
}

/// The same by these and by their open files.
pub fn by_root_and_files(one: i32, other: i32) -> io::Result<Ordering> {
    Ok(order(FILES, one, other)?.then(order(FS, one, other)?))
}

fn order(what: c_long, one: i32, other: i32) -> io::Result<Ordering> {
    let unused: c_long = 0;
    // SAFETY: the call takes five numbers and writes to no memory.
    let order =
        unsafe { syscall(SYS_kcmp, c_long::from(one), c_long::from(other), what, unused, unused) };
    match Errno::result(order)? {
        0 => Ok(Ordering::Equal),
        1 => Ok(Ordering::Less),
        2 => Ok(Ordering::Greater),
        _ => Err(io::Error::other("the kernel tells no order")),
    }
}

// `ioprio_set(2)`, which neither rustix nor nix has.

/// A single thread is meant (`IOPRIO_WHO_PROCESS`, `linux/ioprio.h`).
const WHO_PROCESS: c_long = 1;
/// The class of those who get the disk when nobody else wants it (`IOPRIO_CLASS_IDLE`), in the bits
/// above `IOPRIO_CLASS_SHIFT`.
const IDLE: c_long = 3 << 13;

/// From here on the calling thread, and those that it starts, get the disk when nobody else wants
/// it. Needs no privilege.
pub fn be_idle() -> io::Result<()> {
    let this: c_long = 0;
    // SAFETY: the call takes three numbers and writes to no memory.
    Errno::result(unsafe { syscall(SYS_ioprio_set, WHO_PROCESS, this, IDLE) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::SYS_ioprio_get;
    use nix::sched::{CloneFlags, unshare};
    use std::sync::mpsc;

    #[test]
    fn threads_share_until_one_leaves() {
        let me = || rustix::thread::gettid().as_raw_nonzero().get();
        let (say, hear) = mpsc::channel();
        let (go_on, wait) = mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            say.send(me()).unwrap();
            wait.recv().unwrap();
            unshare(CloneFlags::CLONE_FILES).unwrap();
            say.send(me()).unwrap();
            wait.recv().unwrap();
            unshare(CloneFlags::CLONE_FS).unwrap();
            say.send(me()).unwrap();
            let _ = wait.recv();
        });
        let asked = || {
            let other = hear.recv().unwrap();
            [by_root, by_root_and_files].map(|order| {
                let found = order(me(), other).unwrap();
                assert_eq!(found, order(other, me()).unwrap().reverse());
                found == Ordering::Equal
            })
        };
        assert_eq!(asked(), [true, true]);
        go_on.send(()).unwrap();
        assert_eq!(asked(), [true, false]);
        go_on.send(()).unwrap();
        assert_eq!(asked(), [false, false]);
        drop(go_on);
        other.join().unwrap();
        assert!(by_root(me(), i32::MAX).is_err());
    }

    #[test]
    fn a_thread_becomes_idle_and_others_do_not() {
        // SAFETY: as above.
        let class = || unsafe { syscall(SYS_ioprio_get, WHO_PROCESS, 0) } >> 13;
        let idle = move || {
            be_idle().unwrap();
            class()
        };
        assert_eq!(std::thread::spawn(idle).join().unwrap(), 3);
        assert_ne!(class(), 3);
    }
}
