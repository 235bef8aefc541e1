//! Plans what the machine is known by, which somebody has to make up once: PID 1, when it starts.
//!
//! Where it cannot write the file, PID 1 mounts what it made up over it (machine-id(5)).

use super::{Arranged, Planner};
use crate::observe::{Content, Found, Seen};

impl Planner<'_> {
    /// Whether there is none yet, and PID 1 is still to come: an empty file over an empty one would
    /// only be in its way.
    pub(super) fn waits_for_identity(&mut self, one: &Arranged) -> bool {
        let has_none = |path| match self.at(path) {
            Seen::Absent => true,
            Seen::There(found) => found.content == Content::Empty,
            Seen::Unreadable(..) => false,
        };
        let waits = self.asked.early
            && one.is_identity()
            && has_none(&one.source)
            && has_none(&one.made_at);
        if waits {
            let path = &one.entry.path;
            let note =
                format!("{path}: there is none yet; the system makes one, which is kept then");
            self.plan.notes.push(note);
        }
        waits
    }

    /// Whether what is mounted at its place is what PID 1 made up for this boot, and what storage has
    /// by now, too. Nobody has to mount the same once more.
    pub(super) fn is_this_boots_identity(&mut self, one: &Arranged, seen: &Found) -> bool {
        let is = one.is_identity() && seen.content == Content::AsInStorage;
        if is {
            let path = &one.entry.path;
            let note = format!("{path}: storage has what this boot made; the next mounts it");
            self.plan.notes.push(note);
        }
        is
    }
}
