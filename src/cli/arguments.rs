//! The command line: what can be asked for, and what the help says about it.

use std::ops::Deref;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::{ArgMatches, Args, Error, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use crate::cli::help::{self};
use crate::restore::complete_restore;

/// Erase your darlings, and never lose one you wanted: restores the root to a blank snapshot at
/// every boot, and tells exactly what appeared since.
#[derive(Debug, Parser)]
#[command(name = "blankroot", version, propagate_version = true, max_term_width = 100)]
#[command(arg_required_else_help = true, subcommand_required = true)]
#[command(after_help = help::TOP)]
pub struct Cli {
    /// Read the configuration from FILE (default: etc/blankroot.toml below the root)
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Colour the output; `auto` does so on a terminal unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// When to colour the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// For whom to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Human,
    /// For programs: one JSON document with a `version`.
    Json,
}

/// For whom an audit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditFormat {
    /// For people.
    Human,
    /// For programs: the record, one JSON document in a line.
    Json,
    /// For node_exporter's textfile collector: Prometheus's text format.
    Prometheus,
}

/// What an audit is taken at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditEvent {
    /// Once the system is up.
    Boot,
    /// Before the machine goes down.
    Shutdown,
    /// After a package manager was at work: tells what of that the next boot undoes.
    Packages,
}

/// What strays are put together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupBy {
    /// The package, unit or user that they belong to.
    Owner,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the blank snapshot of the running root, and a commented configuration
    ///
    /// Without a configuration, finds the file system and the subvolume that are mounted as the
    /// root, and writes a configuration first, so that the snapshot has it. What is there already
    /// is left as it is, so that it can be run again at any time.
    #[command(after_long_help = help::INIT)]
    Init(Later<Init>),
    /// Set live aside and put a fresh copy of blank in its place; for the initrd
    ///
    /// Takes the same short time whatever the size of the root: it never walks and never deletes.
    /// Does nothing, with the reason, while live is mounted, while a hibernated system may be
    /// waiting, or when the next boot would not find the new root.
    #[command(after_long_help = help::ROLLBACK)]
    Rollback(Later<Rollback>),
    /// Show what appeared, changed or vanished since blank
    ///
    /// Each change has a verdict: `stray` will be gone at the next boot and nobody decided so,
    /// `kept` is on the keep list, `forgotten` was declared disposable, `regenerated` comes back by
    /// itself: the last old roots all had it, the same in every byte.
    ///
    /// Beside a stray stands what the old roots tell of it: `new` (none had it), `some` (a few),
    /// `changing` (all, in several versions), `same` (all, but live has another version today, or it
    /// lies in a new directory that holds something new).
    ///
    /// With `--storage` it shows leftovers: the topmost paths in the storages that no entry declares.
    /// They are never deleted.
    #[command(after_long_help = help::DIFF)]
    Diff(Later<Diff>),
    /// Tell why a path has its verdict, whose it is, what earlier boots had there, and what to do
    ///
    /// Works for any path: removed, kept, forgotten, a directory as a whole, and one that is nowhere.
    #[command(after_long_help = help::EXPLAIN)]
    Explain(Later<Explain>),
    /// Go through the strays on a full screen, and decide of each: keep, forget, or leave
    ///
    /// Groups them by owner, with class and size beside each. One key decides, one looks inside, one explains;
    /// `?` lists all keys. Nothing is written before the plan is shown and confirmed: it is the one that
    /// `blankroot keep` and `blankroot forget` make for the same paths, and they do it.
    #[command(after_long_help = help::REVIEW)]
    Review(Later<Review>),
    /// Judge the strays: exit 0 if none is new, 1 if one is, 2 if that could not be told
    ///
    /// A stray is judged by its class and its owner: what old roots had too does not count unless `[audit]` in
    /// the configuration says so. What was found is written down in the first storage, which `--records`
    /// shows, and told to the journal.
    #[command(after_long_help = help::AUDIT)]
    Audit(Later<Audit>),
    /// Write a page for a browser: what is new, the boots, and each change with all that is known of it
    ///
    /// The page is one file that needs no network. Only its owner can read it, since it names paths of all users. With
    /// `--fleet` it is about many machines, by the records that were collected from them.
    #[command(after_long_help = help::REPORT)]
    Report(Later<Report>),
    /// Tell what each former root lost, or which versions of a path there are
    ///
    /// Goes through all old roots, the oldest first, and live: how long each lived and in how many boots,
    /// how much it held that was neither kept nor declared disposable, how much of that no root before
    /// had, what of that is notable, and what grew. With paths it tells what each root had there; what is
    /// equal in every byte is one version.
    #[command(after_long_help = help::HISTORY)]
    History(Later<History>),
    /// Keep the next boot from being rolled back; the one after it is again
    ///
    /// The hold lies beside the old roots. The rollback that meets it leaves the root as it is, and
    /// uses it up by that.
    #[command(after_long_help = help::HOLD)]
    Hold(Later<HoldNext>),
    /// Delete old roots by the rules of `retention`, and what interrupted runs left
    ///
    /// The newest `at_least` stay whatever the clock says, by the file system's own order, and so does
    /// everything that is no more than `days` old. An old root that is mounted stays, and is told.
    /// Nothing is deleted of which no record of Blankroot's tells. Then a digest is made of each old root
    /// that has none: what differed from blank in it, by which `diff` tells what comes back by itself. Run
    /// by the boot itself, once the system is up; it refuses to run in an initrd.
    #[command(after_long_help = help::EXPIRE)]
    Expire(Later<Expire>),
    /// Write down what this boot made, where the root starts empty at every boot
    ///
    /// Of a tmpfs nothing stays that could be read later. So before the machine goes down, the unit of
    /// Blankroot writes a digest into the first storage, by which later boots tell what comes back by
    /// itself: whole, cut when half of the time is over, or not at all. The last 20 stay. On other roots
    /// there is nothing to do: `expire` makes a digest of each old root.
    #[command(after_long_help = help::DIGEST)]
    Digest(Later<MakeDigest>),
    /// Put every kept path in its place: make, own, mount and link what is not there yet
    ///
    /// Nothing that is there is hidden or lost: data at a place that neither blank nor the storage
    /// has is a reason to leave that entry alone, unless `--adopt` moves it into storage. What is in
    /// its place already is left as it is, so that it can be run again at any time.
    #[command(after_long_help = help::APPLY)]
    Apply(Later<Apply>),
    /// Keep paths: move their data to storage now, and mount it in its place
    ///
    /// The entry is added to the configuration, whose comments and order stay. Nothing is moved while
    /// a process has it open. The data is copied and compared before anything is mounted over it, and
    /// the original stays below the mount until the next boot.
    #[command(after_long_help = help::KEEP)]
    Keep(Later<Keep>),
    /// Declare paths disposable, so that they are not reported any more
    #[command(after_long_help = help::FORGET)]
    Forget(Later<Forget>),
    /// Stop keeping paths: move their data back to live, or leave it in storage
    #[command(after_long_help = help::UNKEEP)]
    Unkeep(Later<Unkeep>),
    /// Bring paths back from an old root: files and whole directories
    ///
    /// A path goes where it was, or below the directory of `--to`, as a copy that shares its data with the
    /// old root where the file system can; owner, mode, times, extended attributes, access control lists,
    /// hard links, holes and flags are the same. Missing parents are made as the old root has them. No link
    /// is followed on the way. What is there and differs stays, unless `--overwrite` sets it aside; a
    /// directory is restored as a whole and never merged with one that is there.
    ///
    /// Without `--from` there must be one version alone: one old root that has the path, or several that all
    /// have the same. The copy gets its name once it is whole and on the disk. Whatever interrupts that,
    /// nothing is lost, and the same command goes on.
    #[command(after_long_help = help::RESTORE)]
    Restore(Later<Restore>),
    /// Tell whether this boot was rolled back, and what is wrong with the set-up
    ///
    /// Also tells what the next rollback would meet, and lists the old roots with their sizes.
    #[command(after_long_help = help::STATUS)]
    Status(Later<Status>),
    /// Tell whether the set-up is safe: logins, storages, kept paths, secrets, blank
    ///
    /// Looks at what no other program does: can anybody log in after the next boot, does a storage
    /// survive it, is each kept path in its place and if not why, can every user read a secret,
    /// whose files are in storage, and what does blank hold that it should not? Changes nothing.
    #[command(after_long_help = help::DOCTOR)]
    Doctor(Later<Doctor>),
    /// Play the whole story on a throwaway file system
    ///
    /// Sets a small machine up, lets it live a little, and rolls it back, with the very code that
    /// the other commands run. As root it does so on a Btrfs on a loop device, else in a temporary
    /// directory. Nothing of this machine is touched, and nothing is left, even if it is interrupted.
    #[command(after_long_help = help::DEMO)]
    Demo(Later<Demo>),
}

/// Where live is mounted.
#[derive(Args, Debug)]
pub(crate) struct Root {
    /// Act on the root that is mounted at DIR
    #[arg(long, value_name = "DIR", default_value = "/", value_hint = ValueHint::DirPath)]
    pub(crate) root: PathBuf,
}

/// Whose kernel, devices and /run these are.
#[derive(Args, Debug)]
pub(crate) struct Host {
    /// Find proc, sys, run and dev below DIR
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub(crate) host: PathBuf,
}

/// The arguments of `init`.
#[derive(Args, Debug)]
pub struct Init {
    #[command(flatten)]
    pub(crate) root: Root,
    /// Make blank of nothing instead: an empty root
    #[arg(long, conflicts_with = "adopt")]
    pub(crate) empty: bool,
    /// Take the read-only snapshot NAME as blank instead of making one; NAME is relative to the
    /// top of the file system
    #[arg(long, value_name = "NAME")]
    pub(crate) adopt: Option<std::ffi::OsString>,
    /// Adopt it even if it may be another system's: if neither it nor live was made of the other
    #[arg(long, requires = "adopt")]
    pub(crate) even_if_unrelated: bool,
    /// Write the configuration and make no blank yet: what blank is to hold, the keep list and the
    /// initrd with the rollback in it, can be finished before
    #[arg(long, conflicts_with_all = ["empty", "adopt"])]
    pub(crate) no_blank: bool,
    /// Declare the storage DIR in the new configuration, and keep the configuration itself there, so
    /// that what is added to it later outlives a rollback
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) storage: Option<PathBuf>,
    /// Keep PATH in that storage, too: blank has its data as it is now, and the next boot brings it
    /// from there to storage; may be given several times
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    #[arg(requires = "storage", conflicts_with_all = ["empty", "adopt"])]
    pub(crate) keep: Vec<PathBuf>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) host: Host,
}

/// The arguments of `diff`.
#[derive(Args, Debug)]
pub struct Diff {
    /// Show only what is at or below PATH, as named on the running machine
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) root: Root,
    /// Show instead what lies in the storages and nothing keeps, with size and age
    #[arg(long, conflicts_with = "stat")]
    pub(crate) storage: bool,
    /// Show what comes back by itself, too: what the last old roots all have the same
    #[arg(long, conflicts_with = "storage")]
    pub(crate) all: bool,
    /// Group the strays by what they belong to: packages, units, users; in JSON each change has its owner
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["storage", "flat", "stat", "null"])]
    pub(crate) by: Option<GroupBy>,
    /// One line a change, nothing folded
    #[arg(long, conflicts_with_all = ["stat", "null"])]
    pub(crate) flat: bool,
    /// Only counts and sizes, by directory
    #[arg(long, conflicts_with = "null")]
    pub(crate) stat: bool,
    /// Only paths, each with a NUL byte after it, as `xargs -0` reads them
    #[arg(short = '0', long)]
    pub(crate) null: bool,
    /// For whom to write
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    #[arg(conflicts_with_all = ["flat", "stat", "null"])]
    pub(crate) format: Format,
}

/// The arguments of `explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// Explain PATH, as named on the running machine
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) root: Root,
    /// For whom to write
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) format: Format,
}

/// The arguments of `review`.
#[derive(Args, Debug)]
pub struct Review {
    #[command(flatten)]
    pub(crate) keep: KeepOptions,
    /// Leave the mouse to the terminal, which then selects text with it as ever
    #[arg(long)]
    pub(crate) no_mouse: bool,
    /// Print the confirmed plan, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The arguments of `history`.
#[derive(Args, Debug)]
pub struct History {
    /// Tell the versions of PATH, as named on the running machine
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) root: Root,
    /// For whom to write
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) format: Format,
}

/// The arguments of `audit`.
#[derive(Args, Debug)]
pub struct Audit {
    #[command(flatten)]
    pub(crate) root: Root,
    /// Count as new what the old root BOOT and those before it had not: its name as `status` lists it, its number,
    /// the beginning of its boot's id, or `last`
    #[arg(long, value_name = "BOOT")]
    #[arg(add = ArgValueCompleter::new(complete_restore::complete_old_root))]
    pub(crate) since: Option<String>,
    /// For whom to write
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) format: AuditFormat,
    /// Write the metrics to FILE, too, in one piece; for a directory that node_exporter reads
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "dry_run")]
    pub(crate) textfile: Option<PathBuf>,
    /// Show what was written down by earlier audits, and after each rollback, instead
    #[arg(long, conflicts_with_all = ["since", "textfile", "dry_run"])]
    pub(crate) records: bool,
    /// Write nothing down, and tell the journal nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// For units and hooks: do nothing where `[audit]` turns this event off
    #[arg(long, value_name = "EVENT", conflicts_with = "records")]
    pub(crate) event: Option<AuditEvent>,
    /// Give up, with exit code 2, when this took so many seconds
    #[arg(long, value_name = "SECONDS", conflicts_with = "records")]
    pub(crate) within: Option<u64>,
}

/// The arguments of `report`.
#[derive(Args, Debug)]
pub struct Report {
    #[command(flatten)]
    pub(crate) root: Root,
    /// Write the page to FILE, in one piece; `-`: to standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) html: PathBuf,
    /// Tell of the machines whose records are in DIR, as NAME.jsonl or NAME/….jsonl
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "root")]
    pub(crate) fleet: Option<PathBuf>,
}

/// The arguments of `doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    #[command(flatten)]
    pub(crate) root: Root,
    /// For whom to write
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) host: Host,
}

/// What the demo can be played on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoBackend {
    /// Subvolumes on a loop device; needs root.
    Btrfs,
    /// Plain directories in a temporary one.
    Directory,
}

/// The arguments of `demo`.
#[derive(Args, Debug)]
pub struct Demo {
    /// Play on this backend instead of the best that there is
    #[arg(long, value_name = "BACKEND", hide = true)]
    pub backend: Option<DemoBackend>,
    /// Wait for a line on standard input before this scene
    #[arg(long, value_name = "SCENE", hide = true)]
    pub pause_at: Option<usize>,
}

// The arguments of the commands about a boot: what is rolled back, held, told and deleted.

/// The arguments of `rollback`.
#[derive(Args, Debug)]
pub struct Rollback {
    /// Print what would be done, or the reasons against it, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only complete what an interrupted run had begun: what the initrd does before it looks for the root
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) finish: bool,
    #[command(flatten)]
    pub(crate) host: Host,
}

/// The arguments of `hold`.
#[derive(Args, Debug)]
pub struct HoldNext {
    /// Release the hold: the next boot is rolled back
    #[arg(long)]
    pub(crate) release: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) host: Host,
}

/// The arguments of `status`.
#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    pub(crate) root: Root,
    /// Tell only whether the rollback of this boot ran, on standard error and in the journal; what the
    /// boot's own unit runs
    #[arg(long, conflicts_with = "format")]
    pub(crate) boot: bool,
    /// For whom to write
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) host: Host,
}

/// The arguments of `expire`.
#[derive(Args, Debug)]
pub struct Expire {
    /// Print what would be deleted and what stays, with the reasons, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) host: Host,
}

/// The arguments of `digest`.
#[derive(Args, Debug)]
pub struct MakeDigest {
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub(crate) within: u64,
    #[command(flatten)]
    pub(crate) host: Host,
}

// The arguments of the commands that are about kept paths.

/// The arguments of `keep`.
#[derive(Args, Debug)]
pub struct Keep {
    /// What to keep: a directory with all that is in it, or a file; a `/` at the end names a
    /// directory that may be yet to come
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) options: KeepOptions,
    /// Take the data from the old root of this name, or of which this is a part; `status` lists them
    #[arg(long, value_name = "OLDROOT")]
    pub(crate) from: Option<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// How paths are kept, by `keep` and by `review`.
#[derive(Args, Debug)]
pub struct KeepOptions {
    #[command(flatten)]
    pub(crate) root: Root,
    /// Move the data to this storage (default: the only one, or the one that holds what is kept
    /// nearest)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) storage: Option<PathBuf>,
    /// Link to the data instead of mounting it, where nothing can be mounted or nothing should be
    #[arg(long)]
    pub(crate) symlink: bool,
    /// Where storage has other data already, set that aside, under a name beside it
    #[arg(long)]
    pub(crate) adopt: bool,
    /// Go on although it cannot be told of some process whether it has any of this open; what that
    /// would write is lost
    #[arg(long)]
    pub(crate) even_if_unseen: bool,
    /// Find the storages below DIR instead of below the root
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) storages: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) host: Host,
}

/// The arguments of `forget`.
#[derive(Args, Debug)]
pub struct Forget {
    /// What to forget: a path with all that is below it, or a pattern in quotes
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) root: Root,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The arguments of `unkeep`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("data").required(true))]
pub struct Unkeep {
    /// What to keep no more
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) root: Root,
    /// Copy the data back to live, where it goes at the next boot, and remove it from storage
    #[arg(long, group = "data")]
    pub(crate) move_back: bool,
    /// Leave the data in storage; where that is linked, or is a file, live gets a copy
    #[arg(long, group = "data")]
    pub(crate) leave: bool,
    /// Go on although it cannot be told of some process whether it has any of this open; what that
    /// would write is lost
    #[arg(long)]
    pub(crate) even_if_unseen: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The arguments of `restore`.
#[derive(Args, Debug)]
pub struct Restore {
    /// What to restore, by its path on the machine
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    #[arg(add = ArgValueCompleter::new(complete_restore::complete_path))]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) root: Root,
    /// Take it from this old root: its name as `status` lists it (000012-3f2a1c9e), its number (12), the id of
    /// the boot that set it aside, the beginning of any of them, or `last` for the youngest
    #[arg(long, value_name = "BOOT")]
    #[arg(add = ArgValueCompleter::new(complete_restore::complete_old_root))]
    pub(crate) from: Option<String>,
    /// Restore into the directory DIR, which must be there, instead: PATH becomes DIR/NAME, as with
    /// `cp -a PATH DIR`
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) to: Option<PathBuf>,
    /// Where something else is already, set it aside in the same directory, as NAME.before-restore-1 or with
    /// the next number that nothing has
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The arguments of `apply`.
#[derive(Args, Debug)]
pub struct Apply {
    #[command(flatten)]
    pub(crate) root: Root,
    /// Put a user's own list in force, without root: the one in ~/.config/blankroot.toml
    #[arg(long, conflicts_with_all = ["no_mounts", "storages", "host"])]
    pub(crate) user: bool,
    /// Move data that is in the way into storage; what storage had before stays beside it
    #[arg(long)]
    pub(crate) adopt: bool,
    /// The same only for a file that its program put in the place of its link, and where the
    /// storage has nothing yet; for the end of a boot
    #[arg(long)]
    pub(crate) adopt_replaced: bool,
    /// Mount nothing: only make what mounts need, and the links; for systemd's mount units
    #[arg(long)]
    pub(crate) no_mounts: bool,
    /// For the initrd, once the root is mounted at DIR of `--root`: only what has to be there before
    /// the system starts, such as /etc/machine-id; mounts the storages that this needs as the root's
    /// fstab says. The configuration is the initrd's own /etc/blankroot.toml
    #[arg(long, conflicts_with_all = ["user", "adopt", "adopt_replaced", "no_mounts", "storages"])]
    pub(crate) in_initrd: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Find the storages below DIR instead of below the root
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) storages: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) host: Host,
}

// The arguments of a subcommand, described only when that subcommand is asked for.
//
// To describe all of them takes longer than the rest of the command line, and a rollback at boot
// needs but its own.

/// Arguments of type `A`, which clap learns of late.
#[derive(Debug)]
pub struct Later<A>(A);

impl<A> Deref for Later<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.0
    }
}

impl<A: Args> Args for Later<A> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.defer(describe::<A>)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        A::augment_args_for_update(command)
    }
}

/// What the subcommand says of itself stays: at this moment it has said so already, and the type of
/// its arguments has words of its own.
fn describe<A: Args>(command: clap::Command) -> clap::Command {
    let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
    A::augment_args(command).about(Resettable::from(about)).long_about(Resettable::from(long_about))
}

impl<A: FromArgMatches> FromArgMatches for Later<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        A::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        A::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }

    fn update_from_arg_matches_mut(&mut self, matches: &mut ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches_mut(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::help::examples;
    use crate::cli::help::exit_status;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_tells_its_exit_status_and_has_examples_that_parse() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(exit_status(name).iter().any(|(code, _)| *code == 0), "{name}");
            assert!(!examples(name).is_empty(), "{name}");
            for (line, _) in examples(name) {
                let words =
                    line.split(" | ").next().unwrap().split(' ').skip_while(|word| *word == "sudo");
                assert!(Cli::try_parse_from(words).is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn what_the_pages_tell_to_type_parses() {
        for page in [include_str!("../../README.md"), include_str!("../../docs/how-to/boot.md")] {
            let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
            for line in blocks.flat_map(str::lines).filter(|line| line.starts_with("blankroot ")) {
                assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "blankroot init --empty --adopt x",
            "blankroot init --no-blank --empty",
            "blankroot diff --flat --stat",
            "blankroot diff -0 --flat",
            "blankroot diff -0 --format json",
            "blankroot diff --storage --stat",
            "blankroot",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
