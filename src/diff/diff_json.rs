//! `diff --format json`: one document for programs, streamed row by row.
//!
//! The doc comments of its types are the descriptions in `docs/reference/diff.schema.json`.

use std::io::{self, BufWriter, Write};

use backends::Tree;
use dirfd::{ChangeKind, FileType};
use serde::Serialize;
use serde::ser::{SerializeSeq as _, Serializer};
use serde_json::ser::Formatter;

use crate::diff::classify::Verdict;
use crate::diff::ownerships::Ownerships;
use crate::diff::summary::{Summary, Tally, VERDICTS};
use crate::diff::{DiffMethod, DiffReport, DiffRow};
use crate::evidence::classes::Class;
use crate::owners::installed_since::PackageChange;
use crate::owners::owner_json::JsonOwner;
use crate::ui::json_value::{
    ByWord, JsonPath, JsonTime, Octal, Word, timestamp, timestamp_of_seconds,
};

const VERSION: u32 = 1;
const NO_BLANK: &str = "there is no blank, so that everything is new";

/// Writes the document, and a newline after it. One row is one line, all else is on the first. With `owners` each
/// row has its owner.
pub(crate) fn write_diff_json(
    report: &DiffReport<'_>,
    owners: Option<&Ownerships<'_>>,
    out: impl Write,
) -> io::Result<()> {
    let (method, because) = match &report.diff.method {
        DiffMethod::Fast => (JsonMethod::Fast, None),
        DiffMethod::Walk(why) => (JsonMethod::Walk, Some(why.as_str())),
        DiffMethod::Alone => (JsonMethod::Walk, Some(NO_BLANK)),
    };
    let document = DiffDocument {
        version: VERSION,
        blank: report.blank.map(JsonComparedTree::new),
        live: JsonComparedTree::new(report.live),
        method,
        because,
        old_roots: report.boots(),
        summary: JsonSummary::new(&Summary::of(report)),
        changes: JsonChanges { report, owners },
    };
    let mut out = BufWriter::with_capacity(1 << 16, out);
    document.serialize(&mut serde_json::Serializer::with_formatter(&mut out, LineForEachRow))?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Begins each value of an array on a line of its own; the changes are the only array.
struct LineForEachRow;

impl Formatter for LineForEachRow {
    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"\n" } else { b",\n" })
    }
}

/// What differs between blank and live, and what becomes of it at the next boot.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct DiffDocument<'a, 'v> {
    /// Counts up when a key goes or gets another meaning; new keys may come without that.
    #[cfg_attr(test, schemars(extend("const" = VERSION)))]
    version: u32,
    /// The older tree; null where there is none, so that everything is new.
    blank: Option<JsonComparedTree<'a>>,
    /// The newer tree.
    live: JsonComparedTree<'a>,
    /// How the changes were found. `fast`: the file system told what was written since; `walk`: both trees were
    /// walked.
    method: JsonMethod,
    /// Why both trees had to be walked, to follow "because …"; null otherwise.
    because: Option<&'a str>,
    /// How many old roots tell of the classes; 0: none was asked.
    old_roots: u16,
    /// Counts of what `changes` lists.
    summary: JsonSummary,
    /// One object for each change, sorted by the bytes of the paths.
    #[cfg_attr(test, schemars(with = "Vec<JsonChange<'a>>"))]
    changes: JsonChanges<'a, 'v>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
enum JsonMethod {
    Fast,
    Walk,
}

/// One of the two trees.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ComparedTree"))]
struct JsonComparedTree<'a> {
    /// What tells it from all other trees, whatever its name: on Btrfs the UUID of the subvolume.
    id: &'a str,
    /// Its name in its file system.
    name: JsonPath<'a>,
    /// When it was made; null where the file system does not tell.
    created: Option<JsonTime>,
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

/// The changes, counted.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Summary"))]
struct JsonSummary {
    /// How many changes there are.
    total: u64,
    /// How many of each kind.
    changes: ByWord<ChangeKind, u64>,
    /// How many have each verdict, and their bytes.
    verdicts: ByWord<Verdict, Tally>,
    /// How many are of each class; all are 0 where no old root was asked.
    classes: ByWord<Class, u64>,
}

impl JsonSummary {
    fn new(summary: &Summary) -> Self {
        Self {
            total: summary.total(),
            changes: ChangeKind::ALL
                .map(|kind| (kind.word(), summary.kind(kind)))
                .into_iter()
                .collect(),
            verdicts: VERDICTS.map(|v| (v.word(), summary.verdict(v))).into_iter().collect(),
            classes: summary.classes().iter().collect(),
        }
    }
}

/// All changes, each of which is made when its turn has come.
struct JsonChanges<'a, 'v> {
    report: &'a DiffReport<'a>,
    owners: Option<&'a Ownerships<'v>>,
}

impl Serialize for JsonChanges<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(None)?;
        let (mut path, asked) = (Vec::new(), self.report.boots());
        self.report.for_each(|row| {
            path.clear();
            path.push(b'/');
            path.extend_from_slice(row.path);
            let change = JsonChange::new(row, &path, asked);
            let Some(owners) = self.owners else {
                return rows.serialize_element(&change);
            };
            let ownership = owners.owner_of(row);
            let owner = ownership.as_ref().map(|ownership| JsonOwnerOfChange {
                owner: JsonOwner::new(ownership),
                since_blank: owners.package_change(ownership).map(Word),
            });
            rows.serialize_element(&JsonChange { owner: Some(owner), ..change })
        })?;
        rows.end()
    }
}

/// One path that differs. `size`, `mode`, `uid`, `gid` and `mtime` are those of live; of blank where it was removed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Change"))]
struct JsonChange<'a> {
    /// Where it is on the machine, from `/` on.
    path: JsonPath<'a>,
    /// How it differs. `added`: only live has it; `modified`: other content, link target or device number;
    /// `metadata`: the same content, but another owner, mode, extended attribute or ACL; `replaced`: another type of
    /// file; `removed`: only blank has it.
    change: Word<ChangeKind>,
    /// What kind of file it is.
    r#type: Word<FileType>,
    /// Its length in bytes, as `lstat` tells it.
    size: u64,
    /// Its permission bits.
    mode: Octal,
    /// The number of its user.
    uid: u32,
    /// The number of its group.
    gid: u32,
    /// When its content was last written; null for a year that RFC 3339 cannot tell.
    mtime: Option<JsonTime>,
    /// What becomes of it at the next boot. `stray`: it is gone, and nobody decided so; `kept`: it is on the keep
    /// list; `forgotten`: it was declared disposable; `regenerated`: it comes back by itself, since the last old
    /// roots all had the same.
    verdict: Word<Verdict>,
    /// The rule that decided so; null for a stray. For people, the words may change.
    rule: Option<&'a str>,
    /// What the old roots tell of it. `new`: none had it; `some`: `boots` of them; `changing`: all, in two versions at
    /// least; `same`: all, in every byte. Null where none was asked.
    class: Option<Word<Class>>,
    /// How many of the old roots that were asked had it; null where none was asked.
    boots: Option<u16>,
    /// Whose it is; null where nothing tells. This key is there with `--by owner` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Option<JsonOwnerOfChange<'a>>>,
}

/// Whose a change is: what live tells of what is there, and blank of what was removed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OwnerOfChange"))]
struct JsonOwnerOfChange<'a> {
    #[serde(flatten)]
    owner: JsonOwner<'a>,
    /// What happened to the package since blank; null if nothing did, and for units and users.
    since_blank: Option<Word<PackageChange>>,
}

impl<'a> JsonChange<'a> {
    fn new(row: &DiffRow<'a>, path: &'a [u8], asked: u16) -> Self {
        Self {
            path: JsonPath::new(path),
            change: Word(row.kind),
            r#type: Word(row.facts.file_type),
            size: row.facts.size,
            mode: Octal(row.facts.mode),
            uid: row.facts.uid,
            gid: row.facts.gid,
            mtime: timestamp_of_seconds(row.facts.mtime, row.facts.mtime_nanos),
            verdict: Word(row.verdict),
            rule: row.rule,
            class: row.class.map(Word),
            boots: row.class.map(|class| class.boots(asked)),
            owner: None,
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
    use crate::ui::json_schema::assert_published;
    use dirfd::TreePath;
    use serde_json::{Value, json};
    use std::collections::BTreeSet;

    fn document(fixture: &Fixture) -> String {
        text_of(|out| write_diff_json(&fixture.report(), None, out))
    }

    #[test]
    fn the_published_schema_is_that_of_the_document() {
        assert_published::<DiffDocument<'_, '_>>("blankroot diff --format json", "diff");
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
