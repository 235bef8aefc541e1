//! The arguments of the commands that are about kept paths.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{Host, Root};

/// The arguments of `keep`.
#[derive(Args, Debug)]
pub struct Keep {
    /// What to keep: a directory with all that is in it, or a file; a `/` at the end names a
    /// directory that may be yet to come
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub root: Root,
    /// Move the data to this storage (default: the only one, or the one that holds what is kept
    /// nearest)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub storage: Option<PathBuf>,
    /// Link to the data instead of mounting it, where nothing can be mounted or nothing should be
    #[arg(long)]
    pub symlink: bool,
    /// Take the data from the old root of this name, or of which this is a part; `status` lists them
    #[arg(long, value_name = "OLDROOT")]
    pub from: Option<String>,
    /// Where storage has other data already, set that aside, under a name beside it
    #[arg(long)]
    pub adopt: bool,
    /// Go on although it cannot be told of some process whether it has any of this open; what that
    /// would write is lost
    #[arg(long)]
    pub even_if_unseen: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Find the storages below DIR instead of below the root
    #[arg(long, value_name = "DIR", hide = true)]
    pub storages: Option<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub host: Host,
}

/// The arguments of `forget`.
#[derive(Args, Debug)]
pub struct Forget {
    /// What to forget: a path with all that is below it, or a pattern in quotes
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub root: Root,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The arguments of `unkeep`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("data").required(true))]
pub struct Unkeep {
    /// What to keep no more
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub root: Root,
    /// Copy the data back to live, where it goes at the next boot, and remove it from storage
    #[arg(long, group = "data")]
    pub move_back: bool,
    /// Leave the data in storage; where that is linked, or is a file, live gets a copy
    #[arg(long, group = "data")]
    pub leave: bool,
    /// Go on although it cannot be told of some process whether it has any of this open; what that
    /// would write is lost
    #[arg(long)]
    pub even_if_unseen: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The arguments of `apply`.
#[derive(Args, Debug)]
pub struct Apply {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub root: Root,
    /// Put a user's own list in force, without root: the one in ~/.config/blankroot.toml
    #[arg(long, conflicts_with_all = ["no_mounts", "storages", "host"])]
    pub user: bool,
    /// Move data that is in the way into storage; what storage had before stays beside it
    #[arg(long)]
    pub adopt: bool,
    /// The same only for a file that its program put in the place of its link, and where the
    /// storage has nothing yet; for the end of a boot
    #[arg(long)]
    pub adopt_replaced: bool,
    /// Mount nothing: only make what mounts need, and the links; for systemd's mount units
    #[arg(long)]
    pub no_mounts: bool,
    /// For the initrd, once the root is mounted at DIR of `--root`: only what has to be there before
    /// the system starts, such as /etc/machine-id; mounts the storages that this needs as the root's
    /// fstab says. The configuration is the initrd's own /etc/blankroot.toml
    #[arg(long, conflicts_with_all = ["user", "adopt", "adopt_replaced", "no_mounts", "storages"])]
    pub in_initrd: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Find the storages below DIR instead of below the root
    #[arg(long, value_name = "DIR", hide = true)]
    pub storages: Option<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub host: Host,
}
