//! Which version of a path is restored where nobody said which: the only one that there is.

/// What there is to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// No old root has the path.
    Nowhere,
    /// All that have it have the same.
    Only {
        /// The youngest of them.
        chosen: usize,
        /// The others, the youngest first.
        same: Vec<usize>,
    },
    /// There are two versions at least.
    Several,
}

/// Chooses among the old roots that have the path, by their positions, the oldest first. `are_same` compares
/// two of them; it is not asked any more once two differ.
pub(crate) fn choose_version<E>(
    having: &[usize],
    mut are_same: impl FnMut(usize, usize) -> Result<bool, E>,
) -> Result<Choice, E> {
    let Some((&chosen, older)) = having.split_last() else { return Ok(Choice::Nowhere) };
    for &other in older.iter().rev() {
        if !are_same(chosen, other)? {
            return Ok(Choice::Several);
        }
    }
    Ok(Choice::Only { chosen, same: older.iter().rev().copied().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(having: &[usize], content: &[u8]) -> (Choice, usize) {
        let mut asked = 0;
        let chosen = choose_version(having, |a, b| {
            asked += 1;
            Ok::<_, ()>(content[a] == content[b])
        });
        (chosen.unwrap(), asked)
    }

    #[test]
    fn the_only_one_needs_no_comparison() {
        assert_eq!(choose(&[], b""), (Choice::Nowhere, 0));
        assert_eq!(choose(&[1], b"xx"), (Choice::Only { chosen: 1, same: vec![] }, 0));
    }

    #[test]
    fn of_the_same_the_youngest_is_taken_and_the_others_are_told() {
        let expected = Choice::Only { chosen: 4, same: vec![2, 0] };
        assert_eq!(choose(&[0, 2, 4], b"a_a_a"), (expected, 2));
    }

    #[test]
    fn two_versions_are_nobodys_to_choose_from() {
        assert_eq!(choose(&[0, 1, 2], b"aab"), (Choice::Several, 1));
        assert_eq!(choose(&[0, 1, 2], b"baa"), (Choice::Several, 2));
    }

    #[test]
    fn what_cannot_be_compared_is_an_error() {
        assert_eq!(choose_version(&[0, 1], |_, _| Err("unreadable")), Err("unreadable"));
    }
}
