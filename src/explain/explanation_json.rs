//! `explain --format json`: one document for programs.
//!
//! The doc comments of its types are the descriptions in `docs/reference/explain.schema.json`.

use std::io::{self, Write};

use dirfd::{ChangeKind, FileType};
use serde::Serialize;

use crate::catalogue::catalogue_entry::Advice;
use crate::diff::classify::Verdict;
use crate::diff::summary::{Tally, VERDICTS};
use crate::evidence::classes::Class;
use crate::explain::explanation::{Explanation, Here, NextStep};
use crate::history::history_json::JsonRoot;
use crate::history::path_versions::RootOfHistory;
use crate::owners::owner_json::JsonOwner;
use crate::ui::json_value::{Absolute, ByWord, Word};

const VERSION: u32 = 1;

/// Writes the document, and a newline after it.
pub(crate) fn write_explanations_json(
    explanations: &[Explanation],
    of: &[RootOfHistory],
    mut out: impl Write,
) -> io::Result<()> {
    let advice: Vec<NextStep> = explanations.iter().map(Explanation::next_step).collect();
    let paths = explanations.iter().zip(&advice);
    let paths = paths.map(|(explanation, next)| JsonExplanation::new(explanation, next, of));
    let document = ExplainDocument { version: VERSION, paths: paths.collect() };
    serde_json::to_writer(&mut out, &document)?;
    out.write_all(b"\n")
}

/// All that is known of some paths.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ExplainDocument<'a> {
    /// Counts up when a key goes or gets another meaning; new keys may come without that.
    #[cfg_attr(test, schemars(extend("const" = VERSION)))]
    version: u32,
    /// One object for each path, in the order in which they were named.
    paths: Vec<JsonExplanation<'a>>,
}

/// All that is known of one path.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Explanation"))]
struct JsonExplanation<'a> {
    /// Where it is on the machine, from `/` on.
    path: Absolute<'a>,
    /// What is there. `changed`: live has something else there than blank; `same`: both have the same; `nowhere`:
    /// neither has anything.
    is: JsonHere,
    /// How it differs, as in `diff --format json`; null unless it changed.
    change: Option<Word<ChangeKind>>,
    /// What kind of file it is, of live; of blank where it was removed. Null unless it changed.
    r#type: Option<Word<FileType>>,
    /// What becomes of it at the next boot, as in `diff --format json`; null where nothing changed, and no rule names
    /// it.
    verdict: Option<Word<Verdict>>,
    /// The rule that decided so; null where none did. For people, the words may change.
    rule: Option<&'a str>,
    /// What lies below it and changed, by verdict.
    below: ByWord<Verdict, Tally>,
    /// Whose it is; null where nothing tells.
    owner: Option<JsonOwner<'a>>,
    /// What the old roots tell of it, as in `diff --format json`; null where none was asked, or nothing changed.
    class: Option<Word<Class>>,
    /// How many old roots tell of the class; null where that is.
    old_roots: Option<u16>,
    /// What the catalogue says of it; null where it says nothing.
    known: Option<JsonKnown<'a>>,
    /// What to do about it.
    advice: JsonNextStep<'a>,
    /// What each root had there, as in `history --format json` with a path: the oldest first, live last.
    roots: Vec<JsonRoot<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
enum JsonHere {
    Changed,
    Same,
    Nowhere,
}

/// An entry of the catalogue of well-known state.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Known"))]
struct JsonKnown<'a> {
    /// What it is, in a few words.
    what: &'a str,
    /// What to do with such state. `keep`: somebody, or the machine, would miss it; `forget`: a cache, or it comes
    /// back; `secret`: keep it, and only its owner may look into it; `never`: it must not be kept; `link`: keep it
    /// as a symbolic link.
    advice: Word<Advice>,
    /// Where that is written, such as a manual page; null where the entry does not say.
    source: Option<&'a str>,
    /// What the entry names: the path, or the directory around it.
    named: Absolute<'a>,
}

/// What to do about a path.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Advice"))]
struct JsonNextStep<'a> {
    /// `nothing`; `keep` or `forget`: run that command for `path`; `decide`: somebody has to know what it is.
    r#do: JsonStepWord,
    /// What to do it to: the path, or the directory around it that the catalogue names. Null for `nothing`.
    path: Option<Absolute<'a>>,
    /// Why. For people, the words may change.
    why: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
enum JsonStepWord {
    Nothing,
    Keep,
    Forget,
    Decide,
}

impl<'a> JsonExplanation<'a> {
    fn new(explanation: &'a Explanation, next: &'a NextStep, of: &'a [RootOfHistory]) -> Self {
        let changed = match explanation.here {
            Here::Changed(kind, facts) => Some((kind, facts)),
            Here::Same | Here::Nowhere => None,
        };
        let verdict = explanation.verdict.as_ref();
        let below = VERDICTS.iter().zip(explanation.below);
        let states = &explanation.history.states;
        Self {
            path: Absolute(&explanation.path),
            is: match explanation.here {
                Here::Changed(..) => JsonHere::Changed,
                Here::Same => JsonHere::Same,
                Here::Nowhere => JsonHere::Nowhere,
            },
            change: changed.map(|(kind, _)| Word(kind)),
            r#type: changed.map(|(_, facts)| Word(facts.file_type)),
            verdict: verdict.map(|(verdict, _)| Word(*verdict)),
            rule: verdict.and_then(|(_, rule)| rule.as_deref()),
            below: below.map(|(verdict, tally)| (verdict.word(), tally)).collect(),
            owner: explanation.owner.as_ref().map(JsonOwner::new),
            class: explanation.class.map(|(class, _)| Word(class)),
            old_roots: explanation.class.map(|(_, asked)| asked),
            known: explanation.known.as_ref().map(|known| JsonKnown {
                what: &known.what,
                advice: Word(known.advice),
                source: known.source.as_deref(),
                named: Absolute(&known.named),
            }),
            advice: JsonNextStep::new(next),
            roots: of.iter().zip(states).map(JsonRoot::new).collect(),
        }
    }
}

impl<'a> JsonNextStep<'a> {
    fn new(next: &'a NextStep) -> Self {
        let (word, path, why) = match next {
            NextStep::Nothing(why) => (JsonStepWord::Nothing, None, why),
            NextStep::Keep(path, why) => (JsonStepWord::Keep, Some(path), why),
            NextStep::Forget(path, why) => (JsonStepWord::Forget, Some(path), why),
            NextStep::Decide(path, why) => (JsonStepWord::Decide, Some(path), why),
        };
        Self { r#do: word, path: path.map(Absolute), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::json_schema::assert_published;

    #[test]
    fn the_published_schema_is_that_of_the_document() {
        assert_published::<ExplainDocument<'_>>("blankroot explain --format json", "explain");
    }
}
