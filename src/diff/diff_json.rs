//! `diff --format json`: one document for programs, streamed row by row.
//!
//! | key | value |
//! | --- | --- |
//! | `version` | 1 |
//! | `blank`, `live` | the trees: `id`, `name` (a path), `created` (RFC 3339, or null); `blank` is null where there is none |
//! | `method` | how the changes were found: `fast` (what the file system knows was written since) or `walk` (both trees were walked) |
//! | `because` | why both trees had to be walked, to follow "because …"; null otherwise |
//! | `old_roots` | how many old roots tell of the classes; 0: none was asked |
//! | `summary` | `total`; `changes` by kind; `verdicts`, each with `count` and `bytes` ([`Tally`]); `classes` by word |
//! | `changes` | one object a change, sorted by path bytes |
//!
//! `class` is what old roots tell of a change: `new` (none had it), `some` (`boots` of them), `changing` (all, in
//! two versions at least), `same` (all, in every byte), or null where none was asked; then `boots` is null, too.
//!
//! A path is `{"text": "/etc/x"}`, or `{"bytes": "<base64>"}` when it is not UTF-8. `mode` is a
//! string of four octal digits (`"0644"`), since nobody reads decimal modes. `mtime` is RFC 3339 in
//! UTC with nanoseconds, or null for a year that RFC 3339 cannot tell. `size`, `mode`, `uid`, `gid`
//! and `mtime` are those of live; of blank where the file was removed. The summary counts what the
//! document lists.

use std::io::{self, BufWriter, Write};

use backends::Tree;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::diff::summary::{KINDS, Summary, Tally, VERDICTS};
use crate::diff::{DiffMethod, DiffReport, DiffRow};
use crate::evidence::classes::Class;
use crate::ui::json_value::{JsonPath, Octal, timestamp, timestamp_of_seconds};

const VERSION: u32 = 1;
const NO_BLANK: &str = "there is no blank, so that everything is new";

/// Writes the document, and a newline after it. One row is one line, all else is on the first.
pub(crate) fn write_diff_json(report: &DiffReport<'_>, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let (method, because) = match &report.diff.method {
        DiffMethod::Fast => ("fast", None),
        DiffMethod::Walk(why) => ("walk", Some(why.as_str())),
        DiffMethod::Alone => ("walk", Some(NO_BLANK)),
    };
    let head = DiffHead {
        version: VERSION,
        blank: report.blank.map(JsonComparedTree::new),
        live: JsonComparedTree::new(report.live),
        method,
        because,
        old_roots: report.boots(),
        summary: JsonSummary::new(&Summary::of(report)?),
    };
    // The head is an object of its own until its closing brace makes way for the changes.
    let head = serde_json::to_vec(&head)?;
    out.write_all(head.strip_suffix(b"}").unwrap_or(&head))?;
    out.write_all(b",\"changes\":[")?;
    write_rows(report, &mut out)?;
    out.write_all(b"]}\n")?;
    out.flush()
}

fn write_rows(report: &DiffReport<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut separator: &[u8] = b"\n";
    let mut path = Vec::new();
    report.for_each(|row| {
        path.clear();
        path.push(b'/');
        path.extend_from_slice(row.path);
        out.write_all(separator)?;
        separator = b",\n";
        Ok(serde_json::to_writer(&mut *out, &JsonChange::new(row, &path, report.boots()))?)
    })
}

#[derive(Serialize)]
struct DiffHead<'a> {
    version: u32,
    blank: Option<JsonComparedTree<'a>>,
    live: JsonComparedTree<'a>,
    method: &'a str,
    because: Option<&'a str>,
    old_roots: u16,
    summary: JsonSummary,
}

/// One of the two trees.
#[derive(Serialize)]
struct JsonComparedTree<'a> {
    id: &'a str,
    name: JsonPath<'a>,
    created: Option<String>,
}

impl<'a> JsonComparedTree<'a> {
    fn new(tree: &'a Tree) -> Self {
        Self {
            id: tree.id.as_str(),
            name: JsonPath::new(tree.name.as_bytes()),
            created: tree.created.and_then(timestamp),
        }
    }
}

#[derive(Serialize)]
struct JsonSummary {
    total: u64,
    changes: Words<u64>,
    verdicts: Words<Tally>,
    classes: Words<u64>,
}

impl JsonSummary {
    fn new(summary: &Summary) -> Self {
        Self {
            total: summary.total(),
            changes: Words(KINDS.map(|kind| (kind.word(), summary.kind(kind))).into()),
            verdicts: Words(VERDICTS.map(|v| (v.word(), summary.verdict(v))).into()),
            classes: Words(summary.classes().iter().collect()),
        }
    }
}

/// An object whose keys are words of ours, in the order given.
struct Words<T>(Vec<(&'static str, T)>);

impl<T: Serialize> Serialize for Words<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (word, value) in &self.0 {
            map.serialize_entry(word, value)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct JsonChange<'a> {
    path: JsonPath<'a>,
    change: &'a str,
    r#type: &'a str,
    size: u64,
    mode: Octal,
    uid: u32,
    gid: u32,
    mtime: Option<String>,
    verdict: &'a str,
    rule: Option<&'a str>,
    class: Option<&'a str>,
    boots: Option<u16>,
}

impl<'a> JsonChange<'a> {
    fn new(row: &DiffRow<'a>, path: &'a [u8], asked: u16) -> Self {
        Self {
            path: JsonPath::new(path),
            change: row.kind.word(),
            r#type: row.facts.file_type.word(),
            size: row.facts.size,
            mode: Octal(row.facts.mode),
            uid: row.facts.uid,
            gid: row.facts.gid,
            mtime: timestamp_of_seconds(row.facts.mtime, row.facts.mtime_nanos),
            verdict: row.verdict.word(),
            rule: row.rule,
            class: row.class.map(Class::word),
            boots: row.class.map(|class| class.boots(asked)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::classify::Verdict;
    use crate::diff::diff_fixture::{
        Fixture, example_change, file_facts, text_of, week_of_changes,
    };
    use dirfd::{ChangeKind, TreePath};
    use serde_json::{Value, json};
    use std::collections::BTreeSet;

    fn document(fixture: &Fixture) -> String {
        text_of(|out| write_diff_json(&fixture.report(), out))
    }

    #[test]
    fn the_whole_document() {
        let mut fixture = Fixture::new(vec![
            example_change("etc/a \"b\"\n\x1b", ChangeKind::Added, file_facts(1), Verdict::Kept),
            example_change(b"etc/\xff", ChangeKind::Removed, file_facts(2), Verdict::Stray),
        ]);
        fixture.diff.method = DiffMethod::Walk("blank is not a snapshot".to_string());
        insta::assert_snapshot!(document(&fixture), @r#"
        {"version":1,"blank":{"id":"9a0c-blank","name":{"text":"root-blank"},"created":"2026-11-18T11:06:40.000000000Z"},"live":{"id":"7f31-live","name":{"text":"root"},"created":null},"method":"walk","because":"blank is not a snapshot","old_roots":0,"summary":{"total":2,"changes":{"added":1,"modified":0,"metadata":0,"replaced":0,"removed":1},"verdicts":{"stray":{"count":1,"bytes":0},"kept":{"count":1,"bytes":1},"forgotten":{"count":0,"bytes":0},"regenerated":{"count":0,"bytes":0}},"classes":{"new":0,"some":0,"changing":0,"same":0}},"changes":[
        {"path":{"text":"/etc/a \"b\"\n\u001b"},"change":"added","type":"file","size":1,"mode":"0644","uid":0,"gid":0,"mtime":"2026-11-22T14:59:09.120000007Z","verdict":"kept","rule":"/etc/machine-id","class":null,"boots":null},
        {"path":{"bytes":"L2V0Yy//"},"change":"removed","type":"file","size":2,"mode":"0644","uid":0,"gid":0,"mtime":"2026-11-22T14:59:09.120000007Z","verdict":"stray","rule":null,"class":null,"boots":null}]}
        "#);
    }

    #[test]
    fn nothing_changed_is_a_document_too() {
        let parsed: Value = serde_json::from_str(&document(&Fixture::new(Vec::new()))).unwrap();
        assert_eq!(parsed["changes"], json!([]));
        assert_eq!(parsed["summary"]["verdicts"]["stray"], json!({"count": 0, "bytes": 0}));
        assert_eq!((&parsed["method"], &parsed["because"]), (&json!("fast"), &Value::Null));
    }

    #[test]
    fn every_change_comes_back_once_and_is_counted() {
        let fixture = Fixture::new(week_of_changes());
        let parsed: Value = serde_json::from_str(&document(&fixture)).unwrap();
        let changes = parsed["changes"].as_array().unwrap();
        let paths: BTreeSet<String> = changes.iter().map(|row| row["path"].to_string()).collect();
        assert_eq!(
            (changes.len(), paths.len()),
            (week_of_changes().len(), week_of_changes().len())
        );
        assert_eq!(parsed["summary"]["total"], json!(week_of_changes().len()));
        for (key, counts) in [("change", "changes"), ("verdict", "verdicts")] {
            for (word, count) in parsed["summary"][counts].as_object().unwrap() {
                let found = changes.iter().filter(|row| row[key] == json!(word)).count();
                let count = count.get("count").unwrap_or(count);
                assert_eq!(count, &json!(found), "{word}");
            }
        }
    }

    #[test]
    fn narrowing_stops_at_the_borders_of_names() {
        let mut fixture = Fixture::new(week_of_changes());
        fixture.only = vec![TreePath::parse(b"/srv").unwrap()];
        let parsed: Value = serde_json::from_str(&document(&fixture)).unwrap();
        let paths: Vec<&str> = parsed["changes"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|row| row["path"]["text"].as_str())
            .collect();
        assert_eq!(paths, ["/srv", "/srv/kept", "/srv/www", "/srv/www/index.html"]);
        assert_eq!(parsed["summary"]["total"], json!(4));
    }
}
