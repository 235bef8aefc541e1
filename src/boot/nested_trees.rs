//! Words about nested subvolumes, which are no part of blank and go with an old root. Pure.

use backends::Stubs;
use backends::survey::STUBS_REPLACED;
use dirfd::TreePath;

/// Paths that are named; of the others the number is told.
const NAMED: usize = 5;

/// How to keep what is in nested subvolumes.
pub(crate) const HINT_NESTED: &str = "\
    move what is to stay to a subvolume beside live, and mount it in its place with \
    a line in fstab";

/// `/a, /b and 3 more`.
pub(crate) fn list_paths(paths: &[TreePath]) -> String {
    let named: Vec<String> = paths.iter().take(NAMED).map(ToString::to_string).collect();
    match paths.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// `1 subvolume of its own` or `3 subvolumes of its own`.
pub(crate) fn count_subvolumes(paths: &[TreePath]) -> String {
    match paths.len() {
        1 => "1 subvolume of its own".to_string(),
        many => format!("{many} subvolumes of its own"),
    }
}

/// What `init` tells of the subvolumes in live that blank is made without.
pub(crate) fn note_on_nested(nested: &[TreePath]) -> Option<String> {
    if nested.is_empty() {
        return None;
    }
    let first = match nested.len() {
        0..=STUBS_REPLACED => {
            "an empty one takes the place of each in every fresh copy".to_string()
        }
        _ => format!(
            "an empty one takes the place of the first {STUBS_REPLACED} in every fresh copy, and in the \
             places of the others nothing can be made"
        ),
    };
    Some(format!(
        "live has {}, no part of blank: {}; {first}, and what is in them goes with the old root: {HINT_NESTED}",
        count_subvolumes(nested),
        list_paths(nested)
    ))
}

/// The stubs in blank that no rollback replaces.
pub(crate) fn note_on_stubs(stubs: &Stubs) -> Option<String> {
    let left = stubs.total.checked_sub(stubs.replaced.len()).filter(|left| *left > 0)?;
    Some(format!(
        "blank has {} stubs of subvolumes, and {left} of them are replaced by nothing: nothing can be made \
         in their places",
        stubs.total
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_counted_and_the_bound_is_told() {
        let paths: Vec<TreePath> =
            (0..70).map(|n| TreePath::parse(format!("{n:02}").as_bytes()).unwrap()).collect();
        assert_eq!(note_on_nested(&[]), None);
        let text = note_on_nested(&paths).unwrap();
        assert!(text.contains("/00, /01, /02, /03, /04 and 65 more"), "{text}");
        assert!(text.contains("the first 64"), "{text}");
        let text = note_on_nested(&paths[..1]).unwrap();
        assert!(text.contains("1 subvolume of its own, no part of blank: /00;"), "{text}");
        let stubs = Stubs { replaced: paths[..64].to_vec(), total: 70 };
        assert!(note_on_stubs(&stubs).unwrap().contains("70 stubs of subvolumes, and 6 of them"));
        assert_eq!(note_on_stubs(&Stubs { total: 64, ..stubs }), None);
    }
}
