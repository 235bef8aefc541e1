//! What was judged of owners that cruft-ng tells otherwise than we do, by the packages' own files and scripts.

use crate::Result;

/// The judgements, one on each line: cruft-ng's owner, ours (several with commas between), the paths (one `*` stands
/// for anything), who is right, and why, with a tab before each.
const JUDGED: &str = include_str!("../owners-judged.tsv");

/// Whose owner is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    Ours,
    Theirs,
    /// Either is an answer.
    Both,
    Neither,
}

impl Right {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "Blankroot" => Self::Ours,
            "cruft-ng" => Self::Theirs,
            "both" => Self::Both,
            "neither" => Self::Neither,
            _ => return None,
        })
    }

    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ours => "Blankroot is right",
            Self::Theirs => "cruft-ng is right",
            Self::Both => "both are",
            Self::Neither => "neither is",
        }
    }
}

/// One judgement.
#[derive(Debug)]
pub struct Judgement {
    theirs: &'static str,
    ours: Vec<&'static str>,
    paths: &'static str,
    /// Who is right.
    pub right: Right,
    /// Why, for people.
    pub why: String,
}

impl Judgement {
    /// All that there are.
    pub fn all() -> Result<Vec<Self>> {
        let lines = JUDGED.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines
            .map(|line| Ok(Self::parse(line).ok_or(format!("cannot read a judgement: {line}"))?))
            .collect()
    }

    fn parse(line: &'static str) -> Option<Self> {
        let mut parts = line.split('\t');
        let (theirs, ours, paths) = (parts.next()?, parts.next()?, parts.next()?);
        let (right, why) = (Right::parse(parts.next()?)?, parts.next()?.to_string());
        let is_whole = parts.next().is_none();
        is_whole.then(|| Self { theirs, ours: ours.split(',').collect(), paths, right, why })
    }

    /// Whether it is about this difference.
    pub fn fits(&self, path: &str, theirs: &str, ours: &str) -> bool {
        let is_path = match self.paths.split_once('*') {
            Some((start, end)) => path.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
            None => path == self.paths,
        };
        is_path && self.theirs == theirs && self.ours.contains(&ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_judgement_is_read_and_fits_its_own_paths_alone() {
        assert!(!Judgement::all().unwrap().is_empty());
        let judgement = Judgement::parse("a\tb,c\t/x/*.d\tboth\twhy").unwrap();
        assert!(judgement.fits("/x/y.d", "a", "c"));
        for (path, theirs, ours) in [("/x/y", "a", "c"), ("/x/y.d", "b", "c"), ("/x/y.d", "a", "d")]
        {
            assert!(!judgement.fits(path, theirs, ours), "{path} {theirs} {ours}");
        }
    }
}
