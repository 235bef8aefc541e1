use serde_json::Value;

use super::*;
use crate::ui::colours::Style;

fn finding(id: &'static str, severity: Severity, what: &str, hint: &str) -> Finding {
    let (what, why, hint) = (what.to_string(), "because".to_string(), hint.to_string());
    Finding { id, severity, what, why, hint }
}

fn shown(report: &DoctorReport<'_>, color: bool) -> String {
    let mut out = Vec::new();
    super::write_text(report, &Style { color, ls_colors: None }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn findings() -> Vec<Finding> {
    vec![
        finding("a", Severity::Danger, "one", "do x"),
        finding("a", Severity::Danger, "two", "do y"),
        finding("b", Severity::Note, "three", "nothing"),
    ]
}

#[test]
fn findings_of_one_check_share_their_reason() {
    let report = DoctorReport { findings: &findings(), unchecked: &[] };
    let expected = "\
● 2 dangers, 1 note

danger: one [a]
  hint: do x
danger: two [a]
  why:  because
  hint: do y

note: three [b]
  why:  because
  hint: nothing
";
    assert_eq!(shown(&report, false), expected);
    assert!(shown(&report, true).contains("\x1b["));
    assert_eq!(report.exit_code(), 1);
}

#[test]
fn a_note_alone_is_safe_and_what_was_not_checked_is_not() {
    let unchecked = [Unchecked { what: "blank".into(), why: "no right".into() }];
    let note = &findings()[2..];
    let report = DoctorReport { findings: note, unchecked: &[] };
    assert_eq!(report.exit_code(), 0);
    assert!(shown(&report, false).ends_with("\nNothing has to be done.\n"));
    let report = DoctorReport { findings: note, unchecked: &unchecked };
    assert_eq!(report.exit_code(), 2);
    let text = shown(&report, false);
    assert!(text.starts_with("● 1 note, not everything could be checked\n"), "{text}");
    assert!(text.contains("\ncould not check blank\n  why:  no right\nRun it as root"), "{text}");
    let nothing = DoctorReport { findings: &[], unchecked: &[] };
    assert_eq!(shown(&nothing, false), "● nothing found\n\nNothing needs attention.\n");
}

#[test]
fn programs_get_the_same() {
    let unchecked = [Unchecked { what: "blank".into(), why: "no right".into() }];
    let report = DoctorReport { findings: &findings(), unchecked: &unchecked };
    let mut out = Vec::new();
    super::write_json(&report, &mut out).unwrap();
    let json: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&json["version"], &json["safe"]), (&1.into(), &false.into()));
    assert_eq!(json["findings"][2]["severity"], "note");
    assert_eq!(json["findings"][1]["hint"], "do y");
    assert_eq!(json["unchecked"][0]["what"], "blank");
}
