//! Plans the set-up of a root: what is asked for and what is there → the steps, or every reason
//! against it. Pure, as all plans are.

use std::fmt;
use std::path::PathBuf;

use backends::{Abilities, Kinship, Layout, OldRoot, Origin, Slot, Survey, Tree, kinship};
use dirfd::TreeName;
use dirfd::path::Escaped;

use crate::boot::rollback_plan::obstacles_to_swap;
use crate::boot::{nested_trees, refusal};
use crate::config::rollback_options::Strategy;

/// Where blank comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedBlank {
    /// A snapshot is made.
    New(Origin),
    /// A snapshot that exists is taken.
    Adopted {
        /// Relative to the top of the file system.
        name: TreeName,
        /// Also if it may be another system's.
        even_if_unrelated: bool,
    },
    /// It is made by a later run, when the configuration and the initrd are what it should hold.
    Later,
}

/// The configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigFile {
    /// It is there.
    There {
        /// As it was named, or found below the root.
        path: PathBuf,
        /// The line that names blank.
        blank_line: Option<usize>,
    },
    /// It has to be written.
    New {
        /// Nothing has this name yet.
        path: PathBuf,
        /// What will stand in it.
        text: String,
    },
}

/// Everything that is known before anything is changed.
#[derive(Clone, Copy, Debug)]
pub struct InitSituation<'a> {
    /// The configuration file, there or yet to be written.
    pub config: &'a ConfigFile,
    /// The names in it; `None` where the file system has no trees.
    pub layout: Option<&'a Layout>,
    /// How live is restored.
    pub strategy: Strategy,
    /// What is on the disk.
    pub survey: &'a Survey,
    /// What the backend can do.
    pub abilities: Abilities,
    /// What was found out elsewhere that speaks against it: storages that would go with live, a boot that
    /// mounts something else.
    pub against: &'a [InitRefusal],
    /// How to make blank read-only, where the backend knows.
    pub how_to_make_read_only: Option<&'a str>,
    /// The command that makes the root's initrd anew, where it is known.
    pub remake_initrd: Option<&'a str>,
}

/// A change of the host or the disk; printed as `--dry-run` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitStep {
    /// Write the configuration: first, so that a snapshot of live has it.
    WriteConfig {
        /// Nothing has this name yet.
        path: PathBuf,
        /// TOML, with comments.
        text: String,
    },
    /// Make the directory for old roots.
    MakeOldDir {
        /// Relative to the top of the file system.
        old: TreeName,
    },
    /// Write down which nested subvolumes blank has stubs of.
    ListStubs {
        /// Where they are looked for.
        blank: Tree,
    },
    /// Write down that this blank is what live is to be restored to.
    Adopt {
        /// The tree that is live.
        live: Tree,
        /// The snapshot that it is restored to from then on.
        blank: Tree,
    },
    /// Make the blank snapshot, and the directory for old roots.
    Capture {
        /// What it is made of.
        origin: Origin,
        /// The name of live.
        live: TreeName,
        /// The name of the snapshot.
        blank: TreeName,
    },
}

/// What `init` will do, in order, and what it found done. There may be nothing left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitPlan {
    /// What is there already, each a line.
    pub(crate) there: Vec<String>,
    /// What the reader should know before anything is done.
    pub(crate) warnings: Vec<String>,
    /// Executed one after the other; the first that fails ends the run.
    pub steps: Vec<InitStep>,
    /// What the reader should know about the result.
    pub(crate) notes: Vec<String>,
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitRefusal {
    /// What is wrong, as one line.
    pub(crate) reason: String,
    /// What the reader can do about it.
    pub(crate) hint: String,
}

/// Plans the set-up, or names all reasons against it.
pub fn plan_init(
    wanted: &WantedBlank,
    now: InitSituation<'_>,
) -> Result<InitPlan, Vec<InitRefusal>> {
    let mut plan = InitPlan::default();
    match now.config {
        ConfigFile::There { path, .. } => {
            plan.there.push(format!("the configuration {}", Escaped::of_path(path)))
        }
        ConfigFile::New { path, text } => {
            plan.steps.push(InitStep::WriteConfig { path: path.clone(), text: text.clone() });
        }
    }
    let Some(layout) = now.layout.filter(|_| now.abilities.needs_rollback) else {
        plan.notes.push(
            "there is nothing to capture: this root starts empty at every boot by itself".into(),
        );
        return if now.against.is_empty() { Ok(plan) } else { Err(now.against.to_vec()) };
    };
    let mut refusals = now.against.to_vec();
    refusals.extend(unusable_live(&now.survey.live, layout));
    for obstacle in now.survey.obstacles.iter().chain(obstacles_to_swap(now.strategy, now.survey)) {
        refusals.push(InitRefusal {
            reason: obstacle.reason.clone(),
            hint: obstacle.hint.clone().unwrap_or_else(|| "remove this obstacle".to_string()),
        });
    }
    refusals.extend(shared_old_dir(wanted, layout, now.survey));
    let planned = plan_blank(wanted, layout, now, &mut plan);
    if now.survey.blank == Slot::Missing {
        plan.notes.extend(hint_on_initrd(wanted, &plan.steps, now.remake_initrd));
    }
    match planned {
        Ok(()) if refusals.is_empty() => Ok(plan),
        Ok(()) => Err(refusals),
        Err(refusal) => {
            refusals.push(refusal);
            Err(refusals)
        }
    }
}

fn plan_blank(
    wanted: &WantedBlank,
    layout: &Layout,
    now: InitSituation<'_>,
    plan: &mut InitPlan,
) -> Result<(), InitRefusal> {
    if let WantedBlank::Adopted { name, .. } = wanted
        && *name != layout.blank
    {
        return Err(other_blank(name, layout, now.config));
    }
    match (&now.survey.blank, wanted) {
        (Slot::Present(tree), _) => {
            check_read_only(tree, now.how_to_make_read_only)?;
            let adopted = plan_adoption(wanted, tree, now.survey)?;
            plan.there.push(format!("blank, `{}`, read-only{}", tree.name, creation_time(tree)));
            plan_old_dir(layout, now.survey, plan);
            match &now.survey.stubs {
                Some(stubs) => plan.notes.extend(nested_trees::note_on_stubs(stubs)),
                None => plan.steps.push(InitStep::ListStubs { blank: tree.clone() }),
            }
            plan.steps.extend(adopted);
        }
        (Slot::NotATree(what), _) => {
            return Err(InitRefusal {
                reason: format!("blank, `{}`, is {what}", layout.blank),
                hint: "move it away, or set `blank` in the configuration to another name".into(),
            });
        }
        (Slot::Missing, WantedBlank::Adopted { name, .. }) => {
            return Err(InitRefusal {
                reason: format!("there is no snapshot `{name}` to adopt"),
                hint: "name it relative to the top of the file system, as in `root-blank`".into(),
            });
        }
        (Slot::Missing, WantedBlank::Later) => {}
        (Slot::Missing, WantedBlank::New(origin)) => {
            let (live, blank) = (layout.live.clone(), layout.blank.clone());
            plan.steps.push(InitStep::Capture { origin: *origin, live, blank });
            if *origin == Origin::Live {
                plan.notes.extend(nested_trees::note_on_nested(&now.survey.nested));
            }
            if *origin == Origin::Empty {
                plan.notes.push(
                    "the next rollback leaves an empty root: whatever makes /etc must bring this \
                     configuration along, and so must the initrd"
                        .into(),
                );
            }
        }
    }
    Ok(())
}

/// What is left to do so that the next boot is rolled back. Blank cannot be changed: what it is to hold,
/// an initrd in `/boot` too, has to be there before it is made.
fn hint_on_initrd(
    wanted: &WantedBlank,
    steps: &[InitStep],
    remake: Option<&str>,
) -> Option<String> {
    let remake = remake.map(|command| format!(" with `{command}`"));
    let configures = steps.iter().any(|step| matches!(step, InitStep::WriteConfig { .. }));
    match wanted {
        WantedBlank::Later => Some(format!(
            "there is no blank yet: keep what is wanted, rebuild the initrd{}, then run `blankroot \
             init`",
            remake.unwrap_or_default()
        )),
        WantedBlank::New(Origin::Live) if configures => remake.map(|remake| {
            format!(
                "nothing is rolled back until the initrd is rebuilt{remake}; where it is a part of \
                 this root, blank has the older one: `blankroot init --no-blank` comes before that"
            )
        }),
        _ => None,
    }
}

fn plan_old_dir(layout: &Layout, survey: &Survey, plan: &mut InitPlan) {
    if survey.has_old_dir {
        let roots = match survey.old_roots.len() {
            1 => "1 old root".to_string(),
            count => format!("{count} old roots"),
        };
        plan.there.push(format!("the directory of old roots, `{}`, with {roots}", layout.old));
    } else {
        plan.steps.push(InitStep::MakeOldDir { old: layout.old.clone() });
    }
}

/// Two systems may put their old roots into one directory where records name the live that each was. A system
/// of the same name, or one whose records are older than that, could not be told apart once a blank is gone.
fn shared_old_dir(wanted: &WantedBlank, layout: &Layout, survey: &Survey) -> Option<InitRefusal> {
    // Whoever adopts a blank adopts the old roots that it took the place of.
    let adopted = matches!(wanted, WantedBlank::Adopted { .. })
        .then(|| Survey { kinship: Kinship::Recorded, ..survey.clone() });
    let survey = adopted.as_ref().unwrap_or(survey);
    let others = kinship::of_other_systems(survey);
    let is_told_apart = |old_root: &&OldRoot| survey.is_of_other(&old_root.record);
    let mut roots = survey.old_roots.iter().filter(|old_root| !is_told_apart(old_root));
    let other = roots.find(|old_root| others.contains(&old_root.tree.id))?;
    let (old, name) = (&layout.old, &other.tree.name);
    Some(InitRefusal {
        reason: format!(
            "the directory of old roots, `{old}`, has what may be another system's: `{name}`, which \
             neither its record nor what was copied from what leads to live from"
        ),
        hint: format!(
            "write another name for `old` into the configuration; or, if that system is gone, give \
             `{old}` another name"
        ),
    })
}

fn unusable_live(live: &Slot, layout: &Layout) -> Option<InitRefusal> {
    let what = match live {
        Slot::Present(_) => return None,
        Slot::Missing => "missing",
        Slot::NotATree(what) => what.as_str(),
    };
    Some(InitRefusal {
        reason: format!("live, `{}`, is {what}", layout.live),
        hint: "set `live` in the configuration to the name of the tree that is the root".into(),
    })
}

fn other_blank(asked: &TreeName, layout: &Layout, config: &ConfigFile) -> InitRefusal {
    let place = match config {
        ConfigFile::There { path, blank_line: Some(line) } => {
            format!("{}:{line}", Escaped::of_path(path))
        }
        ConfigFile::There { path, blank_line: None } | ConfigFile::New { path, .. } => {
            Escaped::of_path(path).to_string()
        }
    };
    InitRefusal {
        reason: format!("the configuration has another blank, `{}`", layout.blank),
        hint: format!("write `blank = \"{asked}\"` at {place}, then run this again"),
    }
}

fn check_read_only(blank: &Tree, how: Option<&str>) -> Result<(), InitRefusal> {
    if blank.read_only {
        return Ok(());
    }
    Err(InitRefusal {
        reason: format!("blank, `{}`, is not read-only", blank.name),
        hint: how.unwrap_or("make it read-only").to_string(),
    })
}

/// A blank that is there already may be another system's: the last installation's, say.
fn plan_adoption(
    wanted: &WantedBlank,
    blank: &Tree,
    survey: &Survey,
) -> Result<Option<InitStep>, InitRefusal> {
    let Some(live) = survey.live.tree() else { return Ok(None) };
    let step = InitStep::Adopt { live: live.clone(), blank: blank.clone() };
    match (&survey.kinship, wanted) {
        (Kinship::Proven | Kinship::Recorded, _) => Ok(None),
        (Kinship::Unknown, WantedBlank::Adopted { .. })
        | (Kinship::Unrelated(_), WantedBlank::Adopted { even_if_unrelated: true, .. }) => {
            Ok(Some(step))
        }
        (Kinship::Unknown, _) => Ok(None),
        (Kinship::Unrelated(unreadable), _) => Err(InitRefusal {
            reason: refusal::reason_unrelated(&live.name, &blank.name, unreadable),
            hint: refusal::hint_unrelated(&blank.name),
        }),
    }
}

fn creation_time(tree: &Tree) -> String {
    let time = tree.created.map(|time| format!(", made {}", time.format("%Y-%m-%d %H:%M:%S UTC")));
    time.unwrap_or_default()
}

impl fmt::Display for InitStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteConfig { path, .. } => {
                write!(f, "write the configuration {}", Escaped::of_path(path))
            }
            Self::MakeOldDir { old } => write!(f, "make the directory of old roots `{old}`"),
            Self::ListStubs { blank } => {
                write!(f, "write down which nested subvolumes `{}` has stubs of", blank.name)
            }
            Self::Adopt { live, blank } => {
                let (live, blank) = (&live.name, &blank.name);
                write!(f, "write down that `{blank}` is the blank of `{live}`")
            }
            Self::Capture { origin: Origin::Live, live, blank } => {
                write!(f, "make the blank snapshot `{blank}` of `{live}`")
            }
            Self::Capture { origin: Origin::Empty, blank, .. } => {
                write!(f, "make the blank snapshot `{blank}` of nothing: an empty root")
            }
        }
    }
}

impl fmt::Display for InitPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for there in &self.there {
            writeln!(f, "there already: {there}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for (at, step) in self.steps.iter().enumerate() {
            writeln!(f, "{}. {step}", at + 1)?;
            // What was found is in it: which file system, and which tree of it is live.
            if let InitStep::WriteConfig { text, .. } = step {
                let said = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
                said.into_iter().try_for_each(|line| {
                    let line = Escaped(line.as_bytes()).to_string().replace("\\\\", "\\");
                    writeln!(f, "   + {line}")
                })?;
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

impl fmt::Display for InitRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot set up the root: {}\n  hint: {}", self.reason, self.hint)
    }
}

#[cfg(test)]
#[path = "init_plan_tests.rs"]
mod tests;
