//! `kcmp(2)`: whether two threads share what they were made with.

use std::io;

use nix::errno::Errno;
use nix::libc::{SYS_kcmp, c_long, syscall};

/// The record of root and working directory (`KCMP_FS`, `linux/kcmp.h`).
const FS: c_long = 3;

/// Whether two threads share their root and working directory, not only have the same ones.
///
/// An error where the kernel lacks the call, where we may not look, or where one of them has ended.
pub fn share_root(one: i32, other: i32) -> io::Result<bool> {
    let unused: c_long = 0;
    // SAFETY: the call takes five numbers and writes to no memory.
    let order =
        unsafe { syscall(SYS_kcmp, c_long::from(one), c_long::from(other), FS, unused, unused) };
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
            unshare(CloneFlags::CLONE_FS).unwrap();
            say.send(me()).unwrap();
            let _ = wait.recv();
        });
        assert!(share_root(me(), hear.recv().unwrap()).unwrap());
        go_on.send(()).unwrap();
        assert!(!share_root(me(), hear.recv().unwrap()).unwrap());
        drop(go_on);
        other.join().unwrap();
        assert!(share_root(me(), i32::MAX).is_err());
    }
}
