//! What is wrong with a configuration: every problem with its place and its mend, shown together.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use backends::path::Escaped;

/// A place in the text of the configuration; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What is wrong, in one line.
    pub what: String,
    /// What the reader can do about it.
    pub mend: String,
}

/// Why a configuration cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// The file could not be read.
    Unreadable(backends::Error),
    /// The text has problems; at least one, sorted by place.
    Unusable {
        /// The file that was read.
        file: PathBuf,
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    /// The problems of the text; empty where the file could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Unreadable(_) => &[],
            Self::Unusable { problems, .. } => problems,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, problems) = match self {
            Self::Unreadable(error) => return error.fmt(f),
            Self::Unusable { file, problems } => (shown(file), problems),
        };
        let plural = if problems.len() == 1 { "" } else { "s" };
        write!(f, "cannot use {file}: {} problem{plural}", problems.len())?;
        for Problem { place, what, mend } in problems {
            write!(f, "\n{file}:{}:{}: {what}\n  mend: {mend}", place.line, place.column)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// A host path for people.
pub(crate) fn shown(path: &Path) -> String {
    Escaped(path.as_os_str().as_encoded_bytes()).to_string()
}

/// A text from the configuration for people: it can hold control characters by TOML's escapes.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", Escaped(text.as_bytes()))
}

/// Collects the problems of one text and knows the place of each of its bytes.
pub(super) struct Problems<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    found: Vec<Problem>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let newlines = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let line_starts = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        Self { text, line_starts, found: Vec::new() }
    }

    /// The place of the first byte of `span`.
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        let line = self.line_starts.partition_point(|&start| start <= span.start).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(start..span.start).unwrap_or_default();
        Place { line: line as u32, column: before.chars().count() as u32 + 1 }
    }

    pub(super) fn add(&mut self, place: Place, what: impl Into<String>, mend: impl Into<String>) {
        self.found.push(Problem { place, what: what.into(), mend: mend.into() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// `value`, if there was no problem; else the error for `file`.
    pub(super) fn into_result<T>(
        mut self,
        file: &Path,
        value: Option<T>,
    ) -> Result<T, ConfigError> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => {
                self.found.sort();
                self.found.dedup();
                Err(ConfigError::Unusable { file: file.to_path_buf(), problems: self.found })
            }
        }
    }
}
