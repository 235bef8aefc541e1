//! Which old roots stay and which go, and what is said about each.

use backends::{Slot, Tree, TreeId};
use dirfd::TreeName;
use proptest::prelude::*;

use super::*;

const DAY: i64 = 86_400;
const NOW: i64 = 1_795_359_549;
const RULES: Retention = rules(2, 30);

const fn rules(at_least: u32, days: u32) -> Retention {
    Retention { at_least, days, snapshots: Snapshots::Keep }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// Set aside so many days before `NOW`.
fn ago(days: i64) -> DateTime<Utc> {
    at(NOW - days * DAY)
}

fn record(number: usize, time: DateTime<Utc>) -> Record {
    let id = |name: String| TreeId::new(name);
    let record = Record::next(&[], "3f2a1c9e", time, id(format!("old-{number}")), id("b".into()));
    Record { name: format!("{number:06}-3f2a1c9e"), ..record }
}

fn tree(id: &TreeId, name: &str) -> Tree {
    let name = TreeName::new(format!("old-roots/{name}")).unwrap();
    let (created, copy_of, pristine) = (None, None, None);
    Tree { id: id.clone(), name, read_only: false, created, copy_of, pristine }
}

/// Old roots with these times, the oldest by the file system's order first.
fn survey(times: &[DateTime<Utc>]) -> Survey {
    let old_root = |(number, time): (usize, &DateTime<Utc>)| {
        let record = record(number + 1, *time);
        OldRoot::new(tree(&record.live, &record.name), record)
    };
    let old_roots = times.iter().enumerate().map(old_root).collect();
    Survey { old_roots, has_old_dir: true, ..Survey::new("x", Slot::Missing, Slot::Missing) }
}

fn planned(survey: &Survey, rules: Retention, now: DateTime<Utc>) -> ExpirePlan {
    plan_expiry(survey, rules, now).unwrap()
}

fn told(times: &[DateTime<Utc>], rules: Retention, now: DateTime<Utc>) -> Vec<String> {
    let text = planned(&survey(times), rules, now).to_string();
    text.lines().map(|line| line.replace("-3f2a1c9e", "")).collect()
}

/// The numbers of those that go.
fn gone(times: &[DateTime<Utc>], rules: Retention, now: DateTime<Utc>) -> Vec<String> {
    let told = told(times, rules, now);
    let gone = told.iter().filter_map(|line| line.strip_prefix("discard 00000"));
    gone.filter_map(|line| line.split(':').next()).map(str::to_string).collect()
}

#[test]
fn only_what_both_rules_allow_goes_and_every_one_has_its_reason() {
    let times = [41, 31, 30, 1, 0].map(ago);
    assert_eq!(
        told(&times, RULES, at(NOW)),
        [
            "discard 000001: 41 days old, 3 newer ones stay",
            "discard 000002: 31 days old, 3 newer ones stay",
            "keep 000003: 30 days old, and it stays for 30 days",
            "keep 000004: among the newest 2",
            "keep 000005: among the newest 2",
        ]
    );
    let none = rules(0, 0);
    assert_eq!(
        told(&[ago(1), at(NOW - 60)], none, at(NOW)),
        [
            "discard 000001: 1 day old, and no newer one stays",
            "discard 000002: less than a day old, and no newer one stays"
        ]
    );
    let one = rules(1, 1);
    assert_eq!(
        told(&[ago(2), ago(1), ago(0)], one, at(NOW)),
        [
            "discard 000001: 2 days old, 2 newer ones stay",
            "keep 000002: 1 day old, and it stays for 1 day",
            "keep 000003: the newest"
        ]
    );
}

#[test]
fn the_newest_stay_whatever_the_clock_says() {
    let times = [90, 60, 40, 35, 31].map(ago);
    let in_2099 = at(4_070_908_800);
    assert_eq!(gone(&times, RULES, in_2099), ["1", "2", "3"]);
    assert_eq!(gone(&times, RULES, at(0)), [""; 0]);
    assert_eq!(gone(&[at(0); 5], RULES, in_2099), ["1", "2", "3"]);
    assert_eq!(gone(&[at(0); 5], RULES, at(0)), [""; 0]);
    assert_eq!(gone(&[at(0); 2], RULES, at(NOW)), [""; 0]);
}

#[test]
fn a_clock_of_1970_makes_no_old_root_older_than_those_before_it() {
    let times = [ago(40), ago(3), at(0), at(5), ago(1), ago(0)];
    assert_eq!(
        told(&times, RULES, at(NOW))[..4],
        [
            "discard 000001: 40 days old, 5 newer ones stay",
            "keep 000002: 3 days old, and it stays for 30 days",
            "keep 000003: at most 3 days old, and it stays for 30 days",
            "keep 000004: at most 3 days old, and it stays for 30 days",
        ]
    );
    let times = [ago(40), at(0), ago(1), ago(0)];
    assert_eq!(
        told(&times, RULES, at(NOW))[1],
        "discard 000002: at most 40 days old, 2 newer ones stay"
    );
}

#[test]
fn a_time_that_is_yet_to_come_counts_as_young_and_proves_nothing_of_others() {
    let times = [ago(50), at(NOW + 1), ago(40), ago(1), ago(0)];
    assert_eq!(
        told(&times, RULES, at(NOW))[..3],
        [
            "discard 000001: 50 days old, 3 newer ones stay",
            "keep 000002: set aside at 2026-11-22T14:59:10Z, which is yet to come",
            "discard 000003: 40 days old, 2 newer ones stay",
        ]
    );
}

#[test]
fn leftovers_with_a_record_of_ours_go_and_others_never() {
    let mut survey = survey(&[ago(90), ago(80), ago(70)]);
    let (copy, half) = (record(5, ago(1)), record(6, ago(1)));
    let default = survey.old_roots[0].clone();
    survey.unfinished = vec![
        Unfinished::RecordOnly(record(4, ago(1))),
        Unfinished::FreshCopy { tree: tree(&TreeId::new("c"), &copy.name), record: copy },
        Unfinished::HalfDeleted { tree: tree(&half.live, &half.name), record: half },
        Unfinished::DefaultLeftBehind(default),
        Unfinished::Foreign(TreeName::new("old-roots/mine").unwrap()),
        Unfinished::Leftover(TreeName::new("old-roots/.x.tmp-0").unwrap()),
        Unfinished::UnreadableRecord {
            name: TreeName::new("old-roots/000009-x.json").unwrap(),
            why: "EOF".into(),
        },
    ];
    let rules = rules(1, 30);
    let planned = planned(&survey, rules, at(NOW));
    let text = planned.to_string().replace("-3f2a1c9e", "");
    assert_eq!(
        text,
        "keep 000001: mounts that name no tree lead to it\n\
         discard 000002: 80 days old, 1 newer one stays\n\
         keep 000003: the newest\n\
         discard the record 000004: its old root is gone, or never was\n\
         discard 000005: a fresh copy that never became live\n\
         discard 000006: the rest of it, for a run was interrupted\n"
    );
    assert_eq!((planned.deletions().count(), planned.staying()), (4, 2));
}

#[test]
fn what_cannot_be_seen_is_not_taken_for_nothing() {
    let obstacle = Obstacle { reason: "x is y".into(), hint: Some("do z".into()) };
    let survey = Survey { obstacles: vec![obstacle], ..survey(&[]) };
    let refusals = plan_expiry(&survey, RULES, at(NOW)).unwrap_err();
    assert_eq!(refusals[0].to_string(), "cannot delete old roots: x is y\n  hint: do z");
}

proptest! {
    #[test]
    fn no_clock_and_no_record_takes_more_than_both_rules_allow(
        times in prop::collection::vec(any::<i32>(), 0..12),
        now: i32,
        at_least in 0u32..15,
        days: u32,
    ) {
        let times: Vec<_> = times.iter().map(|time| at((*time).into())).collect();
        let found = survey(&times);
        let planned = planned(&found, rules(at_least, days), at(now.into()));
        prop_assert_eq!(planned.decisions.len(), times.len());
        prop_assert!(planned.staying() >= times.len().min(at_least as usize));
        for (place, decision) in planned.decisions.iter().enumerate() {
            let ExpiryDecision::Goes(old_root, why) = decision else { continue };
            prop_assert_eq!(old_root, &found.old_roots[place]);
            prop_assert!(times.len() - place > at_least as usize);
            let oldest = at(now.into()) - TimeDelta::days(days.into());
            // Neither it nor one that was set aside before it may be younger, as far as it is told.
            let told = times[..=place].iter().filter(|time| **time <= at(now.into()));
            prop_assert!(told.max().is_some_and(|time| *time < oldest));
            prop_assert!(why.newer >= at_least as usize);
        }
    }
}

#[test]
fn snapshots_of_others_keep_an_old_root_unless_the_rules_say_otherwise() {
    let mut found = survey(&[41, 31, 1].map(ago));
    found.old_roots[0].snapshots = vec!["@autosnap 1".into(), "#mark".into()];
    let planned = |rules| planned(&found, rules, at(NOW)).to_string().replace("-3f2a1c9e", "");
    assert_eq!(
        planned(rules(1, 30)).lines().next(),
        Some(
            "keep 000001: it has snapshots that somebody made: @autosnap 1, #mark (`snapshots = \
             \"delete\"` in `retention` lets them go)"
        )
    );
    let told = planned(Retention { snapshots: Snapshots::Delete, ..rules(1, 30) });
    assert_eq!(
        told.lines().next(),
        Some(
            "discard 000001: 41 days old, 1 newer one stays; with its snapshots @autosnap 1, #mark"
        )
    );
}

#[test]
fn what_was_another_live_stays_whatever_the_rules_say() {
    let mut found = survey(&[41, 31, 1].map(ago));
    let other = TreeName::new("other").unwrap();
    found.old_roots[1].record.live_name = Some("other".into());
    let copy = Unfinished::RecordOnly(record(7, at(NOW)).of(&other));
    found.unfinished = vec![copy.clone()];
    let planned =
        |found: &Survey| planned(found, rules(0, 30), at(NOW)).to_string().replace("-3f2a1c9e", "");
    let gone = planned(&found);
    assert!(gone.contains("discard 000002") && gone.contains("record 000007"), "{gone}");
    found.other_lives = vec![other];
    let stays = planned(&found);
    assert!(stays.contains("keep 000002: it was another system's live, `other`"), "{stays}");
    assert!(stays.contains("discard 000001") && !stays.contains("000007"), "{stays}");
}
