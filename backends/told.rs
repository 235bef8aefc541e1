//! What there is to tell of many files: a user can have any number of them, and nobody reads them all.

use crate::path::TreePath;
use crate::paths::{PathId, Paths};

/// The first few of a list, and how many there were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<T> {
    first: Vec<T>,
    count: usize,
}

/// So many are kept.
const FIRST: usize = 20;

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self { first: Vec::new(), count: 0 }
    }
}

impl<T> Told<T> {
    /// Adds one, which is made only if it is among the first.
    pub fn push(&mut self, one: impl FnOnce() -> T) {
        if self.first.len() < FIRST {
            self.first.push(one());
        }
        self.count += 1;
    }

    /// Adds those of another list.
    pub fn extend(&mut self, other: Self) {
        let more = other.more();
        for one in other.first {
            self.push(|| one);
        }
        self.count += more;
    }

    /// The first few.
    pub fn first(&self) -> &[T] {
        &self.first
    }

    /// How many there are beside the first few.
    pub fn more(&self) -> usize {
        self.count - self.first.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A line for each of the first few, and one that counts the others.
    pub fn lines(&self, line: impl Fn(&T) -> String) -> impl Iterator<Item = String> {
        let others = match self.more() {
            0 => None,
            1 => Some("the same is true of 1 more file".to_string()),
            more => Some(format!("the same is true of {more} more files")),
        };
        self.first.iter().map(line).chain(others)
    }
}

impl Told<TreePath> {
    /// Files of a tree, in the order in which they were met. `shown` is the path of the tree.
    pub fn of(mut files: Vec<PathId>, paths: &Paths, shown: &TreePath) -> Self {
        files.sort_unstable();
        let mut told = Self::default();
        for file in files {
            told.push(|| shown.join_path(&paths.path(file)));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_are_told_and_the_others_counted() {
        let mut told = Told::default();
        (0..21).for_each(|number| told.push(|| number));
        let mut others = Told::default();
        (0..FIRST + 5).for_each(|_| others.push(|| 7));
        let lines: Vec<String> = told.lines(|one| format!("{one} is odd")).collect();
        assert_eq!((lines[19].as_str(), lines.len()), ("19 is odd", 21));
        assert_eq!(lines[20], "the same is true of 1 more file");
        told.extend(others);
        assert_eq!((told.len(), told.more(), told.is_empty()), (46, 26, false));
    }
}
