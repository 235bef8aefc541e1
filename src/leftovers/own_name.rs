//! Names in a storage that Blankroot gives itself, told from all others.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use backends::temporary;

use super::Why;

/// What stands between a name and a number where other data took its place; see
/// [`before_name`](crate::host::making::before_name).
const BEFORE: &[u8] = b".before-";

/// What a name of ours says; `None` for any other.
pub fn of(name: &[u8]) -> Option<Why> {
    if let Some(stem) = temporary::stem(OsStr::from_bytes(name)) {
        return Some(Why::Temporary { of: stem.as_bytes().to_vec() });
    }
    let rest = name.strip_prefix(b".")?;
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let of = rest[..rest.len() - digits].strip_suffix(BEFORE)?;
    (digits > 0 && !of.is_empty()).then(|| Why::SetAside { of: of.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::making::before_name;

    #[test]
    fn our_own_names_are_told_from_all_others() {
        let before = |of: &[u8]| Some(Why::SetAside { of: of.to_vec() });
        for name in [&b"machine-id"[..], b".ssh", b"a\n\xff.before-3"] {
            let aside = before_name(OsStr::from_bytes(name), 12);
            assert_eq!(of(aside.as_bytes()), before(name));
        }
        let aside = before_name(OsStr::from_bytes(&[b'x'; 255]), u32::MAX);
        assert!(matches!(of(aside.as_bytes()), Some(Why::SetAside { .. })));
        assert_eq!(of(b".a.tmp-0"), Some(Why::Temporary { of: b"a".to_vec() }));
        for other in ["a.before-1", ".a.before-", ".before-1", ".a.before-1x", ".a.before", ""] {
            assert_eq!(of(other.as_bytes()), None, "{other}");
        }
    }
}
