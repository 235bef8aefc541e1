//! The versions of many paths at once, each by itself alone: without what is below it. Pure.

use dirfd::Changes;

use crate::evidence::digest::Digest;
use crate::history::path_versions::own_version;

/// What each root had at a path, in their order: the number of a version, 0 where it was as in blank, or `None` where it
/// was not read.
pub(crate) type PathVersions = Vec<Option<usize>>;

/// What roots had at each of many paths.
#[derive(Debug)]
pub(crate) struct RowVersions {
    /// Sorted.
    paths: Vec<Vec<u8>>,
    /// The versions of each, in the order in which they were met.
    met: Vec<Vec<[u8; 32]>>,
    states: Vec<PathVersions>,
}

impl RowVersions {
    /// Of the changes at these places, which are sorted.
    pub(crate) fn of(changes: &Changes, places: &[usize]) -> Self {
        let (mut cursor, mut at, mut places) = (changes.cursor(), 0, places.iter().peekable());
        let mut paths = Vec::new();
        while let Some((path, ..)) = cursor.next_row() {
            if places.next_if(|place| **place == at).is_some() {
                paths.push(path.to_vec());
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
            while self.paths.get(at).is_some_and(|path| path.as_slice() < row.path) {
                self.states[at].push(Some(0));
                at += 1;
            }
            if self.paths.get(at).is_some_and(|path| path == row.path) {
                let state = own_version(&row).map(|version| number_of(version, &mut self.met[at]));
                self.states[at].push(state);
                at += 1;
            }
        }
        self.states[at..].iter_mut().for_each(|states| states.push(Some(0)));
    }

    /// What the roots had at each path.
    pub(crate) fn into_states(self) -> Vec<PathVersions> {
        self.states
    }
}

fn number_of(version: [u8; 32], met: &mut Vec<[u8; 32]>) -> usize {
    let known = met.iter().position(|other| *other == version);
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
        for held in [[("a/b", 5), ("c", 1)], [("a/b", 6), ("b", 1)], [("a/b", 5), ("d", 0)]] {
            versions.add_root(&digest_of(&held).unwrap());
        }
        let states = versions.into_states();
        assert_eq!(states[0], [Some(1), Some(2), Some(1)]);
        assert_eq!(states[1], [Some(1), Some(0), Some(0)]);
        assert_eq!(states[2], [Some(0), Some(0), None]);
    }
}
