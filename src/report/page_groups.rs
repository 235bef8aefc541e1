//! Strays by owner, as a page shows them: each name as text that no browser takes for anything else.

use dirfd::path::Escaped;
use serde::Serialize;

use crate::audit::audit_record::{CountByClass, RecordedGroup, RecordedGroups};

/// Maximum number of groups of one audit, and of paths of one group.
const GROUPS: usize = 100;
const TOPMOST: usize = 20;
/// About what a name has beside it, in bytes.
const BESIDE_NAME: usize = 40;

/// Groups, and what is not shown.
#[derive(Debug, Serialize)]
pub(crate) struct PageGroups {
    groups: Vec<PageGroup>,
    groups_left_out: u64,
}

#[derive(Debug, Serialize)]
struct PageGroup {
    title: String,
    paths: u64,
    bytes: u64,
    classes: CountByClass,
    topmost: Vec<PageTop>,
    topmost_left_out: u64,
}

/// A path, how many there are with those in it, and their bytes.
#[derive(Debug, Serialize)]
struct PageTop(String, u64, u64);

impl PageGroups {
    /// As much of them as takes about `room` bytes. Each has its share, so that nobody's long names hide what others have.
    pub(crate) fn within(recorded: &RecordedGroups, room: usize) -> Self {
        let shown = recorded.groups.len().min(GROUPS);
        let share = room / shown.max(1);
        let groups = recorded.groups.iter().take(shown).map(|group| PageGroup::of(group, share));
        let cut = (recorded.groups.len() - shown) as u64;
        Self {
            groups: groups.collect(),
            groups_left_out: recorded.groups_left_out.saturating_add(cut),
        }
    }
}

impl PageGroup {
    fn of(group: &RecordedGroup, mut room: usize) -> Self {
        let tops = group.topmost.iter().take(TOPMOST);
        let tops = tops.map(|top| PageTop(Escaped(&top.path.0).to_string(), top.paths, top.bytes));
        let topmost: Vec<_> = tops
            .take_while(|top| {
                let left = room.checked_sub(top.0.len() + BESIDE_NAME);
                room = left.unwrap_or_default();
                left.is_some()
            })
            .collect();
        let cut = (group.topmost.len() - topmost.len()) as u64;
        Self {
            title: text_of(&group.title),
            paths: group.paths,
            bytes: group.bytes,
            classes: group.classes,
            topmost_left_out: group.topmost_left_out.saturating_add(cut),
            topmost,
        }
    }
}

/// Maximum number of characters of what somebody else wrote.
const LONGEST: usize = 300;

/// What somebody else wrote, to be shown: a machine may say anything of its name.
pub(crate) fn text_of(words: &str) -> String {
    let (shown, rest) = match words.char_indices().nth(LONGEST) {
        Some((end, _)) => (words.get(..end).unwrap_or_default(), "…"),
        None => (words, ""),
    };
    format!("{:#}{rest}", Escaped(shown.as_bytes()))
}
