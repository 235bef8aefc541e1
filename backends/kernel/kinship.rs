//! `kcmp(2)`: whether two threads share what they were made with.

use std::io;

use nix::errno::Errno;
use nix::libc::{SYS_kcmp, c_long, syscall};

/// The table of open files (`KCMP_FILES`, `linux/kcmp.h`).
const FILES: c_long = 2;
/// The record of root and working directory (`KCMP_FS`).
const FS: c_long = 3;

/// Whether two threads share their root and working directory, not only have the same ones.
///
/// An error where the kernel lacks the call, where we may not look, or where one of them has ended.
pub fn share_root(one: i32, other: i32) -> io::Result<bool> {
    share(FS, one, other)
}

/// The same of these and of their open files.
pub fn share_root_and_files(one: i32, other: i32) -> io::Result<bool> {
    Ok(share(FILES, one, other)? && share(FS, one, other)?)
}

fn share(what: c_long, one: i32, other: i32) -> io::Result<bool> {
    let unused: c_long = 0;
    // SAFETY: the call takes five numbers and writes to no memory.
    let order =
        unsafe { syscall(SYS_kcmp, c_long::from(one), c_long::from(other), what, unused, unused) };
    Ok(Errno::result(order)? == 0)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

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
            [share_root, share_root_and_files].map(|share| share(me(), other).unwrap())
        };
        assert_eq!(asked(), [true, true]);
        go_on.send(()).unwrap();
        assert_eq!(asked(), [true, false]);
        go_on.send(()).unwrap();
        assert_eq!(asked(), [false, false]);
        drop(go_on);
        other.join().unwrap();
        assert!(share_root(me(), i32::MAX).is_err());
    }
}
