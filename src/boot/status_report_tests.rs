use backends::{
    LiveMount, Obstacle, OldRoot, Record, SeenBy, Slot, Space, Stubs, Survey, TreeId, Unfinished,
};
use chrono::FixedOffset;
use dirfd::{TreeName, TreePath};
use serde_json::{Value, json};

use super::*;
use crate::diff::diff_fixture::{example_tree, text_of};
use crate::ui::colours::Style;

const NOW: i64 = 1_795_359_549;
const DAY: i64 = 86_400;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn record(number: u32, time: i64) -> Record {
    Record {
        version: 1,
        name: format!("{number:06}-3f2a1c9e"),
        boot_id: "3f2a1c9e-7a01-4b6e-9d0a-000000000000".to_string(),
        time: at(time),
        live: TreeId::new(format!("old-{number}")),
        live_name: Some("root".into()),
        blank: TreeId::new("9a0c-blank"),
        discarding: None,
    }
}

fn old_root(number: u32, time: i64, own_bytes: Option<u64>) -> OldRoot {
    let tree = example_tree(&format!("old-{number}"), &format!("old-roots/{number}"), Some(time));
    OldRoot { own_bytes, ..OldRoot::new(tree, record(number, time)) }
}

fn survey() -> Survey {
    let mut live = example_tree("7f31-live", "root", Some(NOW - 3_600));
    live.copy_of = Some(TreeId::new("9a0c-blank"));
    Survey {
        kinship: backends::Kinship::Proven,
        tells_copies: true,
        file_system: "8f4d2c1b-0000-4000-8000-1234567890ab".to_string(),
        live: Slot::Present(live),
        blank: Slot::Present(example_tree("9a0c-blank", "root-blank", Some(NOW - 21 * DAY))),
        has_old_dir: true,
        old_roots: vec![
            old_root(8, NOW - 3 * DAY, Some(126_000_000)),
            old_root(9, NOW - 3_600, Some(4_096)),
        ],
        unfinished: Vec::new(),
        other_lives: Vec::new(),
        hold: None,
        live_mounts: vec![LiveMount {
            mount_point: b"/".to_vec(),
            seen_by: SeenBy::Us,
            certain: true,
        }],
        nested: vec![TreePath::parse(b"/var/lib/machines").unwrap()],
        stubs: Some(Stubs {
            replaced: vec![TreePath::parse(b"/var/lib/machines").unwrap()],
            total: 1,
        }),
        immovable: Vec::new(),
        live_is_default: false,
        more_live_mounts: false,
        obstacles: Vec::new(),
        space: Some(Space { available: 2_000_000_000, needed: 16_777_216 }),
    }
}

fn boot() -> BootState {
    BootState {
        boot_id: "3f2a1c9e-7a01-4b6e-9d0a-000000000000".to_string(),
        rolled_back: Some(RolledBack {
            old_root: Some("000009-3f2a1c9e".to_string()),
            at: at(NOW - 3_600),
            duration_ms: Some(43),
        }),
        skipped: None,
    }
}

fn sick() -> (Survey, BootState, Vec<StatusProblem>) {
    let mut survey = survey();
    survey.blank = Slot::NotATree("a directory".to_string());
    survey.old_roots[0].own_bytes = None;
    survey.space = Some(Space { available: 1_000, needed: 16_777_216 });
    survey.unfinished = vec![
        Unfinished::RecordOnly(record(10, NOW)),
        Unfinished::Foreign(TreeName::new(b"old-roots/my \xff\n".to_vec()).unwrap()),
        Unfinished::UnreadableRecord {
            name: TreeName::new("old-roots/000003-aaaaaaaa.json").unwrap(),
            why: "EOF while parsing a value".to_string(),
        },
    ];
    let boot = BootState {
        rolled_back: None,
        skipped: Some("the kernel command line says blankroot=off".to_string()),
        ..boot()
    };
    let problems = vec![
        StatusProblem {
            text: "root-blank is no subvolume".to_string(),
            hint: Some("run `blankroot init` to make one".to_string()),
        },
        StatusProblem { text: "there is no room for a rollback".to_string(), hint: None },
    ];
    (survey, boot, problems)
}

fn human(report: StatusReport<'_>, style: &Style) -> String {
    let now = at(NOW).with_timezone(&FixedOffset::east_opt(2 * 3_600).unwrap());
    text_of(|out| crate::boot::status_text::write_status_text(&report, style, &now, out))
}

#[test]
fn a_healthy_machine() {
    let (survey, boot) = (survey(), boot());
    let report = StatusReport { survey: &survey, boot: &boot, problems: &[], needs_rollback: true };
    insta::assert_snapshot!(human(report, &Style::default()), @r#"
    ● healthy  8f4d2c1b-0000-4000-8000-1234567890ab
           Boot: rolled back at 2026-11-22 15:59 (1 hour ago) in 43 ms; set aside 000009-3f2a1c9e
                 3f2a1c9e-7a01-4b6e-9d0a-000000000000
           Live: root, a copy of root-blank, made 2026-11-22 15:59 (1 hour ago)
          Blank: root-blank, read-only, made 2026-11-01 16:59 (3 weeks ago)
        Mounted: /
         Nested: /var/lib/machines
      Old roots: 2, 120.2 MiB of their own
                 000008-3f2a1c9e   120.2 MiB  2026-11-19 16:59 (3 days ago)
                 000009-3f2a1c9e     4.0 KiB  2026-11-22 15:59 (1 hour ago)
           Room: 1.9 GiB for metadata; a rollback needs 16.0 MiB

    Nothing needs attention.
    "#);
}

#[test]
fn a_sick_machine() {
    let (survey, boot, problems) = sick();
    let report =
        StatusReport { survey: &survey, boot: &boot, problems: &problems, needs_rollback: true };
    let plain = human(report, &Style::default());
    insta::assert_snapshot!(plain, @r#"
    ● 2 problems  8f4d2c1b-0000-4000-8000-1234567890ab
           Boot: not rolled back: the kernel command line says blankroot=off
                 3f2a1c9e-7a01-4b6e-9d0a-000000000000
           Live: root, made 2026-11-22 15:59 (1 hour ago)
          Blank: no tree, but a directory
        Mounted: /
         Nested: /var/lib/machines
      Old roots: 2
                 000008-3f2a1c9e     unknown  2026-11-19 16:59 (3 days ago)
                 000009-3f2a1c9e     4.0 KiB  2026-11-22 15:59 (1 hour ago)
      Half done: 000010-3f2a1c9e: a record without its fresh copy; harmless
                 old-roots/my \xff\n: no record tells of it; never touched
                 old-roots/000003-aaaaaaaa.json: cannot read this record: EOF while parsing a value; what it belongs to is never touched
           Room: 1000 B for metadata; a rollback needs 16.0 MiB

    problem: root-blank is no subvolume
      hint: run `blankroot init` to make one
    problem: there is no room for a rollback
    "#);
    let coloured = human(report, &Style { color: true, ls_colors: None });
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    assert!(!plain.contains('\x1b') && coloured.contains("\x1b[31m"));
}

#[test]
fn a_machine_without_blank_is_not_called_healthy() {
    let mut survey = Survey { blank: Slot::Missing, ..survey() };
    survey.old_roots[0].record.name = "8-\x1b[2J".to_string();
    let boot = BootState::default();
    let report = StatusReport { survey: &survey, boot: &boot, problems: &[], needs_rollback: true };
    let shown = human(report, &Style::default());
    assert!(!shown.contains('\x1b') && shown.contains("8-\\u{1b}[2J"), "{shown}");
    assert!(shown.starts_with("● not set up") && shown.contains("Blank: missing"), "{shown}");
    assert!(shown.ends_with("must both be there before a rollback can run.\n"), "{shown}");
}

#[test]
fn old_roots_that_cannot_be_seen_are_not_said_to_be_none() {
    let hidden = |obstacles| Survey { old_roots: Vec::new(), obstacles, ..survey() };
    let reason = "the old roots in `old-roots` are for root alone to see".to_string();
    let boot = boot();
    for (obstacles, told) in [
        (Vec::new(), "Old roots: none\n"),
        (vec![Obstacle { reason, hint: None }], "Old roots: cannot tell\n"),
    ] {
        let survey = hidden(obstacles);
        let report =
            StatusReport { survey: &survey, boot: &boot, problems: &[], needs_rollback: true };
        let shown = human(report, &Style::default());
        assert!(shown.contains(told), "{shown}");
    }
}

#[test]
fn programs_get_the_same() {
    let (survey, boot, problems) = sick();
    let report =
        StatusReport { survey: &survey, boot: &boot, problems: &problems, needs_rollback: true };
    let parsed: Value = serde_json::from_str(&text_of(|out| {
        crate::boot::status_json::write_status_json(&report, out)
    }))
    .unwrap();
    assert_eq!(parsed["version"], json!(1));
    assert_eq!(parsed["healthy"], json!(false));
    assert_eq!(parsed["blank"], json!({"state": "not-a-tree", "what": "a directory"}));
    assert_eq!(parsed["live"]["name"], json!({"text": "root"}));
    assert_eq!(parsed["live"]["copy_of"], json!("9a0c-blank"));
    assert_eq!(parsed["boot"]["rolled_back"], Value::Null);
    assert_eq!(parsed["nested"], json!([{"text": "/var/lib/machines"}]));
    assert_eq!(parsed["old_roots"][1]["own_bytes"], json!(4_096));
    assert_eq!(parsed["old_roots"][0]["time"], json!("2026-11-19T14:59:09.000000000Z"));
    assert_eq!(parsed["unfinished"][1]["kind"], json!("foreign"));
    assert!(parsed["unfinished"][1]["name"]["bytes"].is_string());
    assert_eq!(
        parsed["problems"][1],
        json!({
            "text": "there is no room for a rollback", "hint": null,
        })
    );
}

#[test]
fn a_rollback_is_told_to_programs() {
    let (survey, boot) = (survey(), boot());
    let report = StatusReport { survey: &survey, boot: &boot, problems: &[], needs_rollback: true };
    let parsed: Value = serde_json::from_str(&text_of(|out| {
        crate::boot::status_json::write_status_json(&report, out)
    }))
    .unwrap();
    assert_eq!(parsed["healthy"], json!(true));
    assert_eq!(
        parsed["boot"]["rolled_back"],
        json!({
            "old_root": "000009-3f2a1c9e", "at": "2026-11-22T13:59:09.000000000Z", "duration_ms": 43,
        })
    );
    assert_eq!(parsed["space"], json!({"available": 2_000_000_000, "needed": 16_777_216}));
}
