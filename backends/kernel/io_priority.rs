//! `ioprio_set(2)`, which neither rustix nor nix has.

use std::io;

use nix::errno::Errno;
use nix::libc::{SYS_ioprio_set, c_long, syscall};

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
    use nix::libc::SYS_ioprio_get;

    use super::*;

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
