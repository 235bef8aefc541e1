//! Plans to stop keeping a path: its data goes back to live and is whole there before storage loses
//! it, or it stays in storage as a leftover that is named.

use std::fmt;

use dirfd::copy::temporary_copy::difference;
use dirfd::{Error, FileType, Result, TreePath};

use crate::config::entry::{EntryKind, PlacementMethod};
use crate::host::Machine;
use crate::persist::keep_plan::{added_lines, escape_line};
use crate::persist::list::KeepEntry;
use crate::persist::path_lookup::look_up;
use crate::persist::plan_target::leads_to;
use crate::persist::resolve::ResolvedEntry;
use crate::steps::write_numbered;

/// What becomes of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredDataAction {
    /// It is copied back to live, and storage's copy is removed.
    MoveBack,
    /// It stays in storage.
    Leave,
}

/// What is at the path now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveState {
    /// Nothing.
    Nothing,
    /// The data from storage is mounted there.
    Mounted,
    /// A link leads to the data, by this text.
    Linked(Vec<u8>),
    /// Something of its own, of this type.
    Own(FileType),
    /// The same as in storage: an earlier run came this far.
    Back,
    /// What a program put in the place of the link, later than storage's was written.
    Newer,
    /// An empty file, which the data was mounted over.
    Place,
    /// Another mount.
    OtherMount,
}

/// Looks at what is at the path of an entry.
pub fn probe_live(machine: &Machine, one: &ResolvedEntry) -> Result<LiveState> {
    let Some(live) = look_up(machine, &one.seen_at)? else { return Ok(LiveState::Nothing) };
    let stored = look_up(machine, &one.source)?;
    if live.is_mount {
        let same = stored.is_some_and(|stored| stored.stat.is_same_file(&live.stat));
        return Ok(if same { LiveState::Mounted } else { LiveState::OtherMount });
    }
    let file_type = live.stat.facts.file_type;
    let target = live.place().link_target();
    let target = target.map_err(|why| Error::io(format!("look at {}", one.seen_at), why))?;
    if let Some(target) = target.filter(|target| leads_to(target, one)) {
        return Ok(LiveState::Linked(target));
    }
    match stored {
        Some(stored) if difference(stored.place(), live.place(), &one.seen_at)?.is_none() => {
            Ok(LiveState::Back)
        }
        Some(_) if live.census(&one.seen_at)?.is_empty() => Ok(match file_type {
            FileType::File => LiveState::Place,
            other => LiveState::Own(other),
        }),
        // By the time that nobody can set.
        Some(stored)
            if one.entry.fixed_placement() != Some(PlacementMethod::Bind)
                && live.stat.changed >= stored.stat.changed =>
        {
            Ok(LiveState::Newer)
        }
        _ => Ok(LiveState::Own(file_type)),
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnkeepStep {
    /// Make sure that nobody has anything of the data open.
    CheckUnused(TreePath),
    /// Copy the data into a directory of live that only root can enter, and compare.
    CopyBack {
        /// The data in storage.
        source: TreePath,
        /// Its place in live.
        path: TreePath,
    },
    /// Unmount it.
    Unmount(TreePath),
    /// Exchange the copy with what is at the place.
    PutBack {
        /// The data in storage, which must not have changed since it was copied.
        source: TreePath,
        /// Its path in live.
        path: TreePath,
    },
    /// Remove the link.
    Unlink {
        /// Where it is.
        path: TreePath,
        /// What it says.
        target: Vec<u8>,
    },
    /// Write the new configuration.
    WriteConfig {
        /// The lines that are gone.
        lines: Vec<String>,
    },
    /// Remove the data from storage.
    RemoveStored(TreePath),
}

/// What will be done, in order.
#[derive(Clone, Debug, Default)]
pub struct UnkeepPlan {
    /// The first that fails ends the run.
    pub(crate) steps: Vec<UnkeepStep>,
    /// What the owner may want to know.
    pub(crate) notes: Vec<String>,
}

/// Plans for one path. `stored` tells whether storage has the data; `lines` what the configuration
/// loses.
pub fn plan_unkeep(
    one: &ResolvedEntry,
    list: &[KeepEntry],
    data: StoredDataAction,
    now: LiveState,
    stored: bool,
    config: (&str, &str),
) -> Result<UnkeepPlan> {
    let (path, source) = (&one.seen_at, one.source.clone());
    let action = format!("stop keeping {}", one.entry.path);
    let inside =
        |entry: &&KeepEntry| entry.path != one.entry.path && entry.path.is_within(&one.entry.path);
    if let Some(inner) = list.iter().find(inside) {
        let (below, line) = (&inner.path, inner.place.line);
        let why = format!("{below}, which lies in it, is kept on its own (line {line})");
        return Err(Error::new(action, why).hint(format!("stop keeping {below} first")));
    }
    let mut plan = UnkeepPlan::default();
    let write = UnkeepStep::WriteConfig { lines: added_lines(config.1, config.0) };
    // Nothing covers live there: only the link, if there is one, and the entry have to go.
    if one.is_shown_by_parent() || !stored {
        if let LiveState::Linked(target) = now {
            plan.steps.push(UnkeepStep::Unlink { path: path.clone(), target });
        }
        plan.steps.push(write);
        return Ok(plan);
    }
    if now == LiveState::OtherMount {
        let why = format!("something other than {source} is mounted at {path}");
        return Err(Error::new(action, why).hint(format!("unmount it first: umount {path}")));
    }
    if now == LiveState::Newer {
        plan.steps.push(write);
        plan.notes.push(format!(
            "{path} is newer than {source}, and stays as it is until the next boot; {source} stays in \
             storage as a leftover"
        ));
        return Ok(plan);
    }
    plan.steps.push(UnkeepStep::CheckUnused(source.clone()));
    let copies = match data {
        StoredDataAction::MoveBack => now != LiveState::Back,
        // Without the link nothing would be there, and below the mount of a file is an empty or an
        // older one, which an interrupted run has left.
        StoredDataAction::Leave => {
            let is_file = one.entry.kind == EntryKind::File;
            matches!(now, LiveState::Linked(_))
                || (is_file
                    && matches!(
                        now,
                        LiveState::Mounted | LiveState::Place | LiveState::Own(FileType::File)
                    ))
        }
    };
    if copies {
        plan.steps.push(UnkeepStep::CopyBack { source: source.clone(), path: path.clone() });
    }
    plan.steps.extend((now == LiveState::Mounted).then(|| UnkeepStep::Unmount(path.clone())));
    if copies {
        plan.steps.push(UnkeepStep::PutBack { source: source.clone(), path: path.clone() });
    }
    plan.steps.push(write);
    match data {
        StoredDataAction::MoveBack => {
            plan.steps.push(UnkeepStep::RemoveStored(source));
            plan.notes
                .push(format!("{path} is part of live again, and will be gone at the next boot"));
        }
        StoredDataAction::Leave => plan
            .notes
            .push(format!("{source} stays in storage as a leftover, which nothing needs any more")),
    }
    Ok(plan)
}

impl fmt::Display for UnkeepStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckUnused(path) => write!(f, "see that nobody uses {path}"),
            Self::CopyBack { source, path } => {
                write!(f, "copy {source} into a private directory for {path}, and compare the two")
            }
            Self::Unmount(path) => write!(f, "unmount {path}"),
            Self::PutBack { path, .. } => {
                write!(f, "exchange that copy with what is at {path}, which stays beside it")
            }
            Self::Unlink { path, .. } => write!(f, "remove the link {path}"),
            Self::WriteConfig { lines } => {
                write!(f, "take from the configuration:")?;
                lines.iter().try_for_each(|line| write!(f, "\n   - {}", escape_line(line)))
            }
            Self::RemoveStored(source) => write!(f, "remove {source} from storage"),
        }
    }
}

impl fmt::Display for UnkeepPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_numbered(f, &self.steps)
    }
}
