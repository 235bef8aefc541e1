//! `explain --format json`: one document for programs, `{"version":1,"paths":[…]}`.
//!
//! Of each path: `path`; `is` (`changed`, `same`, `nowhere`); `change` and `type` (null unless it changed);
//! `verdict` and `rule` (null: nothing changed, and no rule names it); `below` (changes below it by verdict, each
//! with `count` and `bytes`); `owner` (`name`, `kind`, `certainty`, `how`, or null); `class` and `old_roots` (null:
//! none was asked); `known` (`what`, `advice`, `source`, `named`, or null); `advice` (`do`: `nothing`, `keep`,
//! `forget`, `decide`; `path`, `why`); and `roots`, as in `history --format json`.

use std::io::{self, Write};

use serde::Serialize;

use crate::diff::summary::{Tally, VERDICTS};
use crate::evidence::classes::Class;
use crate::explain::explanation::{Explanation, Here, NextStep};
use crate::history::history_json::JsonRoot;
use crate::history::path_versions::RootOfHistory;
use crate::owners::{Owner, Ownership};
use crate::ui::json_value::Absolute;

const VERSION: u32 = 1;

/// Writes the document.
pub(crate) fn write_explanations_json(
    explanations: &[Explanation],
    of: &[RootOfHistory],
    mut out: impl Write,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        paths: Vec<JsonExplanation<'a>>,
    }
    let paths = explanations.iter().map(|explanation| JsonExplanation::new(explanation, of));
    serde_json::to_writer(&mut out, &Document { version: VERSION, paths: paths.collect() })?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct JsonExplanation<'a> {
    path: Absolute<'a>,
    is: &'a str,
    change: Option<&'a str>,
    r#type: Option<&'a str>,
    verdict: Option<&'a str>,
    rule: Option<&'a str>,
    below: std::collections::BTreeMap<&'a str, Tally>,
    owner: Option<JsonOwner<'a>>,
    class: Option<&'a str>,
    old_roots: Option<u16>,
    known: Option<JsonKnown<'a>>,
    advice: JsonNextStep,
    roots: Vec<JsonRoot<'a>>,
}

#[derive(Serialize)]
struct JsonOwner<'a> {
    name: &'a str,
    kind: &'a str,
    certainty: &'a str,
    how: &'a str,
}

#[derive(Serialize)]
struct JsonKnown<'a> {
    what: &'a str,
    advice: &'a str,
    source: Option<&'a str>,
    named: Absolute<'a>,
}

#[derive(Serialize)]
struct JsonNextStep {
    r#do: &'static str,
    path: Option<serde_json::Value>,
    why: &'static str,
}

impl<'a> JsonExplanation<'a> {
    fn new(explanation: &'a Explanation, of: &'a [RootOfHistory]) -> Self {
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
                Here::Changed(..) => "changed",
                Here::Same => "same",
                Here::Nowhere => "nowhere",
            },
            change: changed.map(|(kind, _)| kind.word()),
            r#type: changed.map(|(_, facts)| facts.file_type.word()),
            verdict: verdict.map(|(verdict, _)| verdict.word()),
            rule: verdict.and_then(|(_, rule)| rule.as_deref()),
            below: below.map(|(verdict, tally)| (verdict.word(), tally)).collect(),
            owner: explanation.owner.as_ref().map(JsonOwner::new),
            class: explanation.class.map(|(class, _)| Class::word(class)),
            old_roots: explanation.class.map(|(_, asked)| asked),
            known: explanation.known.as_ref().map(|known| JsonKnown {
                what: &known.what,
                advice: known.advice.word(),
                source: known.source.as_deref(),
                named: Absolute(&known.named),
            }),
            advice: JsonNextStep::new(&explanation.next_step()),
            roots: of.iter().zip(states).map(JsonRoot::new).collect(),
        }
    }
}

impl<'a> JsonOwner<'a> {
    fn new(ownership: &'a Ownership) -> Self {
        let kind = match ownership.owner {
            Owner::Package(_) => "package",
            Owner::Unit(_) => "unit",
            Owner::User(_) => "user",
        };
        let (name, how) = (ownership.owner.name(), ownership.how.text());
        Self { name, kind, certainty: ownership.certainty.word(), how }
    }
}

impl JsonNextStep {
    fn new(next: &NextStep) -> Self {
        let (word, path, why) = match next {
            NextStep::Nothing(why) => ("nothing", None, why),
            NextStep::Keep(path, why) => ("keep", Some(path), why),
            NextStep::Forget(path, why) => ("forget", Some(path), why),
            NextStep::Decide(path, why) => ("decide", Some(path), why),
        };
        let path = path.and_then(|path| serde_json::to_value(Absolute(path)).ok());
        Self { r#do: word, path, why }
    }
}
