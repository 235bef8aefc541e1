//! What a review shows and what was decided in it: rows, folds, decisions and the way back from them. Pure.

use std::cmp::Reverse;

use dirfd::path::Escaped;

use crate::evidence::classes::{CLASSES, Class};
use crate::review::row_filter::{Decision, RowFilter, contains_text};
use crate::review::stray_tree::{Stray, StrayTree};
use crate::ui::figures;

/// A line of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// The group at this place.
    Group(usize),
    /// The stray at this place.
    Stray(usize),
}

/// By what groups, and strays that lie in the same place, are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SortOrder {
    #[default]
    Path,
    /// The largest first.
    Size,
    /// What no old root had first.
    Class,
}

/// What one key changed: each stray with the decision that it had before, and where the reader was.
#[derive(Debug)]
struct UndoStep {
    before: Vec<(usize, Option<Decision>)>,
    at: Row,
}

/// The state of a review.
#[derive(Debug)]
pub(crate) struct ReviewModel {
    pub(crate) tree: StrayTree,
    /// Of each stray its own; what lies in a decided directory goes with that.
    decisions: Vec<Option<Decision>>,
    undo_steps: Vec<UndoStep>,
    folded_groups: Vec<bool>,
    unfolded: Vec<bool>,
    filter_text: String,
    filter: RowFilter,
    /// Of each stray whether the filter matches it.
    matched: Vec<bool>,
    /// Of each stray whether the filter matches it, or one below it.
    shown: Vec<bool>,
    pub(crate) sort: SortOrder,
    /// All rows that the filter lets through, in order, as if nothing were folded.
    order: Vec<Row>,
    /// Those of them that nothing folded hides.
    rows: Vec<Row>,
    /// Place of the selected row.
    selected: usize,
    /// Place of the first row on the screen.
    top: usize,
}

impl ReviewModel {
    pub(crate) fn new(tree: StrayTree) -> Self {
        let count = tree.strays.len();
        let mut model = Self {
            decisions: vec![None; count],
            undo_steps: Vec::new(),
            folded_groups: tree.groups.iter().map(|group| group.is_told_by_title).collect(),
            unfolded: vec![false; count],
            filter_text: String::new(),
            filter: RowFilter::default(),
            matched: vec![true; count],
            shown: vec![true; count],
            sort: SortOrder::default(),
            order: Vec::new(),
            rows: Vec::new(),
            selected: 0,
            top: 0,
            tree,
        };
        model.sort_rows();
        model
    }

    // Rows, and the way through them.

    /// All rows that can be scrolled to.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn selected(&self) -> Option<Row> {
        self.rows.get(self.selected).copied()
    }

    /// The selected stray.
    pub(crate) fn selected_stray(&self) -> Option<&Stray> {
        match self.selected()? {
            Row::Stray(at) => self.tree.strays.get(at),
            Row::Group(_) => None,
        }
    }

    /// The rows of a list so many lines high, each with whether it is selected. Scrolls no further than it must.
    pub(crate) fn scroll_to(&mut self, height: usize) -> impl Iterator<Item = (Row, bool)> {
        let last_top = self.rows.len().saturating_sub(height);
        let least = (self.selected + 1).saturating_sub(height);
        self.top = self.top.clamp(least, self.selected.max(least)).min(last_top.max(least));
        let visible = self.rows.iter().enumerate().skip(self.top).take(height);
        visible.map(|(at, row)| (*row, at == self.selected))
    }

    /// Selects the row on this line of the screen, if there is one; returns whether it was selected before.
    pub(crate) fn select_line(&mut self, line: usize) -> Option<bool> {
        let at = self.top + line;
        if at >= self.rows.len() {
            return None;
        }
        let was_selected = at == self.selected;
        self.selected = at;
        Some(was_selected)
    }

    /// Moves the selection by so many rows, and not beyond the ends.
    pub(crate) fn move_by(&mut self, rows: isize) {
        let last = self.rows.len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(rows).min(last);
    }

    fn select_row(&mut self, row: Row) {
        if let Some(at) = self.rows.iter().position(|other| *other == row) {
            self.selected = at;
        }
    }

    // What is folded.

    /// Whether there is something below a row that could be shown.
    pub(crate) fn is_foldable(&self, row: Row) -> bool {
        match row {
            Row::Group(_) => true,
            Row::Stray(at) => self.tree.children(at).any(|child| self.shown[child]),
        }
    }

    pub(crate) fn is_unfolded(&self, row: Row) -> bool {
        match row {
            Row::Group(at) => !self.folded_groups[at],
            // What is there for the sake of what is below it alone shows that.
            Row::Stray(at) => self.unfolded[at] || !self.matched[at],
        }
    }

    /// Folds or unfolds the selected row.
    pub(crate) fn toggle_fold(&mut self) {
        if let Some(row) = self.selected() {
            self.set_fold(row, !self.is_unfolded(row));
        }
    }

    /// Shows what is below the selected row; goes to the first of that if it is shown already.
    pub(crate) fn unfold_or_enter(&mut self) {
        let Some(row) = self.selected().filter(|row| self.is_foldable(*row)) else { return };
        match self.is_unfolded(row) {
            true => self.move_by(1),
            false => self.set_fold(row, true),
        }
    }

    /// Folds the selected row; goes to the one that it lies below if there is nothing to fold.
    pub(crate) fn fold_or_leave(&mut self) {
        match self.selected() {
            Some(row) if self.is_foldable(row) && self.is_unfolded(row) => {
                self.set_fold(row, false);
            }
            Some(Row::Stray(at)) => {
                let stray = &self.tree.strays[at];
                self.select_row(stray.parent.map_or(Row::Group(stray.group), Row::Stray));
            }
            _ => {}
        }
    }

    fn set_fold(&mut self, row: Row, unfold: bool) {
        match row {
            Row::Group(at) => self.folded_groups[at] = !unfold,
            Row::Stray(at) => self.unfolded[at] = unfold,
        }
        self.fold_rows();
    }

    /// Unfolds whatever hides a row, and selects it.
    fn reveal_row(&mut self, row: Row) {
        if let Row::Stray(at) = row {
            let parents: Vec<usize> = self.tree.with_ancestors(Some(at)).skip(1).collect();
            parents.into_iter().for_each(|parent| self.unfolded[parent] = true);
            self.folded_groups[self.tree.strays[at].group] = false;
            self.fold_rows();
        }
        self.select_row(row);
    }

    // Decisions.

    /// The decision that holds for a stray, and the place of the stray that it was made for: itself, or one that it
    /// lies in.
    pub(crate) fn decision_of(&self, at: usize) -> Option<(Decision, usize)> {
        self.decision_around(Some(at))
    }

    fn decision_around(&self, at: Option<usize>) -> Option<(Decision, usize)> {
        self.tree
            .with_outer(at)
            .find_map(|other| self.decisions[other].map(|decision| (decision, other)))
    }

    /// How many strays have each decision of their own, in the order of [`Decision::ALL`].
    pub(crate) fn count_decisions(&self) -> [u64; 3] {
        Decision::ALL.map(|one| {
            self.decisions.iter().filter(|decision| **decision == Some(one)).count() as u64
        })
    }

    /// Whether anything was decided that would be written.
    pub(crate) fn has_changes(&self) -> bool {
        let writes = |decision: &Option<Decision>| {
            matches!(decision, Some(Decision::Keep | Decision::Forget))
        };
        self.decisions.iter().any(writes)
    }

    /// The paths with this decision of their own.
    pub(crate) fn decided(&self, decision: Decision) -> impl Iterator<Item = &[u8]> {
        let all = self.tree.strays.iter().zip(&self.decisions);
        all.filter(move |(_, own)| **own == Some(decision)).map(|(stray, _)| stray.path.as_slice())
    }

    /// Decides about the selected row, a group for all strays of it that the filter matches, and goes on to the next
    /// row that is not a part of it. `None` takes a decision back. Returns what there is to tell.
    pub(crate) fn decide_selected(&mut self, decision: Option<Decision>) -> Option<String> {
        let row = self.selected()?;
        if matches!(row, Row::Group(_)) && !self.filter_text.is_empty() {
            // Rows stay while they are decided about one by one, but nothing is decided again with all of a group.
            self.set_filter(&self.filter_text.clone());
        }
        let targets: Vec<usize> = match row {
            Row::Stray(at) => match self.refuse_below(at, decision) {
                Some(why) => return Some(why),
                None => vec![at],
            },
            Row::Group(group) => {
                let mut all = self.topmost_matches(group);
                all.retain(|&at| self.refuse_below(at, decision).is_none());
                all
            }
        };
        let mut before = Vec::new();
        for &at in &targets {
            self.set_decision(at, decision, &mut before);
        }
        self.select_next_beside(row);
        if before.is_empty() {
            let is_told = decision.is_none() || targets.is_empty();
            return is_told.then(|| "nothing was decided about this".to_string());
        }
        let told = self.describe_reach(&targets, decision, &before);
        self.undo_steps.push(UndoStep { before, at: row });
        told
    }

    /// What a decision reaches beside the rows that are seen to get it.
    fn describe_reach(
        &self,
        targets: &[usize],
        decision: Option<Decision>,
        before: &[(usize, Option<Decision>)],
    ) -> Option<String> {
        let is_seen = |at: usize, other: usize| {
            self.matched[other] && self.tree.strays[other].group == self.tree.strays[at].group
        };
        let unseen =
            |at: &usize| self.tree.within(*at).iter().filter(|&&o| !is_seen(*at, o)).count();
        let unseen: usize = targets.iter().map(unseen).sum();
        let replaced = before.iter().filter(|(at, had)| had.is_some() && !targets.contains(at));
        let replaced = replaced.count() as u64;
        let mut told = Vec::new();
        if unseen > 0 && decision.is_some() {
            let strays = figures::count_noun(unseen as u64, "stray", "strays");
            told.push(format!("with {strays} in it of other groups, or not shown"));
        }
        if replaced > 0 {
            let decisions = figures::count_noun(replaced, "decision", "decisions");
            told.push(format!("{decisions} in it taken back"));
        }
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// Takes the last change of decisions back. Returns what there is to tell.
    pub(crate) fn undo_last(&mut self) -> String {
        let Some(step) = self.undo_steps.pop() else { return "nothing to undo".to_string() };
        for (at, decision) in &step.before {
            self.decisions[*at] = *decision;
        }
        self.reveal_row(step.at);
        let count = figures::count_noun(step.before.len() as u64, "decision", "decisions");
        format!("undone: {count}")
    }

    /// Those of a group that the filter matches, together with all that lies in them, and that lie in no other such.
    fn topmost_matches(&self, group: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let (mut at, end) = (self.tree.groups[group].first, self.tree.groups[group].end);
        let is_of_it = |at: usize| self.matched[at] && self.tree.strays[at].group == group;
        while at < end {
            // Nobody sees here what of it is hidden or of another group.
            let is_whole =
                is_of_it(at) && self.tree.within(at).iter().all(|&other| is_of_it(other));
            found.extend(is_whole.then_some(at));
            at += 1 + if is_whole { self.tree.strays[at].below } else { 0 };
        }
        found
    }

    /// Why nothing can be decided about a stray: a directory around it was decided about.
    fn refuse_below(&self, at: usize, decision: Option<Decision>) -> Option<String> {
        let (of_outer, outer) = self.decision_around(self.tree.with_outer(Some(at)).nth(1))?;
        // To leave a directory is to leave the rest of it.
        if of_outer == Decision::Leave && decision.is_some() {
            return None;
        }
        let (path, word) = (Escaped(&self.tree.strays[outer].path), of_outer.word());
        Some(format!("decided with /{path} ({word}); `c` there takes that back"))
    }

    fn set_decision(
        &mut self,
        at: usize,
        decision: Option<Decision>,
        before: &mut Vec<(usize, Option<Decision>)>,
    ) {
        for &other in std::iter::once(&at).chain(self.tree.within(at)) {
            // What lies in a directory that is decided about has nothing of its own.
            let wanted = if other == at { decision } else { None };
            if self.decisions[other] != wanted {
                before.push((other, self.decisions[other]));
                self.decisions[other] = wanted;
            }
        }
    }

    /// Goes to the next row that does not lie below this one.
    fn select_next_beside(&mut self, row: Row) {
        let depth = self.depth_of(row);
        let rest = self.rows.iter().enumerate().skip(self.selected + 1);
        if let Some((at, _)) = rest.into_iter().find(|(_, other)| self.depth_of(**other) <= depth) {
            self.selected = at;
        }
    }

    /// How deep a row lies; a group above all strays.
    fn depth_of(&self, row: Row) -> usize {
        match row {
            Row::Group(_) => 0,
            Row::Stray(at) => self.tree.strays[at].depth + 1,
        }
    }

    // What is shown, and in which order.

    pub(crate) fn filter_text(&self) -> &str {
        &self.filter_text
    }

    /// Shows only what matches.
    pub(crate) fn set_filter(&mut self, text: &str) {
        self.filter_text = text.to_string();
        self.filter = RowFilter::parse(text);
        for at in 0..self.tree.strays.len() {
            let stray = &self.tree.strays[at];
            let decision = self.decision_of(at).map(|(decision, _)| decision);
            let group = &self.tree.groups[stray.group];
            self.matched[at] = self.filter.matches(stray, group, decision);
        }
        self.shown.clone_from(&self.matched);
        // What lies in another one comes after it.
        for at in (0..self.tree.strays.len()).rev() {
            if let Some(parent) = self.tree.strays[at].parent.filter(|_| self.shown[at]) {
                self.shown[parent] = true;
            }
        }
        self.sort_rows();
    }

    /// Whether the filter matches a stray, and not only something below it.
    pub(crate) fn is_match(&self, at: usize) -> bool {
        self.matched[at]
    }

    /// Goes on to the next order.
    pub(crate) fn sort_by_next(&mut self) {
        self.sort = match self.sort {
            SortOrder::Path => SortOrder::Size,
            SortOrder::Size => SortOrder::Class,
            SortOrder::Class => SortOrder::Path,
        };
        self.sort_rows();
    }

    fn sort_rows(&mut self) {
        let mut groups: Vec<usize> = (0..self.tree.groups.len()).collect();
        if self.sort == SortOrder::Size {
            groups.sort_by_key(|&at| Reverse(self.tree.groups[at].bytes));
        }
        let mut order = Vec::with_capacity(self.tree.strays.len() + groups.len());
        for group in groups {
            let mut waiting = self.sorted_shown(self.tree.topmost(group));
            if waiting.is_empty() {
                continue;
            }
            order.push(Row::Group(group));
            while let Some(at) = waiting.pop() {
                order.push(Row::Stray(at));
                if self.tree.strays[at].below > 0 {
                    waiting.extend(self.sorted_shown(self.tree.children(at)));
                }
            }
        }
        self.order = order;
        self.fold_rows();
    }

    /// Those that are shown, the last first.
    fn sorted_shown(&self, strays: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut shown: Vec<usize> = strays.filter(|&at| self.shown[at]).collect();
        let strays = &self.tree.strays;
        match self.sort {
            SortOrder::Path => {}
            SortOrder::Size => shown.sort_by_key(|&at| Reverse(strays[at].bytes)),
            SortOrder::Class => shown.sort_by_key(|&at| {
                let word = strays[at].class.map(Class::word);
                CLASSES.iter().position(|class| Some(*class) == word)
            }),
        }
        shown.reverse();
        shown
    }

    /// Leaves out what is folded; stays at the selected row, or at the one that holds it.
    fn fold_rows(&mut self) {
        let selected = self.selected();
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        // Rows deeper than this are folded away.
        let mut deepest = usize::MAX;
        for row in &self.order {
            let depth = self.depth_of(*row);
            if depth > deepest {
                continue;
            }
            deepest = if self.is_unfolded(*row) { usize::MAX } else { depth };
            rows.push(*row);
        }
        self.rows = rows;
        self.selected = self.selected.min(self.rows.len().saturating_sub(1));
        self.select_nearest(selected);
    }

    fn select_nearest(&mut self, row: Option<Row>) {
        let holders: Vec<Row> = match row {
            None => return,
            Some(Row::Group(_)) => row.into_iter().collect(),
            Some(Row::Stray(at)) => {
                let strays = self.tree.with_ancestors(Some(at)).map(Row::Stray);
                strays.chain([Row::Group(self.tree.strays[at].group)]).collect()
            }
        };
        let mut found = self.rows.iter().enumerate().filter(|(_, row)| holders.contains(row));
        // The deepest that is there comes last.
        if let Some((at, _)) = found.next_back() {
            self.selected = at;
        }
    }

    /// Goes to the next row that has `text` in its path or title, folded or not, from the selected one on or, to find
    /// `another`, behind it; backwards too. Returns whether there is one.
    pub(crate) fn select_match(&mut self, text: &str, another: bool, backwards: bool) -> bool {
        let wanted = text.to_ascii_lowercase().into_bytes();
        let count = self.order.len();
        let start = self.selected().and_then(|row| self.order.iter().position(|one| *one == row));
        let Some(start) = start.filter(|_| !wanted.is_empty()) else { return false };
        let steps = usize::from(another)..count + usize::from(another);
        let places = steps.map(|step| match backwards {
            false => (start + step) % count,
            true => (start + 2 * count - step) % count,
        });
        let found = places.map(|at| self.order[at]).find(|row| {
            let text = match row {
                Row::Group(at) => self.tree.groups[*at].title.as_bytes(),
                // What a row below another one shows begins with its own name.
                Row::Stray(at) => self.tree.strays[*at].path.as_slice(),
            };
            contains_text(text, &wanted)
        });
        if let Some(row) = found {
            self.reveal_row(row);
        }
        found.is_some()
    }
}

#[cfg(test)]
#[path = "review_model_tests.rs"]
mod tests;
