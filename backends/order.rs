//! The order of a descent: rows of a directory and what is below them, sorted as whole paths are.

use std::cmp::Ordering;
use std::ffi::CString;

/// The order of two rows, or of going into what is below one where the second is true.
pub fn compare(a: (&[u8], bool), b: (&[u8], bool)) -> Ordering {
    let slash = |descends: bool| descends.then_some(&b'/');
    a.0.iter().chain(slash(a.1)).cmp(b.0.iter().chain(slash(b.1)))
}

/// The directories that a walk has passed by name and must still go into.
///
/// In the order of whole paths, `a` comes first, then `a-b`, then what is in `a`: going into a
/// directory has the key `a/`, and other names may lie between `a` and `a/`. So each directory waits
/// until the next name is greater than its key.
///
/// Names arrive in ascending order. Whatever waits is a prefix of what was pushed later, so the last
/// one pushed always has the smallest key, and a stack is enough.
#[derive(Debug)]
pub struct Waiting<T> {
    stack: Vec<(CString, T)>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { stack: Vec::new() }
    }
}

impl<T> Waiting<T> {
    /// Adds a directory, after its own row was written.
    pub fn push(&mut self, name: CString, what: T) {
        self.stack.push((name, what));
    }

    /// The directory to go into before the row `next` is written; `None` for `next` stands for the
    /// directory's end.
    pub fn pop_before(&mut self, next: Option<&[u8]>) -> Option<(CString, T)> {
        let (name, _) = self.stack.last()?;
        let is_due =
            next.is_none_or(|next| compare((name.to_bytes(), true), (next, false)).is_lt());
        if is_due { self.stack.pop() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    use super::*;

    fn order_of(names: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut waiting = Waiting::default();
        let mut keys = Vec::new();
        let go_into = |waiting: &mut Waiting<()>, next: Option<&[u8]>| {
            let mut due = Vec::new();
            while let Some((name, ())) = waiting.pop_before(next) {
                due.push([name.to_bytes(), b"/"].concat());
            }
            due
        };
        for name in names {
            keys.extend(go_into(&mut waiting, Some(name)));
            keys.push(name.to_vec());
            waiting.push(CString::new(*name).unwrap(), ());
        }
        keys.extend(go_into(&mut waiting, None));
        keys
    }

    #[test]
    fn a_directory_waits_for_the_names_between_its_name_and_its_content() {
        let keys = order_of(&[b"a", b"a-", b"a-b", b"a0", b"b"]);
        let expected: [&[u8]; 10] =
            [b"a", b"a-", b"a-/", b"a-b", b"a-b/", b"a/", b"a0", b"a0/", b"b", b"b/"];
        assert_eq!(keys, expected);
    }

    proptest! {
        #[test]
        fn keys_ascend_whatever_the_names(
            names in prop::collection::btree_set("[a!.\u{7f}-]{1,4}", 0..40)
        ) {
            let names: BTreeSet<Vec<u8>> = names.into_iter().map(String::into_bytes).collect();
            let keys = order_of(&names.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(keys.len(), names.len() * 2);
            prop_assert!(keys.is_sorted());
        }
    }
}
