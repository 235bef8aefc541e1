//! Names for what is not whole yet: nobody looks for them, and after a power cut they can be told.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, AtFlags};
use rustix::io::Errno;

/// What stands between the final name and a number.
const MARK: &[u8] = b".tmp-";
/// Bytes of the final name that are kept, so that the temporary one is valid too.
const STEM: usize = 230;
/// So many leftovers of one name are stepped over: no number of crashes at a boot may stop the next
/// run, and more than this mean that something else is wrong.
pub const ATTEMPTS: u32 = 1 << 16;

/// The temporary name number `attempt` of what is to be `name`.
pub fn name(name: &OsStr, attempt: u32) -> OsString {
    let stem = name.as_bytes().get(..STEM).unwrap_or(name.as_bytes());
    let whole = [b".", stem, MARK, attempt.to_string().as_bytes()].concat();
    OsStr::from_bytes(&whole).to_os_string()
}

/// The first temporary name of `of` that nothing in `dir` has.
pub fn unused(dir: BorrowedFd<'_>, of: &OsStr) -> io::Result<OsString> {
    for attempt in 0..ATTEMPTS {
        let tried = name(of, attempt);
        match fs::statat(dir, tried.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(tried),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The start of the final name, if `found` is a temporary one.
pub fn stem(found: &OsStr) -> Option<&OsStr> {
    let rest = found.as_bytes().strip_prefix(b".")?;
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let stem = rest[..rest.len() - digits].strip_suffix(MARK)?;
    (digits > 0 && !stem.is_empty()).then(|| OsStr::from_bytes(stem))
}

/// Whether `found` is a temporary name of what was to be `of`.
pub fn is_of(found: &OsStr, of: &OsStr) -> bool {
    let of = of.as_bytes();
    stem(found).is_some_and(|stem| stem.as_bytes() == of.get(..STEM).unwrap_or(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_is_told_from_all_others() {
        let long = [b'x'; 255];
        for of in [&b"a"[..], b"a.tmp-1", b"\xff b\n", b".", &long] {
            let (of, temporary) = (OsStr::from_bytes(of), name(OsStr::from_bytes(of), 17));
            assert!(is_of(&temporary, of) && temporary.len() <= 255, "{temporary:?}");
            assert!(!is_of(of, of) && !is_of(&temporary, OsStr::new("other")));
        }
        for other in [".a.tmp-", ".a", "a.tmp-1", ".tmp-1", ".a.tmp-1b", ""] {
            assert_eq!(stem(OsStr::new(other)), None, "{other}");
        }
    }
}
