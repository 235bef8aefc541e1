use super::*;
use crate::review::stray_tree::tests::loose_group;

fn model() -> ReviewModel {
    let alice: [&[u8]; 5] =
        [b"home/alice/", b"home/alice/.cache/", b"home/alice/.cache/a", b"home/alice/b", b"srv/x"];
    ReviewModel::new(StrayTree::new([
        loose_group("user alice", &alice),
        loose_group("of nobody that is known", &[b"etc/hosts", b"var/cache/y", b"var/lib/z"]),
    ]))
}

/// The rows as `* title` or `  path`, the selected one with a `>`.
fn shown(model: &mut ReviewModel) -> Vec<String> {
    let rows: Vec<_> = model.scroll_to(100).collect();
    let text = |(row, is_selected): (Row, bool)| {
        let mark = if is_selected { ">" } else { "" };
        match row {
            Row::Group(at) => format!("{mark}* {}", model.tree.groups[at].title),
            Row::Stray(at) => format!("{mark}{}", Escaped(&model.tree.strays[at].path)),
        }
    };
    rows.into_iter().map(text).collect()
}

fn decided(model: &ReviewModel, decision: Decision) -> Vec<String> {
    model.decided(decision).map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

fn select(model: &mut ReviewModel, path: &str) {
    let found = model.tree.strays.iter().position(|stray| stray.path == path.as_bytes());
    model.reveal_row(Row::Stray(found.unwrap()));
}

#[test]
fn what_is_folded_is_not_shown_and_folding_stays_at_the_row_that_holds_it() {
    let mut model = model();
    let all = [
        ">* user alice",
        "home/alice",
        "srv/x",
        "* of nobody that is known",
        "etc/hosts",
        "var/cache/y",
        "var/lib/z",
    ];
    assert_eq!(shown(&mut model), all);
    model.unfold_or_enter();
    model.unfold_or_enter();
    model.unfold_or_enter();
    assert_eq!(
        shown(&mut model)[..4],
        ["* user alice", "home/alice", ">home/alice/.cache", "home/alice/b"]
    );
    model.unfold_or_enter();
    model.move_by(1);
    assert_eq!(shown(&mut model)[3], ">home/alice/.cache/a");
    model.fold_or_leave();
    model.fold_or_leave();
    model.fold_or_leave();
    model.fold_or_leave();
    assert_eq!(shown(&mut model)[..3], ["* user alice", ">home/alice", "srv/x"]);
    model.fold_or_leave();
    model.toggle_fold();
    assert_eq!(shown(&mut model)[..2], [">* user alice", "* of nobody that is known"]);
}

#[test]
fn a_decision_is_about_all_that_lies_in_a_directory_and_undo_gives_it_all_back() {
    let mut model = model();
    select(&mut model, "home/alice/.cache");
    assert_eq!(model.decide_selected(Some(Decision::Forget)), None);
    assert_eq!(decided(&model, Decision::Forget), ["home/alice/.cache"]);
    assert_eq!(model.selected_stray().unwrap().path, b"home/alice/b");
    model.decide_selected(Some(Decision::Leave));
    select(&mut model, "home/alice");
    model.decide_selected(Some(Decision::Keep));
    assert_eq!(decided(&model, Decision::Keep), ["home/alice"]);
    assert_eq!(model.count_decisions(), [1, 0, 0]);
    // Nothing in it is decided about on its own as long as that holds.
    select(&mut model, "home/alice/.cache/a");
    let refused = model.decide_selected(Some(Decision::Forget)).unwrap();
    assert_eq!(refused, "decided with /home/alice (keep); `c` there takes that back");
    assert_eq!(model.undo_last(), "undone: 3 decisions");
    assert_eq!(model.selected_stray().unwrap().path, b"home/alice");
    assert_eq!(decided(&model, Decision::Forget), ["home/alice/.cache"]);
    assert_eq!(decided(&model, Decision::Leave), ["home/alice/b"]);
    model.undo_last();
    assert!(model.has_changes());
    model.undo_last();
    assert!(!model.has_changes());
    assert_eq!(model.undo_last(), "nothing to undo");
}

#[test]
fn to_leave_a_directory_takes_back_what_is_decided_in_it_and_more_may_be_decided_then() {
    let mut model = model();
    select(&mut model, "home/alice/b");
    model.decide_selected(Some(Decision::Keep));
    select(&mut model, "home/alice");
    let told = model.decide_selected(Some(Decision::Leave));
    assert_eq!(told.as_deref(), Some("1 decision in it taken back"));
    assert_eq!(model.count_decisions(), [0, 0, 1]);
    select(&mut model, "home/alice/.cache");
    assert_eq!(model.decide_selected(Some(Decision::Forget)), None);
    assert_eq!(model.count_decisions(), [0, 1, 1]);
    // A part of what goes away as a whole cannot be left.
    select(&mut model, "home/alice/.cache/a");
    let refused = model.decide_selected(Some(Decision::Leave)).unwrap();
    assert!(refused.starts_with("decided with /home/alice/.cache (forget)"), "{refused}");
    assert_eq!(model.count_decisions(), [0, 1, 1]);
    select(&mut model, "home/alice");
    model.decide_selected(None);
    assert_eq!(model.count_decisions(), [0, 0, 0]);
}

/// A directory of one package with something of another one in it.
fn model_of_two_packages() -> ReviewModel {
    let jq = loose_group("package jq", &[b"opt/tool/", b"opt/tool/a", b"opt/x"]);
    let zed = loose_group("package zed", &[b"opt/tool/plug", b"srv/zed"]);
    ReviewModel::new(StrayTree::new([jq, zed]))
}

#[test]
fn a_decision_about_a_directory_holds_for_what_other_groups_have_in_it_and_says_so() {
    let mut model = model_of_two_packages();
    select(&mut model, "opt/tool");
    let told = model.decide_selected(Some(Decision::Forget));
    assert_eq!(told.as_deref(), Some("with 1 stray in it of other groups, or not shown"));
    let plug = model.tree.strays.iter().position(|stray| stray.path == b"opt/tool/plug").unwrap();
    assert_eq!(model.decision_of(plug).map(|(decision, _)| decision), Some(Decision::Forget));
    for decision in [Decision::Keep, Decision::Leave] {
        select(&mut model, "opt/tool/plug");
        let refused = model.decide_selected(Some(decision)).unwrap();
        assert!(refused.starts_with("decided with /opt/tool (forget)"), "{refused}");
    }
    // The other way round it is taken back, and told.
    model.undo_last();
    select(&mut model, "opt/tool/plug");
    model.decide_selected(Some(Decision::Keep));
    select(&mut model, "opt/tool");
    let told = model.decide_selected(Some(Decision::Forget)).unwrap();
    assert!(told.ends_with("; 1 decision in it taken back"), "{told}");
    assert_eq!(decided(&model, Decision::Keep), [""; 0]);
}

#[test]
fn a_group_decides_about_nothing_that_is_hidden_or_of_another_group() {
    let mut model = model_of_two_packages();
    model.decide_selected(Some(Decision::Forget));
    assert_eq!(decided(&model, Decision::Forget), ["opt/tool/a", "opt/x"]);
    let mut group = loose_group("user alice", &[b"work/", b"work/old", b"work/new"]);
    group.members[0].class = Some(Class::Same);
    group.members[1].class = Some(Class::Same);
    let mut model = ReviewModel::new(StrayTree::new([group]));
    model.set_filter("class:same");
    model.decide_selected(Some(Decision::Forget));
    assert_eq!(decided(&model, Decision::Forget), ["work/old"]);
    // What was decided since the filter was typed is not open any more.
    model.set_filter("is:open");
    select(&mut model, "work/new");
    model.decide_selected(Some(Decision::Keep));
    select(&mut model, "work/new");
    model.fold_or_leave();
    model.fold_or_leave();
    model.fold_or_leave();
    assert_eq!(model.selected(), Some(Row::Group(0)));
    model.decide_selected(Some(Decision::Forget));
    assert_eq!(decided(&model, Decision::Keep), ["work/new"]);
}

#[test]
fn a_decision_is_taken_back_with_or_without_the_others() {
    let mut model = model();
    select(&mut model, "etc/hosts");
    model.decide_selected(Some(Decision::Keep));
    model.decide_selected(Some(Decision::Forget));
    select(&mut model, "etc/hosts");
    model.decide_selected(None);
    assert_eq!(model.count_decisions(), [0, 1, 0]);
    select(&mut model, "etc/hosts");
    assert_eq!(model.decide_selected(None).as_deref(), Some("nothing was decided about this"));
    model.undo_last();
    assert_eq!(decided(&model, Decision::Keep), ["etc/hosts"]);
}

#[test]
fn a_group_is_decided_about_by_those_that_the_filter_shows() {
    let mut model = model();
    model.set_filter("cache");
    let expected = [
        ">* user alice",
        "home/alice",
        "home/alice/.cache",
        "* of nobody that is known",
        "var/cache/y",
    ];
    assert_eq!(shown(&mut model), expected);
    model.decide_selected(Some(Decision::Forget));
    assert_eq!(decided(&model, Decision::Forget), ["home/alice/.cache"]);
    assert_eq!(shown(&mut model)[3], ">* of nobody that is known");
    model.decide_selected(Some(Decision::Forget));
    assert_eq!(decided(&model, Decision::Forget), ["home/alice/.cache", "var/cache/y"]);
    model.set_filter("is:open owner:alice");
    let paths: Vec<String> = shown(&mut model);
    assert!(!paths.iter().any(|path| path.contains("cache")), "{paths:?}");
    model.set_filter("");
    model.undo_last();
    assert_eq!(decided(&model, Decision::Forget), ["home/alice/.cache"]);
    // Without a filter it is all of a group.
    select(&mut model, "etc/hosts");
    model.fold_or_leave();
    model.decide_selected(Some(Decision::Keep));
    assert_eq!(decided(&model, Decision::Keep), ["etc/hosts", "var/cache/y", "var/lib/z"]);
    model.undo_last();
    assert_eq!(decided(&model, Decision::Keep), [""; 0]);
}

#[test]
fn groups_and_what_lies_side_by_side_are_sorted() {
    let mut group = loose_group("user bob", &[b"b/", b"b/1", b"b/2", b"b/2/x", b"c", b"d"]);
    group.members[1].bytes = 500;
    group.members[4].class = Some(Class::Same);
    let mut model = ReviewModel::new(StrayTree::new([loose_group("unit a", &[b"a"]), group]));
    select(&mut model, "b/2");
    model.sort_by_next();
    assert_eq!(
        shown(&mut model),
        ["* user bob", "b", "b/1", ">b/2", "c", "d", "* unit a", "a"],
        "by size"
    );
    model.sort_by_next();
    assert_eq!(
        shown(&mut model),
        ["* unit a", "a", "* user bob", "b", "b/1", ">b/2", "d", "c"],
        "by class"
    );
    model.sort_by_next();
    assert_eq!(model.sort, SortOrder::Path);
    assert_eq!(shown(&mut model)[6..], ["c", "d"]);
}

#[test]
fn a_search_unfolds_what_it_finds_and_begins_again_at_the_end() {
    let mut model = model();
    assert!(model.select_match("CACHE", false, false));
    let selected = |model: &ReviewModel| {
        model.selected_stray().map(|stray| String::from_utf8_lossy(&stray.path).into_owned())
    };
    assert_eq!(selected(&model).as_deref(), Some("home/alice/.cache"));
    assert!(model.select_match("cache", true, false));
    assert_eq!(selected(&model).as_deref(), Some("home/alice/.cache/a"));
    assert!(model.select_match("cache", true, false));
    assert_eq!(selected(&model).as_deref(), Some("var/cache/y"));
    assert!(model.select_match("cache", true, false));
    assert_eq!(selected(&model).as_deref(), Some("home/alice/.cache"));
    assert!(model.select_match("cache", true, true));
    assert_eq!(selected(&model).as_deref(), Some("var/cache/y"));
    assert!(model.select_match("nobody", false, false));
    assert_eq!(model.selected(), Some(Row::Group(1)));
    assert!(!model.select_match("nowhere", true, false) && !model.select_match("", false, false));
    // What the filter hides is not found.
    model.set_filter("hosts");
    assert!(!model.select_match("cache", false, false));
}

#[test]
fn the_selected_row_is_always_on_the_screen() {
    let paths: Vec<String> = (0..50).map(|number| format!("{number:02}")).collect();
    let paths: Vec<&[u8]> = paths.iter().map(|path| path.as_bytes()).collect();
    let mut model = ReviewModel::new(StrayTree::new([loose_group("g", &paths)]));
    let check = |model: &mut ReviewModel, height| {
        let rows: Vec<_> = model.scroll_to(height).collect();
        assert_eq!(rows.len(), height.min(model.rows().len()));
        assert_eq!(rows.iter().filter(|(_, is_selected)| *is_selected).count(), 1);
    };
    for (rows, height) in [(7, 5), (100, 5), (0, 20), (-3, 4), (-100, 9), (30, 60), (0, 1)] {
        model.move_by(rows);
        check(&mut model, height);
    }
    assert_eq!(model.select_line(0), Some(true));
    model.scroll_to(5).for_each(drop);
    assert_eq!(model.select_line(3), Some(false));
    assert_eq!(model.select_line(1_000), None);
}
