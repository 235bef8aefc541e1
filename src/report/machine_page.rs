//! What the page of one machine tells: what an audit finds now, the roots that there were, and each change.

use std::path::Path;

use backends::Backend;
use chrono::{DateTime, Utc};
use dirfd::Result;
use dirfd::path::Escaped;
use serde::Serialize;

use crate::audit::audit_finding::AuditFinding;
use crate::audit::audit_record::{AuditSummary, RecordedGroups, RecordedWhere};
use crate::audit::audit_text::{describe_told, headline};
use crate::config::Config;
use crate::diff::DiffReport;
use crate::diff::classify::Verdict;
use crate::diff::judge::{ComparedTrees, JudgedDiff, find_and_judge};
use crate::diff::ownerships::{OwnerViews, Ownerships};
use crate::diff::summary::{Summary, Tally};
use crate::evidence::ask_old_roots::AskedRoots;
use crate::history::all_roots::AllRoots;
use crate::history::root_lives::RootLife;
use crate::history::row_versions::RowVersions;
use crate::report::page_file::{ROOM, fit_page};
use crate::report::page_groups::{PageGroups, text_of};
use crate::report::page_rows::{ChosenRows, PageRows};
use crate::ui;
use crate::ui::json_value::ByWord;

/// Maximum number of former roots, the youngest, that are shown.
const ROOTS: usize = 200;
/// Maximum number of bytes of what is new, by owner.
const ROOM_OF_GROUPS: usize = 128 << 10;
/// Maximum number of characters of a path among the facts of a root.
const SHORT: usize = 200;

/// The page of the machine whose root is at `root`.
#[derive(Debug, Serialize)]
struct MachinePage<'r> {
    kind: &'static str,
    host: Option<String>,
    made: DateTime<Utc>,
    /// The version of the program.
    program: &'static str,
    /// The name of blank; null where the root starts empty.
    blank: Option<String>,
    headline: String,
    told: String,
    audit: AuditSummary,
    verdicts: ByWord<Verdict, Tally>,
    news: PageGroups,
    /// The oldest first, live last.
    roots: &'r [PageRoot],
    table: PageRows,
}

/// One life of the root.
#[derive(Debug, Serialize)]
struct PageRoot {
    /// Null of live.
    name: Option<String>,
    began: Option<DateTime<Utc>>,
    ended: Option<DateTime<Utc>>,
    boots: Option<usize>,
    strays: u64,
    bytes: u64,
    /// How many of the strays no root before had.
    new: Option<u64>,
    notable: Vec<String>,
}

/// Judges live as `audit` does, and tells what is found as one page.
pub(crate) fn write_machine_page(
    backend: &dyn Backend,
    config: &Config,
    root: &Path,
) -> Result<String> {
    let trees = ComparedTrees::find(backend)?;
    let asked = AskedRoots::all_of_last(config.evidence.old_roots as usize);
    let JudgedDiff { diff, verdicts, classes, evidence_problem } =
        find_and_judge(backend, &trees, config, root, &asked)?;
    if let Some(why) = evidence_problem {
        return Err(why);
    }
    let (blank, live) = (trees.blank.as_ref(), &trees.live);
    let report = DiffReport {
        blank,
        live,
        diff: &diff,
        verdicts: &verdicts,
        classes: classes.as_ref(),
        only: &[],
        all: true,
    };
    let views = OwnerViews::open(backend, blank, live)?;
    let (owners, warnings) = Ownerships::read(backend, &views, &diff.changes)?;
    warnings.iter().for_each(ui::report_warning);
    let finding = AuditFinding::of(&report, config, || Ok(&owners))?;
    let audit = finding.summary(None, None);
    let of = RecordedWhere::of_machine(root, Utc::now());
    let catalogue = config.catalogue();
    let strays = Summary::of(&report);
    let first = ChosenRows::of(&report, &finding, ROOM);
    let mut versions = RowVersions::of(&diff.changes, &first.places);
    let roots = AllRoots::gather(backend, config, root)?;
    let roots = roots_of(roots.lives(&diff.changes, |digest| versions.add_root(digest))?, &audit);
    fit_page(|room| {
        // With less room they are some of the first ones.
        let chosen = ChosenRows::of(&report, &finding, room);
        MachinePage {
            kind: "machine",
            host: of.host.as_deref().map(text_of),
            made: of.time,
            program: env!("CARGO_PKG_VERSION"),
            blank: blank.map(|blank| Escaped(blank.name.as_bytes()).to_string()),
            headline: headline(&audit),
            told: describe_told(&audit),
            audit: audit.clone(),
            verdicts: strays.by_verdict().collect(),
            news: PageGroups::within(&RecordedGroups::of(finding.groups()), ROOM_OF_GROUPS),
            roots: &roots,
            table: PageRows::of(&report, &chosen, &finding, &owners, &catalogue, &versions),
        }
    })
}

fn roots_of(lives: Vec<RootLife>, audit: &AuditSummary) -> Vec<PageRoot> {
    let skipped = lives.len().saturating_sub(ROOTS + 1);
    lives.into_iter().skip(skipped).map(|life| PageRoot::of(life, audit)).collect()
}

impl PageRoot {
    /// Of live, the audit knows what comes back by itself.
    fn of(life: RootLife, audit: &AuditSummary) -> Self {
        let RootLife { name, began, ended, boots, lost } = life;
        let Tally { count, bytes } = match name {
            Some(_) => Tally { count: lost.paths, bytes: lost.bytes },
            None => audit.strays(),
        };
        let new = match name {
            Some(_) => lost.new,
            None => Some(audit.classes.new).filter(|_| audit.old_roots > 0),
        };
        let notable = lost.notable.iter().map(|new| {
            let shown = Escaped(&[b"/", new.path.as_slice()].concat()).to_string();
            match shown.char_indices().nth(SHORT) {
                Some((end, _)) => format!("{}…", &shown[..end]),
                None => shown,
            }
        });
        let notable = notable.collect();
        let name = name.as_deref().map(text_of);
        Self { name, began, ended, boots, strays: count, bytes, new, notable }
    }
}
