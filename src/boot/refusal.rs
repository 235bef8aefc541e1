//! Every reason not to roll back, with what the reader can do about it.

use std::fmt;

use backends::{LiveMount, Obstacle, Space};
use bytesize::ByteSize;
use dirfd::TreeName;
use dirfd::path::Escaped;

use crate::boot::resume::Resume;

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was asked for; this is no failure.
    Skip,
    /// `blankroot=` has a value that means nothing.
    UnknownRequest(Vec<u8>),
    /// A hibernation image is, or may be, waiting.
    Resume(Resume),
    /// The kernel command line names the root by number.
    NumberOnCommandLine {
        /// As it stands there, without `subvolid=`.
        subvolid: Vec<u8>,
        /// What to write instead.
        corrected: String,
    },
    /// Blank's fstab names the root by number.
    NumberInFstab {
        /// The name of blank.
        blank: TreeName,
        /// The number of the line.
        line: usize,
        /// The number of the tree.
        subvolid: Vec<u8>,
        /// The line to write instead.
        corrected: String,
    },
    /// Nothing has live's name.
    LiveMissing(TreeName),
    /// Live is no tree, but this.
    LiveNotATree(TreeName, String),
    /// Live cannot be set aside.
    LiveReadOnly(TreeName),
    /// Live is in use.
    Mounted(TreeName, Vec<LiveMount>),
    /// Live may be in use.
    MaybeMounted(TreeName, Vec<LiveMount>),
    /// Whether live is in use could not be told: there are too many mounts.
    TooManyMounts(TreeName),
    /// Nothing has blank's name.
    BlankMissing(TreeName),
    /// Blank is no tree, but this.
    BlankNotATree(TreeName, String),
    /// Neither of the two was made of the other, and nothing says that they belong together; the text
    /// tells why what says so cannot be read.
    Unrelated {
        /// The name of live.
        live: TreeName,
        /// The name of blank.
        blank: TreeName,
        /// Why what is written down cannot be read.
        unreadable: Option<String>,
    },
    /// Blank may be changed at any time.
    BlankWritable(TreeName),
    /// A fresh copy may not fit.
    NoSpace(Space),
    /// The name of the old root cannot be made.
    OldName(TreeName, &'static str),
    /// Somebody may have held this boot.
    HoldUnreadable(TreeName, String),
    /// What only the backend knows.
    Obstacle(Obstacle),
}

impl Refusal {
    /// Whether nothing is wrong: it was asked for.
    pub(crate) fn is_by_request(&self) -> bool {
        *self == Self::Skip
    }

    /// Why, as one line.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Skip => "`blankroot=skip` is on the kernel command line".to_string(),
            Self::UnknownRequest(value) => format!(
                "`blankroot={}` on the kernel command line is none of `skip`, `halt` and `boot`",
                Escaped(value)
            ),
            Self::Resume(resume) => resume.to_string(),
            Self::NumberOnCommandLine { subvolid, .. } => {
                reason_by_number("the kernel command line", subvolid)
            }
            Self::NumberInFstab { line, subvolid, .. } => {
                reason_by_number(&format!("line {line} of blank's fstab"), subvolid)
            }
            Self::LiveMissing(name) => format!("live, `{name}`, is missing"),
            Self::LiveNotATree(name, what) => format!("live, `{name}`, is {what}"),
            Self::LiveReadOnly(name) => {
                format!("live, `{name}`, is read-only and cannot be set aside")
            }
            Self::Mounted(name, at) => format!("live, `{name}`, is mounted at {}", list_mounts(at)),
            Self::MaybeMounted(name, at) => {
                format!("live, `{name}`, may be mounted at {}", list_mounts(at))
            }
            Self::TooManyMounts(name) => format!(
                "whether live, `{name}`, is mounted could not be told: other mount namespaces have more \
                 mounts than can be looked at in a second"
            ),
            Self::BlankMissing(name) => format!("blank, `{name}`, is missing"),
            Self::BlankNotATree(name, what) => format!("blank, `{name}`, is {what}"),
            Self::BlankWritable(name) => format!("blank, `{name}`, is not read-only"),
            Self::Unrelated { live, blank, unreadable } => {
                reason_unrelated(live, blank, unreadable)
            }
            Self::NoSpace(Space { available, needed }) => format!(
                "a fresh copy may need {}, and {} are left",
                ByteSize(*needed),
                ByteSize(*available)
            ),
            Self::HoldUnreadable(old, why) => {
                format!("the next boot may be held, but the hold in `{old}` cannot be read: {why}")
            }
            Self::OldName(name, why) => format!("the name of an old root in `{name}` {why}"),
            Self::Obstacle(obstacle) => obstacle.reason.clone(),
        }
    }

    /// What the reader can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Skip => return None,
            Self::UnknownRequest(_) => "correct it or leave it out",
            Self::Resume(Resume::RuledOut) => return None,
            Self::Resume(Resume::Pending { .. }) => {
                "resume it, or give it up by booting once with `noresume`"
            }
            Self::Resume(Resume::CannotTell { .. }) => {
                "make it available before the rollback, correct or leave out `resume=`, or boot \
                 with `noresume`"
            }
            Self::NumberOnCommandLine { corrected, .. } => {
                return Some(format!("write `{corrected}` instead"));
            }
            Self::NumberInFstab { corrected, blank, .. } => {
                return Some(format!(
                    "write this line instead: {corrected} (in /etc/fstab); then make blank anew, which \
                     has the old line: give `{blank}` another name, and run `blankroot init`"
                ));
            }
            Self::Unrelated { blank, .. } => return Some(hint_unrelated(blank)),
            Self::LiveMissing(_) | Self::LiveNotATree(..) => {
                "set `live` in the configuration to the name of the tree that is the root"
            }
            Self::LiveReadOnly(_) => "make it writable",
            Self::Mounted(..) => {
                "run the rollback before live is mounted, or unmount it; the top level and other \
                 trees of the file system may stay mounted"
            }
            Self::MaybeMounted(..) => "unmount these, or run the rollback before they are mounted",
            Self::TooManyMounts(_) => {
                "reboot: the initrd has no such namespaces; `lsns -t mnt` lists them with their processes"
            }
            Self::BlankMissing(_) => "make it with `blankroot init`",
            Self::BlankNotATree(..) => "move it away, then run `blankroot init`",
            Self::BlankWritable(_) => {
                "make it read-only, or make a new one with `blankroot init --adopt`"
            }
            Self::NoSpace(_) => "delete old roots with `blankroot expire`, or make room otherwise",
            Self::HoldUnreadable(..) => "release it with `blankroot hold --release`",
            Self::OldName(..) => "set `old` in the configuration to another name",
            Self::Obstacle(obstacle) => return obstacle.hint.clone(),
        };
        Some(text.to_string())
    }
}

/// Why this blank is not taken for this live's.
pub(crate) fn reason_unrelated(
    live: &TreeName,
    blank: &TreeName,
    unreadable: &Option<String>,
) -> String {
    let written = match unreadable {
        Some(why) => format!("what is written down of them cannot be read: {why}"),
        None => "nothing says that they belong together".to_string(),
    };
    format!(
        "blank, `{blank}`, may be another system's: neither it nor live, `{live}`, was made of the \
         other, and {written}"
    )
}

/// What to do about it.
pub(crate) fn hint_unrelated(blank: &TreeName) -> String {
    format!(
        "if `{blank}` is what this root is to be restored to, run `blankroot init --adopt '{blank}' \
         --even-if-unrelated`; \
         else write other names for `blank` and `old` into the configuration, and run `blankroot init`"
    )
}

/// Why a number does not do.
pub(crate) fn reason_by_number(place: &str, subvolid: &[u8]) -> String {
    format!(
        "{place} mounts the root by its number (`subvolid={}`), which stays with the old root",
        Escaped(subvolid)
    )
}

fn list_mounts(mounts: &[LiveMount]) -> String {
    mounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.is_by_request() { "not rolled back" } else { "cannot roll back" };
        write!(f, "{prefix}: {}", self.reason())?;
        match self.hint() {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}
