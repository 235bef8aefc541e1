//! Strays by owner, as a page shows them: each name as text that no browser takes for anything else.

use dirfd::path::{Escaped, is_unprintable};
use serde::Serialize;

use crate::audit::audit_record::{CountByClass, RecordedGroup, RecordedGroups};

/// Maximum number of groups of one audit, and of paths of one group.
const GROUPS: usize = 100;
const TOPMOST: usize = 20;
/// About what a name has beside it, in bytes.
const BESIDE_NAME: usize = 120;

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
    /// As many of them as take about `room` bytes.
    pub(crate) fn within(recorded: &RecordedGroups, mut room: usize) -> Self {
        let mut fits = |bytes: usize| {
            let left = room.checked_sub(bytes + BESIDE_NAME);
            room = left.unwrap_or_default();
            left.is_some()
        };
        let mut groups = Vec::new();
        for group in recorded.groups.iter().take(GROUPS) {
            let title = text_of(&group.title);
            if !fits(title.len()) {
                break;
            }
            groups.push(PageGroup::of(group, title, &mut fits));
        }
        let cut = recorded.groups.len() - groups.len();
        Self { groups_left_out: recorded.groups_left_out + cut as u64, groups }
    }
}

impl PageGroup {
    fn of(group: &RecordedGroup, title: String, mut fits: impl FnMut(usize) -> bool) -> Self {
        let tops = group.topmost.iter().take(TOPMOST);
        let tops = tops.map(|top| PageTop(Escaped(&top.path.0).to_string(), top.paths, top.bytes));
        let topmost: Vec<_> = tops.take_while(|top| fits(top.0.len())).collect();
        let cut = group.topmost.len() - topmost.len();
        Self {
            title,
            paths: group.paths,
            bytes: group.bytes,
            classes: group.classes,
            topmost_left_out: group.topmost_left_out + cut as u64,
            topmost,
        }
    }
}

/// What somebody else wrote, to be shown: a machine may say anything of its name.
pub(crate) fn text_of(words: &str) -> String {
    let mut shown = String::with_capacity(words.len());
    for c in words.chars() {
        match is_unprintable(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    shown
}
