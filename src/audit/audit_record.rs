//! What an audit found, or a former root lost, as it is written down: one line of JSON each.
//!
//! The doc comments of its types are the descriptions in `docs/reference/audit.schema.json`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::diff::owner_groups::{Group, GroupOf, Topmost};
use crate::diff::summary::Tally;
use crate::evidence::classes::{CLASSES, ClassCounts};
use crate::owners::Owner;
use crate::ui::json_value::JsonPathBuf;
#[cfg(test)]
use crate::ui::json_value::{JsonPath, JsonTime};

const VERSION: u32 = 1;

/// What was found, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Record {
    /// Counts up when a key goes or gets another meaning; new keys may come without that.
    #[cfg_attr(test, schemars(extend("const" = VERSION)))]
    version: u32,
    /// When it was written down: RFC 3339, in UTC.
    #[cfg_attr(test, schemars(with = "JsonTime"))]
    pub(crate) time: DateTime<Utc>,
    /// The name of the machine; null if it has none.
    pub(crate) host: Option<String>,
    /// The id of the boot in which it was written down; null where that is another root's than the running one's.
    pub(crate) boot: Option<String>,
    /// What it is a record of.
    pub(crate) event: RecordedEvent,
    /// The strays that are told with their owners: of an audit those that fail it, of a former root those that no
    /// root before had.
    #[serde(flatten)]
    pub(crate) groups: RecordedGroups,
}

/// What was looked at: an object with one key, `audit` or `lost`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum RecordedEvent {
    /// An audit of live.
    Audit(AuditSummary),
    /// A former root that is gone: what it had to lose.
    Lost(LostSummary),
}

/// What an audit found, counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AuditSummary {
    /// `clean`, or `found` if a stray fails the audit.
    pub(crate) result: AuditResult,
    /// What the audit was taken at: `boot`, `shutdown` or `packages`; null where somebody asked for it.
    pub(crate) at: Option<String>,
    /// The name of the old root from which on old roots were asked; null where the youngest were.
    pub(crate) since: Option<String>,
    /// How many old roots were asked what they had.
    pub(crate) old_roots: u16,
    /// Strays that fail the audit.
    pub(crate) fails: Tally,
    /// All other strays.
    pub(crate) told: Tally,
    /// How many of all strays are of which class; all are 0 where no old root was asked.
    pub(crate) classes: CountByClass,
}

impl AuditSummary {
    /// All strays.
    pub(crate) fn strays(&self) -> Tally {
        let Self { fails, told, .. } = self;
        Tally { count: fails.count + told.count, bytes: fails.bytes.saturating_add(told.bytes) }
    }
}

/// How an audit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum AuditResult {
    /// Nothing fails it.
    Clean,
    /// Something does.
    Found,
}

/// What a former root had to lose when it was set aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LostSummary {
    /// Its name.
    pub(crate) root: String,
    /// When it was set aside: RFC 3339, in UTC; null where that is not known.
    #[cfg_attr(test, schemars(with = "Option<JsonTime>"))]
    pub(crate) ended: Option<DateTime<Utc>>,
    /// How many boots it was live in; null where none was written down.
    pub(crate) boots: Option<usize>,
    /// Its strays.
    pub(crate) strays: Tally,
    /// How many of them none of the roots before had; null where there was no root before.
    pub(crate) new: Option<u64>,
}

/// Strays by whom they belong to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RecordedGroups {
    /// One for each owner.
    pub(crate) groups: Vec<RecordedGroup>,
    /// How many more groups there are, which are not told.
    pub(crate) groups_left_out: u64,
    /// How many paths these have.
    pub(crate) paths_left_out: u64,
}

/// Maximum numbers of what a record tells, so that it stays small whatever is found.
const GROUPS: usize = 100;
const TOPMOST: usize = 50;
/// Maximum size in bytes of all paths of a record together, with what is told of each. Each group has its share, so that
/// nobody's long names hide what others have.
const PATH_BYTES: usize = 64 << 10;
/// About what is told of a path beside it.
const BESIDE_PATH: usize = 64;

impl RecordedGroups {
    /// As much of these groups as a record has room for.
    pub(crate) fn of(groups: &BTreeMap<GroupOf, Group>) -> Self {
        // What nobody is known to own comes first, and then who has most.
        let mut by_rank: Vec<_> = groups.iter().collect();
        by_rank.sort_by_key(|(of, group)| {
            let is_nobodys = matches!(of, GroupOf::Nobody);
            (!is_nobodys, Reverse(group.paths.len()))
        });
        let left_out = by_rank.split_off(by_rank.len().min(GROUPS));
        let paths = left_out.iter().map(|(_, group)| group.paths.len() as u64);
        let (groups_left_out, paths_left_out) = (left_out.len() as u64, paths.sum());
        let room = PATH_BYTES / by_rank.len().max(1);
        by_rank.sort_by_key(|(of, _)| *of);
        let recorded =
            by_rank.iter().map(|(of, group)| RecordedGroup::of(of, group, TOPMOST, room));
        Self { groups: recorded.collect(), groups_left_out, paths_left_out }
    }

    /// All groups, with the first paths of each: for a terminal, which has room.
    pub(crate) fn for_people(groups: &BTreeMap<GroupOf, Group>, topmost: usize) -> Self {
        let all =
            groups.iter().map(|(of, group)| RecordedGroup::of(of, group, topmost, usize::MAX));
        Self { groups: all.collect(), ..Self::default() }
    }
}

impl RecordedGroup {
    /// With at most `most` of its topmost paths, which have at most `room` bytes together.
    fn of(of: &GroupOf, group: &Group, most: usize, mut room: usize) -> Self {
        let tops = if of.is_of_packages() { Vec::new() } else { group.topmost() };
        let fits = |top: &&Topmost<'_>| {
            let fits = room.checked_sub(top.path.len() + BESIDE_PATH);
            room = fits.unwrap_or_default();
            fits.is_some()
        };
        let topmost: Vec<_> =
            tops.iter().take(most).take_while(fits).map(RecordedPath::of).collect();
        Self {
            title: of.title(group),
            of: of.word(),
            owner: of.owner().map(RecordedOwner::of),
            paths: group.paths.len() as u64,
            bytes: group.bytes,
            classes: group.classes.into(),
            topmost_left_out: (tops.len() - topmost.len()) as u64,
            topmost,
        }
    }
}

/// Strays of one owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RecordedGroup {
    /// Whose they are, for people.
    pub(crate) title: String,
    /// What they have in common: an `owner`, packages to which the same happened since blank (`packages-installed`,
    /// `packages-updated`, `packages-removed`), that they are stamps of `timers`, or that `nobody` is known to own them.
    pub(crate) of: String,
    /// The owner; null of several packages or timers that are told as one, and where nobody is known.
    pub(crate) owner: Option<RecordedOwner>,
    /// How many paths.
    pub(crate) paths: u64,
    /// Bytes of the regular files that are there.
    pub(crate) bytes: u64,
    /// How many are of which class.
    pub(crate) classes: CountByClass,
    /// The first of those that lie in no other one. None of packages: what they brought comes again with them.
    pub(crate) topmost: Vec<RecordedPath>,
    /// How many more of these there are, which are not told.
    pub(crate) topmost_left_out: u64,
}

/// A package, a unit of systemd, or a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RecordedOwner {
    /// Its name.
    pub(crate) name: String,
    /// `package`, `unit` or `user`.
    pub(crate) kind: String,
}

impl RecordedOwner {
    /// The same as it is written down.
    pub(crate) fn of(owner: &Owner) -> Self {
        Self { name: owner.name().to_string(), kind: owner.kind().to_string() }
    }
}

/// A path with all that is below it in its group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RecordedPath {
    /// Where it is on the machine, from `/` on.
    #[cfg_attr(test, schemars(with = "JsonPath<'_>"))]
    pub(crate) path: JsonPathBuf,
    /// How many paths: itself, and what is in it.
    pub(crate) paths: u64,
    /// Bytes of the regular files that are there.
    pub(crate) bytes: u64,
}

impl RecordedPath {
    fn of(top: &Topmost<'_>) -> Self {
        let path = JsonPathBuf([b"/", top.path].concat());
        Self { path, paths: top.below + 1, bytes: top.bytes }
    }
}

/// How many strays are of which class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct CountByClass {
    /// None of the old roots had them.
    pub(crate) new: u64,
    /// Some had.
    pub(crate) some: u64,
    /// All had, in two versions at least.
    pub(crate) changing: u64,
    /// All had, the same in every byte.
    pub(crate) same: u64,
}

impl CountByClass {
    /// Each word with its count, in the order of all output.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip([self.new, self.some, self.changing, self.same])
    }
}

impl From<ClassCounts> for CountByClass {
    fn from(counts: ClassCounts) -> Self {
        let mut all = counts.iter().map(|(_, count)| count);
        let mut next = || all.next().unwrap_or_default();
        Self { new: next(), some: next(), changing: next(), same: next() }
    }
}

impl Record {
    /// Of what was found now.
    pub(crate) fn new(of: &RecordedWhere, event: RecordedEvent, groups: RecordedGroups) -> Self {
        let RecordedWhere { time, host, boot } = of.clone();
        Self { version: VERSION, time, host, boot, event, groups }
    }

    /// One line of JSON, without its end.
    pub(crate) fn to_line(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// Reads a line; `None` of one that is no whole record, or of a version that is not known.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(line).ok()?;
        (record.version == VERSION).then_some(record)
    }
}

/// When and on which machine something was found.
#[derive(Clone, Debug)]
pub(crate) struct RecordedWhere {
    pub(crate) time: DateTime<Utc>,
    pub(crate) host: Option<String>,
    pub(crate) boot: Option<String>,
}

#[cfg(test)]
pub(crate) mod record_fixture {
    use super::*;

    /// An audit that two new files of nginx fail, and `told` others do not.
    pub(crate) fn audit_of_nginx(told: u64) -> Record {
        let of = RecordedWhere {
            time: DateTime::from_timestamp(1_795_946_400, 0).unwrap(),
            host: Some("web1".to_string()),
            boot: Some("3f2a1c9e-7a01-4b6e-9d0a-000000000000".to_string()),
        };
        let classes = CountByClass { new: 2, changing: told, ..CountByClass::default() };
        let event = RecordedEvent::Audit(AuditSummary {
            result: AuditResult::Found,
            at: None,
            since: None,
            old_roots: 5,
            fails: Tally { count: 2, bytes: 1100 },
            told: Tally { count: told, bytes: 10 * told },
            classes,
        });
        let path = JsonPathBuf(b"/etc/nginx/sites-enabled".to_vec());
        let group = RecordedGroup {
            title: "package nginx".to_string(),
            of: "owner".to_string(),
            owner: Some(RecordedOwner { name: "nginx".into(), kind: "package".into() }),
            paths: 2,
            bytes: 1100,
            classes: CountByClass { new: 2, ..CountByClass::default() },
            topmost: vec![RecordedPath { path, paths: 2, bytes: 1100 }],
            topmost_left_out: 0,
        };
        Record::new(&of, event, RecordedGroups { groups: vec![group], ..RecordedGroups::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::record_fixture::audit_of_nginx;
    use super::*;
    use crate::diff::owner_groups::StrayPath;
    use crate::ui::json_schema::assert_published;

    #[test]
    fn the_published_schema_is_that_of_a_record() {
        assert_published::<Record>("blankroot audit --format json", "audit");
    }

    #[test]
    fn a_record_is_one_line_and_is_read_as_it_was_written() {
        let mut record = audit_of_nginx(7);
        record.groups.groups[0].topmost[0].path = JsonPathBuf(b"/etc/\xff\n\"".to_vec());
        let line = record.to_line().unwrap();
        assert!(!line.contains(&b'\n'));
        assert_eq!(Record::parse(&line), Some(record));
        assert_eq!(Record::parse(&line[..line.len() - 1]), None);
        let later = String::from_utf8(line).unwrap().replace("\"version\":1", "\"version\":2");
        assert_eq!(Record::parse(later.as_bytes()), None);
    }

    fn group(paths: impl IntoIterator<Item = String>) -> Group {
        let path = |path: String| StrayPath { path: path.into_bytes(), bytes: 1, uid: 0 };
        let mut group = Group::default();
        group.paths = paths.into_iter().map(path).collect();
        group
    }

    #[test]
    fn long_names_of_one_hide_nothing_of_others() {
        let long = (0..40).map(|number| format!("home/alice/{number:02}{}", "x".repeat(4000)));
        let evil = group(["etc/cron.d/evil".to_string(), "etc/ld.so.preload".to_string()]);
        let alice = GroupOf::Owner(Owner::User("alice".into()));
        let groups = BTreeMap::from([(alice, group(long)), (GroupOf::Nobody, evil)]);
        let recorded = RecordedGroups::of(&groups);
        let told =
            recorded.groups.iter().map(|group| (group.topmost.len(), group.topmost_left_out));
        assert_eq!(told.collect::<Vec<_>>(), [(8, 32), (2, 0)]);
        let shown = RecordedGroups::for_people(&groups, 3);
        let told = shown.groups.iter().map(|group| (group.topmost.len(), group.topmost_left_out));
        assert_eq!(told.collect::<Vec<_>>(), [(3, 37), (2, 0)]);
    }

    #[test]
    fn of_too_many_groups_those_with_the_fewest_paths_are_left_out_and_counted() {
        let owner = |number| GroupOf::Owner(Owner::Package(format!("p{number:03}")));
        let paths = |number: usize| (0..=number).map(move |at| format!("var/lib/p{number}/{at}"));
        let mut groups: BTreeMap<_, _> =
            (0..120).map(|number| (owner(number), group(paths(number)))).collect();
        groups.insert(GroupOf::Nobody, group(["etc/evil".to_string()]));
        let recorded = RecordedGroups::of(&groups);
        assert_eq!((recorded.groups.len(), recorded.groups_left_out), (100, 21));
        assert_eq!(recorded.groups.last().unwrap().of, "nobody");
        let told: u64 = recorded.groups.iter().map(|group| group.paths).sum();
        let all: usize = groups.values().map(|group| group.paths.len()).sum();
        assert_eq!(told + recorded.paths_left_out, all as u64);
        assert!(serde_json::to_vec(&recorded).unwrap().len() < 128 << 10);
    }
}
