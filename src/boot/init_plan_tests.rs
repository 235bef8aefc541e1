use std::path::PathBuf;

use backends::{Obstacle, TreeId};
use chrono::DateTime;

use super::*;

const ABILITIES: Abilities =
    Abilities { needs_rollback: true, constant_time: true, fast_changes: true };

fn name(text: &str) -> TreeName {
    TreeName::new(text).unwrap()
}

fn layout() -> Layout {
    Layout { live: name("root"), blank: name("root-blank"), old: name("old-roots") }
}

fn tree(text: &str, read_only: bool) -> Slot {
    Slot::Present(Tree {
        id: TreeId::new(text),
        name: name(text),
        read_only,
        created: DateTime::from_timestamp(0, 0),
        copy_of: None,
        pristine: None,
    })
}

fn survey(blank: Slot) -> Survey {
    Survey { kinship: Kinship::Proven, ..Survey::new("x", tree("root", false), blank) }
}

fn there() -> ConfigFile {
    ConfigFile::There { path: PathBuf::from("/c"), blank_line: Some(4) }
}

fn new() -> ConfigFile {
    ConfigFile::New { path: PathBuf::from("/c"), text: "text".into() }
}

fn shown(wanted: &WantedBlank, config: &ConfigFile, survey: &Survey) -> String {
    let layout = layout();
    let how_to_make_read_only = Some("do this");
    let abilities = ABILITIES;
    let now = InitSituation {
        against: &[],
        config,
        layout: Some(&layout),
        strategy: Strategy::SetAside,
        survey,
        abilities,
        how_to_make_read_only,
        remake_initrd: None,
    };
    match plan_init(wanted, now) {
        Ok(plan) => plan.to_string(),
        Err(refusals) => refusals.iter().map(|refusal| format!("{refusal}\n")).collect(),
    }
}

const LIVE: WantedBlank = WantedBlank::New(Origin::Live);

#[test]
fn the_configuration_is_written_before_the_snapshot_is_made() {
    assert_eq!(
        shown(&LIVE, &new(), &survey(Slot::Missing)),
        "1. write the configuration /c\n   + text\n2. make the blank snapshot `root-blank` of `root`\n"
    );
}

fn adopted(blank: &str) -> WantedBlank {
    WantedBlank::Adopted { name: name(blank), even_if_unrelated: false }
}

#[test]
fn a_blank_that_is_no_relative_is_refused_unless_it_is_adopted() {
    let survey = Survey {
        has_old_dir: true,
        kinship: Kinship::Unrelated(None),
        ..survey(tree("root-blank", true))
    };
    let told = shown(&LIVE, &there(), &survey);
    assert!(
        told.contains("blank, `root-blank`, may be another system's: neither it nor live, `root`")
    );
    assert!(told.contains("\n  hint: if `root-blank` is what this root is to be restored to, run"));
    let adopted = |even_if_unrelated| {
        let name = name("root-blank");
        shown(&WantedBlank::Adopted { name, even_if_unrelated }, &there(), &survey)
    };
    assert_eq!(adopted(false), told);
    let adopted = adopted(true);
    assert!(adopted.ends_with("\n1. write down that `root-blank` is the blank of `root`\n"));
    let unknown = Survey { kinship: Kinship::Unknown, ..survey };
    assert!(!shown(&LIVE, &there(), &unknown).contains("cannot"));
}

#[test]
fn what_is_there_is_told_and_what_is_missing_is_made() {
    let all = Survey { has_old_dir: true, ..survey(tree("root-blank", true)) };
    let blank = "there already: blank, `root-blank`, read-only, made 1970-01-01 00:00:00 UTC\n";
    let old = "there already: the directory of old roots, `old-roots`, with 0 old roots\n";
    let config = "there already: the configuration /c\n";
    for wanted in [LIVE, WantedBlank::New(Origin::Empty), adopted("root-blank")] {
        assert_eq!(shown(&wanted, &there(), &all), format!("{config}{blank}{old}"));
        assert_eq!(
            shown(&wanted, &there(), &survey(tree("root-blank", true))),
            format!("{config}{blank}1. make the directory of old roots `old-roots`\n")
        );
    }
}

#[test]
fn every_refusal_has_a_hint() {
    let another = adopted("golden");
    let golden = adopted("root-blank");
    let missing = survey(Slot::Missing);
    for (wanted, survey, expected) in [
        (
            &another,
            missing.clone(),
            "another blank, `root-blank`\n  hint: write `blank = \"golden\"` at /c:4,",
        ),
        (&golden, missing.clone(), "no snapshot `root-blank` to adopt\n  hint: name it"),
        (&LIVE, survey(tree("root-blank", false)), "is not read-only\n  hint: do this"),
        (&LIVE, survey(Slot::NotATree("a file".into())), "is a file\n  hint: move it"),
        (
            &LIVE,
            Survey { live: Slot::Missing, ..missing.clone() },
            "live, `root`, is missing\n  hint: ",
        ),
    ] {
        let shown = shown(wanted, &there(), &survey);
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn all_reasons_come_at_once() {
    let obstacle = Obstacle { reason: "odd".into(), hint: None };
    let survey = Survey {
        live: Slot::Missing,
        obstacles: vec![obstacle],
        ..survey(Slot::NotATree("a file".into()))
    };
    assert_eq!(shown(&LIVE, &there(), &survey).matches("cannot set up the root").count(), 3);
}

#[test]
fn a_root_that_starts_empty_needs_no_blank() {
    let survey = survey(Slot::Missing);
    let abilities = Abilities { needs_rollback: false, ..ABILITIES };
    let config = new();
    let now = InitSituation {
        against: &[],
        config: &config,
        layout: None,
        strategy: Strategy::SetAside,
        survey: &survey,
        abilities,
        how_to_make_read_only: None,
        remake_initrd: None,
    };
    let plan = plan_init(&LIVE, now).unwrap();
    assert_eq!((plan.steps.len(), plan.notes.len()), (1, 1));
}

#[test]
fn blank_can_wait_until_the_initrd_is_what_it_is_to_hold() {
    let text = shown(&WantedBlank::Later, &new(), &survey(Slot::Missing));
    let expected = "1. write the configuration /c\n   + text\nnote: there is no blank yet: keep what is wanted, \
                    rebuild the initrd, then run `blankroot init`\n";
    assert_eq!(text, expected);
    let text = shown(&WantedBlank::Later, &there(), &survey(tree("root-blank", true)));
    assert!(text.contains("there already: blank") && !text.contains("no blank yet"), "{text}");
}

#[test]
fn who_makes_blank_at_once_is_told_that_the_initrd_needs_a_look() {
    let (layout, survey, config) = (layout(), survey(Slot::Missing), new());
    let now = InitSituation {
        against: &[],
        config: &config,
        layout: Some(&layout),
        strategy: Strategy::SetAside,
        survey: &survey,
        abilities: ABILITIES,
        how_to_make_read_only: None,
        remake_initrd: Some("update-initramfs -u"),
    };
    let text = plan_init(&LIVE, now).unwrap().to_string();
    let note =
        "note: nothing is rolled back until the initrd is rebuilt with `update-initramfs -u`";
    assert!(text.contains(note), "{text}");
}

#[test]
fn what_keeps_live_from_an_exchange_is_no_matter_where_it_is_put_back_in_place() {
    let reason = "it has a key of its own".to_string();
    let obstacle = Obstacle { reason, hint: None };
    let survey = Survey { immovable: vec![obstacle], ..survey(Slot::Missing) };
    let (layout, config) = (layout(), new());
    for (strategy, refused) in [(Strategy::SetAside, true), (Strategy::Rollback, false)] {
        let now = InitSituation {
            against: &[],
            config: &config,
            layout: Some(&layout),
            strategy,
            survey: &survey,
            abilities: ABILITIES,
            how_to_make_read_only: None,
            remake_initrd: None,
        };
        assert_eq!(plan_init(&LIVE, now).is_err(), refused, "{strategy:?}");
    }
}
