//! The arguments of the commands about a boot: what is rolled back, held, told and deleted.

use clap::Args;

use super::{Format, Host, Root};

/// The arguments of `rollback`.
#[derive(Args, Debug)]
pub struct Rollback {
    /// Print what would be done, or the reasons against it, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Only complete what an interrupted run had begun: what the initrd does before it looks for the root
    #[arg(long, conflicts_with = "dry_run")]
    pub finish: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub host: Host,
}

/// The arguments of `hold`.
#[derive(Args, Debug)]
pub struct HoldNext {
    /// Release the hold: the next boot is rolled back
    #[arg(long)]
    pub release: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub host: Host,
}

/// The arguments of `status`.
#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub root: Root,
    /// Tell only whether the rollback of this boot ran, on standard error and in the journal; what the
    /// boot's own unit runs
    #[arg(long, conflicts_with = "format")]
    pub boot: bool,
    /// For whom to write
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: Format,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub host: Host,
}

/// The arguments of `expire`.
#[derive(Args, Debug)]
pub struct Expire {
    /// Print what would be deleted and what stays, with the reasons, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub host: Host,
}
