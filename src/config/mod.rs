//! What the owner declared: `/etc/blankroot.toml`, read and checked as a whole.

pub mod audit_options;
pub mod edit;
pub mod entry;
pub mod evidence_options;
pub mod lock_and_write;
pub(crate) mod other_root;
pub(crate) mod own_catalogue;
pub mod ownership;
pub(crate) mod pattern_list;
pub mod reader;
pub mod rollback_options;
pub mod root;
pub mod root_backend;
pub(crate) mod root_only_keys;
pub mod starter;
pub(crate) mod storage;
#[cfg(test)]
mod tests;
pub mod users_list;
pub(crate) mod validate;

use std::borrow::Cow;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use dirfd::atomic_file;
use dirfd::path::Escaped;
use dirfd::stat::{Stat, of_open};

use toml::de::DeTable;

use crate::catalogue::Catalogue;
use crate::catalogue::catalogue_entry::CatalogueEntry;
use crate::config::audit_options::AuditOptions;
use crate::config::evidence_options::EvidenceOptions;
use crate::config::pattern_list::PatternList;
use crate::config::reader::{ConfigError, Position, Problems, TableReader};
use crate::config::rollback_options::RollbackOptions;
use crate::config::root::RootConfig;
use crate::config::storage::Storage;

/// Where the configuration is unless the command line says otherwise.
pub(crate) const DEFAULT_FILE: &str = "/etc/blankroot.toml";

/// Whether a path of the tree is that of the configuration itself.
pub(crate) fn is_own_file(path: &dirfd::TreePath) -> bool {
    path.as_bytes() == DEFAULT_FILE.trim_start_matches('/').as_bytes()
}

/// A whole configuration without contradictions.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it was read from.
    pub(crate) file: PathBuf,
    /// What that says.
    pub(crate) text: String,
    /// The file as it was when it was read; `None` of a text that is in none yet.
    seen: Option<Stat>,
    /// What holds the root.
    pub root: RootConfig,
    /// How the root is restored.
    pub rollback: RollbackOptions,
    /// Where kept state lives, and what is kept.
    pub storages: Vec<Storage>,
    /// What is declared disposable.
    pub forget: PatternList,
    /// What old roots are asked.
    pub evidence: EvidenceOptions,
    /// What an audit fails for.
    pub audit: AuditOptions,
    /// What its owner knows of state, beside the catalogue that comes with the program.
    pub catalogue_entries: Vec<CatalogueEntry>,
}

impl Config {
    /// Reads and checks `file`.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let missing = "run `blankroot init` to make one, or name it with `--config FILE`";
        let other = "run this as root, or name another file with `--config FILE`";
        let (text, seen) = read_file(file, missing, other)?;
        Ok(Self { seen: Some(seen), ..Self::parse(file, &text)? })
    }

    /// Whether the file is still the one that was read, and was not written since.
    pub(crate) fn is_current(&self) -> bool {
        let Some(seen) = &self.seen else { return false };
        let now = atomic_file::open_path(&self.file).and_then(|file| of_open(file.as_fd()));
        now.is_ok_and(|now| {
            seen.is_same_file(&now)
                && (seen.changed, seen.facts.size) == (now.changed, now.facts.size)
        })
    }

    /// Checks `text`; `file` is only named in messages. All problems come back at once.
    pub fn parse(file: &Path, text: &[u8]) -> Result<Self, ConfigError> {
        let parts = parse_document(file, text, read_parts)?;
        Ok(Self {
            file: file.to_path_buf(),
            text: String::from_utf8_lossy(text).into_owned(),
            seen: None,
            root: parts.root,
            rollback: parts.rollback,
            storages: parts.storages,
            forget: parts.forget,
            evidence: parts.evidence,
            audit: parts.audit,
            catalogue_entries: parts.catalogue_entries,
        })
    }

    /// The catalogue that comes with the program, with the entries of this configuration.
    pub fn catalogue(&self) -> Cow<'static, Catalogue> {
        let well_known = Catalogue::well_known();
        match self.catalogue_entries.as_slice() {
            [] => Cow::Borrowed(well_known),
            own => Cow::Owned(well_known.with_more(own.iter().cloned())),
        }
    }

    /// `(/etc/blankroot.toml:14)`, for rules that name what decided.
    pub(crate) fn source(&self, place: Position) -> String {
        format!("({}:{})", Escaped::of_path(&self.file), place.line)
    }
}

fn read_file(file: &Path, missing: &str, other: &str) -> Result<(Vec<u8>, Stat), ConfigError> {
    let read = || {
        let opened = atomic_file::open_path(file)?;
        let seen = of_open(opened.as_fd())?;
        Ok((atomic_file::read_open(opened, atomic_file::MAX_OWN)?, seen))
    };
    read().map_err(|error: io::Error| {
        let hint = if error.kind() == io::ErrorKind::NotFound { missing } else { other };
        let action = format!("read the configuration {}", Escaped::of_path(file));
        ConfigError::Unreadable(dirfd::Error::io(action, error).hint(hint))
    })
}

/// What `read` makes of the document, or all problems.
fn parse_document<T>(
    file: &Path,
    text: &[u8],
    read: impl FnOnce(&DeTable<'_>, &mut Problems<'_>) -> Option<T>,
) -> Result<T, ConfigError> {
    let valid = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let mut problems = Problems::new(valid);
    if valid.len() < text.len() {
        let place = problems.place(&(valid.len()..valid.len()));
        problems.add(place, "this byte is not UTF-8 text", "save the file as UTF-8");
    }
    let table = read_toml(valid, &mut problems);
    let parts = table.and_then(|table| read(&table, &mut problems));
    problems.into_result(file, parts)
}

/// The document, or its errors of syntax.
fn read_toml<'t>(text: &'t str, problems: &mut Problems<'_>) -> Option<DeTable<'t>> {
    if !problems.is_empty() {
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut last_line = 0;
    for error in errors {
        let place = problems.place(&error.span().unwrap_or(0..0));
        // The first error of a line makes the others.
        if place.line == last_line {
            continue;
        }
        last_line = place.line;
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let hint = if message.contains("duplicate key") {
            "keep one of the two"
        } else {
            "correct the TOML here (https://toml.io/en/v1.1.0 has the grammar)"
        };
        problems.add(place, message, hint);
    }
    problems.is_empty().then(|| table.into_inner())
}

/// What the text alone says.
struct ConfigParts {
    root: RootConfig,
    rollback: RollbackOptions,
    storages: Vec<Storage>,
    forget: PatternList,
    evidence: EvidenceOptions,
    audit: AuditOptions,
    catalogue_entries: Vec<CatalogueEntry>,
}

fn read_parts(table: &DeTable<'_>, problems: &mut Problems<'_>) -> Option<ConfigParts> {
    let start = Position { line: 1, column: 1 };
    let mut top = TableReader::new("the configuration", start, table);
    let root = match top.table("root", "[root]", problems) {
        Some(table) => root::read_root(table, problems),
        None => {
            if top.key_place("root", problems).is_none() {
                let hint = "add `[root]` with `backend` and what that needs, or run `blankroot \
                            init`";
                problems.add(start, "there is no [root]", hint);
            }
            None
        }
    };
    let rollback = top
        .table("rollback", "[rollback]", problems)
        .map(|table| RollbackOptions::read(table, problems))
        .unwrap_or_default();
    let storages = storage::read_storage_list(&mut top, problems, storage::read_storage);
    let forget = top
        .table("forget", "[forget]", problems)
        .map(|table| PatternList::read_forget(table, problems))
        .unwrap_or_default();
    let evidence = top
        .table("evidence", "[evidence]", problems)
        .map(|table| EvidenceOptions::read(table, problems))
        .unwrap_or_default();
    let audit = top
        .table("audit", "[audit]", problems)
        .map(|table| AuditOptions::read(table, problems))
        .unwrap_or_default();
    let catalogue_entries = own_catalogue::read_own_catalogue(&mut top, problems);
    top.finish(problems);
    if let Some(root) = &root {
        rollback.check_against(root, problems);
    }
    validate::check_contradictions(&storages, &forget, problems);
    let root = root?;
    Some(ConfigParts { root, rollback, storages, forget, evidence, audit, catalogue_entries })
}
