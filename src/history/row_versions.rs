//! The versions of many paths at once, each by itself alone: without what is below it. Pure.

use dirfd::Changes;

use crate::evidence::digest::Digest;
use crate::history::path_versions::{PathVersion, own_version, version_of_row};

/// What each root had at a path, in their order; `None` where it was as in blank, or where a root that starts empty had
/// nothing.
type RowStates = Vec<Option<Box<PathVersion>>>;

/// What roots had at each of many paths.
#[derive(Debug)]
pub(crate) struct RowVersions {
    /// Sorted, each with its place among the changes.
    paths: Vec<(usize, Vec<u8>)>,
    /// Of each the versions that were met; `None` for one that was not read, which is no other root's.
    met: Vec<Vec<Option<[u8; 32]>>>,
    states: Vec<RowStates>,
}

impl RowVersions {
    /// Of the changes at these places, which are sorted.
    pub(crate) fn of(changes: &Changes, places: &[usize]) -> Self {
        let (mut cursor, mut at, mut places) = (changes.cursor(), 0, places.iter().peekable());
        let mut paths = Vec::new();
        while let Some((path, ..)) = cursor.next_row() {
            if places.next_if(|place| **place == at).is_some() {
                paths.push((at, path.to_vec()));
            }
            at += 1;
        }
        let (met, states) = (vec![Vec::new(); paths.len()], vec![Vec::new(); paths.len()]);
        Self { paths, met, states }
    }

    /// Looks at the next root.
    pub(crate) fn add_root(&mut self, digest: &Digest) {
        let (mut rows, mut at) = (digest.cursor(), 0);
        while let Some(row) = rows.next_row() {
            while self.paths.get(at).is_some_and(|(_, path)| path.as_slice() < row.path) {
                self.states[at].push(None);
                at += 1;
            }
            if self.paths.get(at).is_some_and(|(_, path)| path == row.path) {
                let number = number_of(own_version(&row), &mut self.met[at]);
                self.states[at].push(Some(Box::new(version_of_row(&row, number))));
                at += 1;
            }
        }
        self.states[at..].iter_mut().for_each(|states| states.push(None));
    }

    /// What the last roots, at most so many, had at the change at this place.
    pub(crate) fn last_states(&self, place: usize, most: usize) -> &[Option<Box<PathVersion>>] {
        let found = self.paths.binary_search_by_key(&place, |(at, _)| *at);
        let states = found.ok().and_then(|at| self.states.get(at)).map_or(&[][..], Vec::as_slice);
        &states[states.len().saturating_sub(most)..]
    }
}

fn number_of(version: Option<[u8; 32]>, met: &mut Vec<Option<[u8; 32]>>) -> usize {
    let known = met.iter().position(|other| version.is_some() && *other == version);
    1 + known.unwrap_or_else(|| {
        met.push(version);
        met.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::evidence_fixture::{changes_of, digest_of};

    #[test]
    fn each_path_has_one_state_a_root_and_the_same_bytes_are_one_version() {
        let changes = changes_of(&[("a/", 0), ("a/b", 1), ("c", 1), ("d", 1)]);
        let mut versions = RowVersions::of(&changes, &[1, 2, 3]);
        for held in [[("a/b", 5), ("c", 1)], [("a/b", 6), ("d", 0)], [("a/b", 5), ("d", 3)]] {
            versions.add_root(&digest_of(&held).unwrap());
        }
        let numbers = |place, most| {
            let states = versions.last_states(place, most).iter();
            states.map(|state| state.as_ref().map_or(0, |v| v.number)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(1, 9), [1, 2, 1]);
        assert_eq!(numbers(2, 9), [1, 0, 0]);
        // What was not read is a version that no other root has.
        assert_eq!(numbers(3, 9), [0, 1, 2]);
        assert_eq!(numbers(1, 2), [2, 1]);
        assert_eq!(numbers(0, 9), [0; 0]);
    }
}
