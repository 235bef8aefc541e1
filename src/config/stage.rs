//! What the demo plays on, and the configuration for a stage whose root `init` cannot find.

use std::path::PathBuf;

use backends::stage::Stage;
use backends::throwaway::Throwaway;
use backends::{Layout, Result, TreeName};
use clap::ValueEnum;

use super::root::{DEFAULT_BLANK, DEFAULT_LIVE, DEFAULT_OLD, RootConfig};
use super::starter::starter;

/// The backends that a stage can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ground {
    /// Subvolumes on a loop device; needs root.
    Btrfs,
    /// Plain directories in a temporary one.
    Directory,
}

/// A stage and what there is to say about it.
#[derive(Debug)]
pub struct Set {
    /// The stage.
    pub stage: Stage,
    /// The word for its backend.
    pub backend: &'static str,
    /// Why it is not the best one; completes "…, because …".
    pub why_not_better: Option<String>,
    /// The configuration that has to be there before `init`, if one has to.
    pub config: Option<String>,
}

/// Sets a stage: the `wanted` one, or the best that there is.
pub fn set(wanted: Option<Ground>) -> Result<Set> {
    let layout =
        Layout { live: name(DEFAULT_LIVE)?, blank: name(DEFAULT_BLANK)?, old: name(DEFAULT_OLD)? };
    match wanted {
        Some(Ground::Btrfs) => btrfs(layout.live),
        Some(Ground::Directory) => directory(layout, "that was asked for".into()),
        None => match unavailable() {
            Some(why) => directory(layout, why),
            None => match btrfs(layout.live.clone()) {
                Ok(set) => Ok(set),
                Err(error) => {
                    let why = error.to_string();
                    directory(layout, why.lines().next().unwrap_or_default().to_string())
                }
            },
        },
    }
}

fn unavailable() -> Option<String> {
    if cfg!(feature = "btrfs") {
        Throwaway::unavailable()
    } else {
        Some("this build has no btrfs".into())
    }
}

#[cfg(feature = "btrfs")]
fn btrfs(live: TreeName) -> Result<Set> {
    let stage = Stage::btrfs(live)?;
    Ok(Set { stage, backend: "btrfs", why_not_better: None, config: None })
}

#[cfg(not(feature = "btrfs"))]
fn btrfs(_live: TreeName) -> Result<Set> {
    Err(backends::Error::new("play on btrfs", "this build has no btrfs")
        .mend("build blankroot with the feature `btrfs`"))
}

fn directory(layout: Layout, why: String) -> Result<Set> {
    let stage = Stage::directory(layout.live.clone())?;
    let path: PathBuf = stage.disk();
    let config = starter(&RootConfig::Directory { path, layout })?;
    Ok(Set { stage, backend: "directory", why_not_better: Some(why), config: Some(config) })
}

fn name(name: &str) -> Result<TreeName> {
    TreeName::new(name).map_err(|why| backends::Error::new(format!("name a tree `{name}`"), why))
}
