//! What the demo plays on: the best backend that there is here, and the configuration for a root that
//! `init` cannot find by itself.

use std::path::PathBuf;

use backends::Layout;
use blankroot::cli::arguments::DemoBackend;
use blankroot::config::root::{DEFAULT_BLANK, DEFAULT_LIVE, DEFAULT_OLD, RootConfig};
use blankroot::config::starter::starter_text;
use dirfd::{Error, Result, TreeName};
use scratch::demo_disk::Stage;
use scratch::file_systems::Throwaway;

/// A stage and what there is to say about it.
#[derive(Debug)]
pub struct DemoStage {
    /// Gone when it is closed or dropped.
    pub stage: Stage,
    /// The word for its backend.
    pub backend: &'static str,
    /// Why it is not the best one; completes "…, because …".
    pub why_not_better: Option<String>,
    /// The configuration that has to be there before `init`, if one has to.
    pub config: Option<String>,
}

/// Sets a stage: the `wanted` one, or the best that there is.
pub fn set_stage(wanted: Option<DemoBackend>) -> Result<DemoStage> {
    let layout = Layout {
        live: tree_name(DEFAULT_LIVE)?,
        blank: tree_name(DEFAULT_BLANK)?,
        old: tree_name(DEFAULT_OLD)?,
    };
    match wanted {
        Some(DemoBackend::Btrfs) => stage_on_btrfs(layout.live),
        Some(DemoBackend::Directory) => stage_in_directory(layout, "that was asked for".into()),
        None => match why_not_btrfs() {
            Some(why) => stage_in_directory(layout, why),
            None => match stage_on_btrfs(layout.live.clone()) {
                Ok(set) => Ok(set),
                Err(error) => {
                    let why = error.to_string();
                    stage_in_directory(layout, why.lines().next().unwrap_or_default().to_string())
                }
            },
        },
    }
}

fn why_not_btrfs() -> Option<String> {
    if cfg!(feature = "btrfs") {
        Throwaway::unavailable()
    } else {
        Some("this build has no btrfs".into())
    }
}

#[cfg(feature = "btrfs")]
fn stage_on_btrfs(live: TreeName) -> Result<DemoStage> {
    let stage = Stage::btrfs(live)?;
    Ok(DemoStage { stage, backend: "btrfs", why_not_better: None, config: None })
}

#[cfg(not(feature = "btrfs"))]
fn stage_on_btrfs(_live: TreeName) -> Result<DemoStage> {
    Err(Error::new("play on btrfs", "this build has no btrfs")
        .hint("build blankroot with the feature `btrfs`"))
}

fn stage_in_directory(layout: Layout, why: String) -> Result<DemoStage> {
    let stage = Stage::directory(layout.live.clone())?;
    let path: PathBuf = stage.disk();
    let config = starter_text(&RootConfig::Directory { path, layout })?;
    Ok(DemoStage { stage, backend: "directory", why_not_better: Some(why), config: Some(config) })
}

fn tree_name(name: &str) -> Result<TreeName> {
    TreeName::new(name).map_err(|why| Error::new(format!("name a tree `{name}`"), why))
}
