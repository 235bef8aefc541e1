//! The stamp in `/run`: whether this boot's rollback ran, and what it did. The booted system reads
//! it to find a rollback that silently never ran.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use backends::{Survey, TreeId};
use chrono::{DateTime, Utc};
use dirfd::error::describe;
use dirfd::path::Escaped;
use dirfd::{Error, Result, atomic_file};
use serde::{Deserialize, Serialize};

use crate::host::{HostRoot, is_not_found};

const DIRECTORY: &str = "run/blankroot";
const NAME: &str = "rollback.json";
const VERSION: u32 = 1;

/// What a rollback did, or why it did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// The version of this format: 1.
    pub version: u32,
    /// The boot that it belongs to.
    pub(crate) boot_id: String,
    /// Whether the initrd's rollback wrote it, which is this boot's, whatever root it went for.
    #[serde(default)]
    pub(crate) in_initrd: bool,
    /// What the configuration names as the place of the root: a device, a directory, a dataset.
    #[serde(default)]
    pub(crate) root: Option<String>,
    /// The name of live in the configuration.
    #[serde(default)]
    pub(crate) live: Option<String>,
    /// The identity of the file system.
    pub(crate) file_system: Option<String>,
    /// The tree that was live before.
    pub(crate) live_before: Option<TreeId>,
    /// The name that this tree has in the directory of old roots now; none if live was a fresh copy
    /// already.
    pub old_root: Option<String>,
    /// The tree that is live now.
    pub(crate) live_now: Option<TreeId>,
    /// When the rollback started, by a clock that may have been wrong.
    pub(crate) started: DateTime<Utc>,
    /// How long it took, in microseconds.
    pub(crate) duration_us: u64,
    /// How it ended.
    pub outcome: RollbackOutcome,
}

/// The root that somebody asks about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThisRoot {
    /// What the configuration names as its place.
    pub(crate) place: Option<String>,
    /// The name of live in the configuration.
    pub(crate) live: String,
    /// The identity of its file system, once that is known.
    pub(crate) file_system: Option<String>,
    /// The tree that is live.
    pub(crate) live_id: Option<TreeId>,
}

impl ThisRoot {
    /// The same with what a survey found of it.
    #[must_use]
    pub(crate) fn into_surveyed(self, survey: &Survey) -> Self {
        Self {
            file_system: Some(survey.file_system.clone()),
            live_id: survey.live.tree().map(|live| live.id.clone()),
            ..self
        }
    }
}

/// How a rollback ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RollbackOutcome {
    /// Live is a fresh copy of blank.
    RolledBack,
    /// It was asked not to.
    Skipped,
    /// It was not begun.
    Refused {
        /// Why, each complete with its hint.
        reasons: Vec<String>,
    },
    /// It was begun and not completed.
    Failed {
        /// What failed, each complete with its hint.
        reasons: Vec<String>,
    },
}

impl RollbackOutcome {
    /// Whether its owner wanted something else.
    pub(crate) fn is_problem(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Failed { .. })
    }
}

impl Stamp {
    /// A stamp of this version.
    pub fn new(
        boot_id: impl Into<String>,
        started: DateTime<Utc>,
        outcome: RollbackOutcome,
    ) -> Self {
        Self {
            version: VERSION,
            boot_id: boot_id.into(),
            in_initrd: false,
            root: None,
            live: None,
            file_system: None,
            live_before: None,
            old_root: None,
            live_now: None,
            started,
            duration_us: 0,
            outcome,
        }
    }

    /// Whether it tells of this root. One that does not say of which root it tells, such as those of
    /// older versions, is not believed that all is well, and is heard where something went wrong. So is an
    /// initrd that did not find what its own copy of the configuration names.
    pub(crate) fn is_of(&self, root: &ThisRoot) -> bool {
        let agree = |said: &Option<String>, is: &Option<String>| match (said, is) {
            (Some(said), Some(is)) => Some(said == is),
            _ => None,
        };
        let live = agree(&self.live, &Some(root.live.clone()));
        let file_system = agree(&self.file_system, &root.file_system);
        if self.in_initrd && self.file_system.is_none() && self.outcome.is_problem() {
            return true;
        }
        match (file_system.or_else(|| agree(&self.root, &root.place)), live) {
            (Some(false), _) | (_, Some(false)) => false,
            (Some(true), Some(true)) => true,
            // Of the trees of one file system, the one that was made is as good as a name.
            (Some(true), None) if self.live_now.is_some() => self.live_now == root.live_id,
            _ => self.outcome.is_problem(),
        }
    }

    /// How long it took, for people: `43.1 ms`.
    pub(crate) fn milliseconds(&self) -> String {
        format!("{}.{} ms", self.duration_us / 1000, self.duration_us % 1000 / 100)
    }

    /// Reads a stamp's text; the error says what is wrong with it, in one line.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        // The message may quote the text.
        let stamp: Self = serde_json::from_slice(text)
            .map_err(|e| Escaped(e.to_string().as_bytes()).to_string())?;
        if stamp.version != VERSION {
            return Err(format!("it has version {}, and this program knows 1", stamp.version));
        }
        Ok(stamp)
    }

    /// Reads the stamp of a host, if it has one.
    pub fn read(host: &HostRoot) -> Result<Option<Self>> {
        let action = "read the stamp of the last rollback, /run/blankroot/rollback.json";
        let text = match host.read(Path::new(DIRECTORY).join(NAME)) {
            Ok(text) => text,
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(Error::io(action, error)),
        };
        Self::parse(&text).map(Some).map_err(|why| Error::new(action, why))
    }

    /// Writes the stamp into a host, in place of an older one; readers see the one or the other.
    pub fn write(&self, host: &HostRoot) -> Result<()> {
        let written = serde_json::to_vec_pretty(self).map_err(io::Error::from).and_then(|text| {
            let dir = host.make_dirs(DIRECTORY)?;
            atomic_file::replace(dir.as_fd(), OsStr::new(NAME), &text, 0o644)
        });
        written.map_err(|e| Error::new("write the stamp of this rollback", describe(&e)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dirfd::fault::{Fault, run_with};
    use proptest::prelude::*;

    fn stamp(outcome: RollbackOutcome) -> Stamp {
        Stamp {
            in_initrd: true,
            root: Some("/dev/x".into()),
            live: Some("root".into()),
            file_system: Some("c0ffee".into()),
            live_before: Some(TreeId::new("a")),
            old_root: Some("000001-3f2a1c9e".into()),
            live_now: Some(TreeId::new("b")),
            duration_us: 1500,
            ..Stamp::new("3f2a1c9e-7a01", DateTime::from_timestamp(0, 0).unwrap(), outcome)
        }
    }

    #[test]
    fn a_stamp_is_read_as_it_was_written_and_the_newer_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostRoot::open(dir.path()).unwrap();
        assert_eq!(Stamp::read(&host).unwrap(), None);
        for outcome in [
            RollbackOutcome::Refused { reasons: vec!["live is mounted at /a\nb".into()] },
            RollbackOutcome::Failed { reasons: Vec::new() },
            RollbackOutcome::Skipped,
            RollbackOutcome::RolledBack,
        ] {
            stamp(outcome.clone()).write(&host).unwrap();
            assert_eq!(Stamp::read(&host).unwrap(), Some(stamp(outcome)));
        }
        assert_eq!(host.names(DIRECTORY).unwrap(), [NAME]);
    }

    #[test]
    fn the_text_is_what_is_documented() {
        let text = serde_json::to_string(&stamp(RollbackOutcome::RolledBack)).unwrap();
        let expected = "{\"version\":1,\"boot_id\":\"3f2a1c9e-7a01\",\"in_initrd\":true,\"root\":\"/dev/x\",\
            \"live\":\"root\",\"file_system\":\"c0ffee\",\
            \"live_before\":\"a\",\"old_root\":\"000001-3f2a1c9e\",\"live_now\":\"b\",\
            \"started\":\"1970-01-01T00:00:00Z\",\"duration_us\":1500,\
            \"outcome\":{\"result\":\"rolled-back\"}}";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_stamp_speaks_of_its_own_root_alone() {
        let done = stamp(RollbackOutcome::RolledBack);
        let refused = stamp(RollbackOutcome::Refused { reasons: Vec::new() });
        let this = ThisRoot {
            place: Some("/dev/x".into()),
            live: "root".into(),
            file_system: Some("c0ffee".into()),
            live_id: Some(TreeId::new("b")),
        };
        let other_fs = ThisRoot { file_system: Some("bad".into()), ..this.clone() };
        let other_live = ThisRoot { live: "@".into(), ..this.clone() };
        for stamp in [&done, &refused] {
            assert!(stamp.is_of(&this) && !stamp.is_of(&other_fs) && !stamp.is_of(&other_live));
        }
        // Before the file system was opened, only the configuration's words are known.
        let early = |outcome| Stamp { file_system: None, live_now: None, ..stamp(outcome) };
        let elsewhere = ThisRoot { place: Some("/dev/y".into()), ..this.clone() };
        assert!(early(RollbackOutcome::Skipped).is_of(&this));
        assert!(!early(RollbackOutcome::Skipped).is_of(&elsewhere));
        // The initrd has a copy of the configuration that names another place.
        let missed = early(RollbackOutcome::Refused { reasons: vec!["there is no /dev/x".into()] });
        assert!(missed.is_of(&elsewhere) && missed.is_of(&other_live));
        assert!(
            !Stamp { in_initrd: false, ..missed }.is_of(&elsewhere),
            "somebody tried another root"
        );
        // Older ones.
        let old = Stamp { root: None, live: None, ..done.clone() };
        let other_id = ThisRoot { live_id: Some(TreeId::new("c")), ..this.clone() };
        assert!(old.is_of(&this) && !old.is_of(&other_fs) && !old.is_of(&other_id));
        let older = Stamp { file_system: None, live_now: None, ..old };
        assert!(!older.is_of(&this), "nothing tells that it is this root's");
        let why = RollbackOutcome::Refused { reasons: vec!["x".into()] };
        assert!(Stamp { outcome: why, ..older }.is_of(&this), "a problem is told");
    }

    #[test]
    fn a_stamp_of_an_older_version_is_read() {
        let text = b"{\"version\":1,\"boot_id\":\"x\",\"file_system\":null,\"live_before\":null,\
            \"old_root\":null,\"live_now\":null,\"started\":\"1970-01-01T00:00:00Z\",\
            \"duration_us\":1,\"outcome\":{\"result\":\"skipped\"}}";
        assert_eq!(Stamp::parse(text).unwrap().live, None);
    }

    #[test]
    fn a_stamp_that_cannot_be_read_is_an_error_and_not_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostRoot::open(dir.path()).unwrap();
        stamp(RollbackOutcome::Skipped).write(&host).unwrap();
        let path = dir.path().join(DIRECTORY).join(NAME);
        std::fs::write(&path, "{").unwrap();
        let error = Stamp::read(&host).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "cannot read the stamp of the last rollback, /run/blankroot/rollback.json: EOF"
            ),
            "{error}"
        );
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(Stamp::read(&host).is_err());
        let error = stamp(RollbackOutcome::Skipped).write(&host).unwrap_err().to_string();
        assert_eq!(error, "cannot write the stamp of this rollback: Is a directory");
    }

    #[test]
    fn a_write_that_fails_anywhere_leaves_the_older_stamp_or_the_whole_newer_one() {
        let fresh = || {
            let dir = tempfile::tempdir().unwrap();
            let host = HostRoot::open(dir.path()).unwrap();
            (dir, host)
        };
        let (_dir, host) = fresh();
        let (written, points) =
            run_with(None, None, || stamp(RollbackOutcome::RolledBack).write(&host));
        written.unwrap();
        for point in points {
            for fault in [Fault::Fail(point, 28), Fault::CutBefore(point), Fault::CutAfter(point)] {
                for older in [None, Some(stamp(RollbackOutcome::Skipped))] {
                    let (_dir, host) = fresh();
                    older.iter().for_each(|older| older.write(&host).unwrap());
                    let write = || stamp(RollbackOutcome::RolledBack).write(&host);
                    let (_, passed) = run_with(Some(fault), None, write);
                    let found = Stamp::read(&host).unwrap();
                    let whole = found == older || found == Some(stamp(RollbackOutcome::RolledBack));
                    assert!(whole, "{fault:?} of {passed:?}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn a_stamp_of_another_version_is_refused() {
        let newer = Stamp { version: 2, ..stamp(RollbackOutcome::Skipped) };
        let text = serde_json::to_vec(&newer).unwrap();
        let why = "it has version 2, and this program knows 1";
        assert_eq!(Stamp::parse(&text), Err(why.to_string()));
    }

    #[test]
    fn what_is_wrong_with_a_stamp_is_told_in_one_line() {
        let text = serde_json::to_string(&stamp(RollbackOutcome::Skipped)).unwrap();
        let why = Stamp::parse(text.replace("skipped", "a\\nb").as_bytes()).unwrap_err();
        assert!(why.starts_with("unknown variant `a\\nb`"), "{why}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fail(bytes: Vec<u8>) {
            let _ = Stamp::parse(&bytes);
        }
    }
}
