//! The table of a machine's page: as many changes as there is room for, each with all that `explain` says of it.
//!
//! What is said is much alike, so each sentence stands once, and a row has the numbers of its own.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use dirfd::TreePath;
use dirfd::path::{Escaped, shell_word};
use serde::Serialize;

use crate::audit::audit_finding::AuditFinding;
use crate::catalogue::Catalogue;
use crate::diff::classify::Verdict;
use crate::diff::ownerships::Ownerships;
use crate::diff::summary::new_bytes;
use crate::diff::{DiffReport, DiffRow};
use crate::explain::explanation::{Explanation, Here, Known};
use crate::explain::explanation_text::lines_of;
use crate::history::path_versions::PathHistory;
use crate::history::row_versions::PathVersions;
use crate::ui::colours::Style;
use crate::ui::figures;

/// Maximum number of rows: a browser filters so many between two keys.
const ROWS: usize = 10_000;
/// About what a row has beside its path, in bytes.
const BESIDE_PATH: usize = 110;

/// In a sentence: the path itself as a shell takes it, and its size. Nothing else that is shown has such characters.
const OWN_PATH: &str = "\u{1}";
const OWN_SIZE: &str = "\u{2}";

/// The rows, and the sentences that they name.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PageRows {
    sentences: Vec<String>,
    /// Sorted by path.
    rows: Vec<PageRow>,
    /// How many changes are not among them.
    left_out: u64,
}

/// One change. It is written as a list, in this order.
#[derive(Debug, Serialize)]
struct PageRow(
    /// Where it is, as it is shown.
    String,
    /// The same for a shell, where that is something else.
    Option<String>,
    /// Bytes of a regular file that is there.
    u64,
    /// Whether it fails the audit.
    bool,
    /// Sentences: how it differs, what it is, its verdict, its class and its owner, in one word or two each.
    [usize; 5],
    /// Sentences: what `explain` says, each with its label and a colon before it.
    Vec<usize>,
    /// What each former root had there.
    PathVersions,
);

/// The changes that the table shows: what fails the audit first, then other strays, new ones and large ones before the
/// rest.
#[derive(Debug)]
pub(crate) struct ChosenRows {
    /// Their places among all changes, sorted.
    pub(crate) places: Vec<usize>,
    left_out: u64,
}

impl ChosenRows {
    /// Those that take about `room` bytes.
    pub(crate) fn of(report: &DiffReport<'_>, finding: &AuditFinding, mut room: usize) -> Self {
        let mut ranked = Vec::new();
        let Ok(()) = report.for_each::<Infallible>(|row| {
            let is_stray = row.verdict == Verdict::Stray;
            let bytes = new_bytes(row.kind, row.facts);
            let rank = (!finding.fails_at(row.at), !is_stray, row.class, Reverse(bytes), row.at);
            ranked.push((rank, BESIDE_PATH + Escaped(row.path).to_string().len()));
            Ok(())
        });
        ranked.sort_unstable();
        let fitting = ranked.iter().take(ROWS).take_while(|(_, bytes)| {
            room = room.saturating_sub(*bytes);
            room > 0
        });
        let mut places: Vec<usize> = fitting.map(|((.., at), _)| *at).collect();
        places.sort_unstable();
        let left_out = (ranked.len() - places.len()) as u64;
        Self { places, left_out }
    }
}

impl PageRows {
    /// The rows of these changes; `versions` has what former roots had at each.
    pub(crate) fn of(
        report: &DiffReport<'_>,
        chosen: &ChosenRows,
        finding: &AuditFinding,
        owners: &Ownerships<'_>,
        catalogue: &Catalogue,
        versions: Vec<PathVersions>,
    ) -> Self {
        let mut sentences = Sentences::default();
        let mut rows = Vec::new();
        let mut chosen_rows = chosen.places.iter().zip(versions).peekable();
        let Ok(()) = report.for_each::<Infallible>(|row| {
            if let Some((_, states)) = chosen_rows.next_if(|(at, _)| **at == row.at) {
                let explanation = explain(report, row, owners, catalogue);
                let fails = finding.fails_at(row.at);
                rows.push(PageRow::of(row, &explanation, fails, states, &mut sentences));
            }
            Ok(())
        });
        Self { sentences: sentences.all, rows, left_out: chosen.left_out }
    }
}

fn explain(
    report: &DiffReport<'_>,
    row: &DiffRow<'_>,
    owners: &Ownerships<'_>,
    catalogue: &Catalogue,
) -> Explanation {
    let path = TreePath::from_clean(row.path.to_vec());
    Explanation {
        here: Here::Changed(row.kind, *row.facts),
        verdict: Some((row.verdict, row.rule.map(str::to_string))),
        // Each has a row of its own.
        below: Default::default(),
        owner: owners.owner_of(row),
        class: row.class.map(|class| (class, report.boots())),
        known: Known::of(catalogue, &path),
        history: PathHistory { path: path.clone(), states: Vec::new() },
        path,
    }
}

impl PageRow {
    fn of(
        row: &DiffRow<'_>,
        explanation: &Explanation,
        fails: bool,
        states: PathVersions,
        sentences: &mut Sentences,
    ) -> Self {
        let absolute = [b"/", row.path].concat();
        let shown = Escaped(&absolute).to_string();
        let word = shell_word(OsStr::from_bytes(&absolute));
        let size = figures::format_size(row.facts.size);
        let owner = explanation.owner.as_ref().map(|ownership| ownership.owner.to_string());
        let words = [
            row.kind.word(),
            row.facts.file_type.word(),
            row.verdict.word(),
            row.class.map_or("", |class| class.word()),
            owner.as_deref().unwrap_or("nobody known"),
        ];
        let words = words.map(|word| sentences.number(word.to_string()));
        let said = lines_of(explanation, &Style::default());
        let said = said.into_iter().map(|(label, text)| {
            let text = text.replace(&*word, OWN_PATH).replace(&size, OWN_SIZE);
            sentences.number(format!("{label}: {text}"))
        });
        let said = said.collect();
        let bytes = new_bytes(row.kind, row.facts);
        Self(shown.clone(), (word != shown).then_some(word), bytes, fails, words, said, states)
    }
}

/// Each sentence with its number.
#[derive(Default)]
struct Sentences {
    all: Vec<String>,
    known: HashMap<String, usize>,
}

impl Sentences {
    fn number(&mut self, sentence: String) -> usize {
        *self.known.entry(sentence).or_insert_with_key(|sentence| {
            self.all.push(sentence.clone());
            self.all.len() - 1
        })
    }
}
