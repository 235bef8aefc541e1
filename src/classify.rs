//! Gives each change its verdict: change + lists → verdict. Pure.

/// What will become of a changed path at the next boot, and whether somebody decided so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It will be gone, and nobody decided so.
    Stray,
    /// It is on the keep list: its data lives in storage.
    Kept,
    /// It was declared disposable.
    Forgotten,
}

impl Verdict {
    /// The word for it in all output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stray => "stray",
            Self::Kept => "kept",
            Self::Forgotten => "forgotten",
        }
    }
}

/// The verdicts of a whole diff: one for each change, in the same order.
#[derive(Debug, Default)]
pub struct Verdicts {
    judged: Vec<(Verdict, Option<u32>)>,
    rules: Vec<String>,
}

impl Verdicts {
    /// Adds the verdict for the next change; `rule` is an index from [`add_rule`](Self::add_rule).
    pub fn push(&mut self, verdict: Verdict, rule: Option<u32>) {
        self.judged.push((verdict, rule));
    }

    /// Adds the text of a rule, as it stands in the configuration, and returns its index.
    pub fn add_rule(&mut self, text: String) -> u32 {
        self.rules.push(text);
        (self.rules.len() - 1) as u32
    }

    /// Each verdict with the rule that decided it, in the order of the changes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Verdict, Option<&str>)> {
        self.judged.iter().map(|&(verdict, rule)| {
            (verdict, rule.and_then(|at| self.rules.get(at as usize)).map(String::as_str))
        })
    }
}
