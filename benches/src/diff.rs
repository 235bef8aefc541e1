//! `diff` of half a million files: against the peers, against ten times as many, and of a tree that
//! is new as a whole.

use std::fs;
use std::path::Path;

use dirfd::private_namespace::PrivateNamespace;

use crate::aide::Aide;
use crate::changes::Spread;
use crate::field::Field;
use crate::measure::{Measured, in_turns, peak, seconds};
use crate::snapper::Snapper;
use crate::table::{FORMER, Row};
use crate::tree::{self, Shape};
use crate::{Options, Result, changes, say};

/// Files that may change.
const FILES: usize = 500_000;
/// Directories that never change for each one that may, in the large tree.
const FILLER: usize = 9;

/// Live, in which the changes are, and the blank that it was copied from.
const LIVE: &str = "live";
const BLANK: &str = "blank";
/// A read-only snapshot of live, which `btrfs send` needs.
const FROZEN: &str = "frozen";
/// A live tree that is new as a whole, and its empty blank.
const ALL_NEW: &str = "all-new";
const EMPTY: &str = "empty";

/// AIDE reads every file in each run, most of a minute, so that one run counts.
const ROUNDS_OF_AIDE: usize = 1;

/// Our command for these trees.
fn ours(options: &Options, field: &Field<'_>, live: &str, blank: &str) -> Result<Measured> {
    let config = field.config(live, blank)?;
    let args = ["--config".as_ref(), config.as_os_str()];
    let args = ["diff", "--format", "json"].map(AsRef::as_ref).into_iter().chain(args);
    Ok(Measured::new(&options.blankroot, args))
}

/// The same as an audit, which puts its record into a storage on the same file system. It ends with 1, since all that
/// changed is new.
fn audit(options: &Options, field: &Field<'_>) -> Result<Measured> {
    let host = field.tree("host");
    fs::create_dir_all(host.join("persist"))?;
    let config = field.config(LIVE, BLANK)?;
    let text = fs::read_to_string(&config)? + "[[storage]]\npath = \"/persist\"\n";
    let config = config.with_file_name("audit.toml");
    fs::write(&config, text)?;
    let args = ["audit", "--format", "json", "--config"].map(AsRef::as_ref).into_iter();
    let args = args.chain([config.as_os_str(), "--root".as_ref(), host.as_os_str()]);
    Ok(Measured::new(&options.blankroot, args).may_end_with(1))
}

/// An error unless `diff` says that there are `rows` changes, found the fast way.
fn expect_rows(command: &Measured, rows: usize) -> Result<()> {
    let document: serde_json::Value = serde_json::from_slice(&command.output()?)?;
    let (total, method) = (&document["summary"]["total"], &document["method"]);
    if total == rows && method == "fast" {
        return Ok(());
    }
    Err(format!("diff told {total} changes the way `{method}`, not {rows} the fast way").into())
}

/// The measurements that need the tree of half a million files.
pub fn measure(options: &Options, namespace: &PrivateNamespace) -> Result<Vec<Row>> {
    let shape = Shape::of(FILES);
    let field = build(namespace, shape)?;
    let mut rows = Vec::new();
    if options.wants('c') {
        rows.extend(all_new(options, &field, shape)?);
    }
    if ['a', 'b', 'j'].into_iter().any(|part| options.wants(part)) {
        rows.extend(changed(options, namespace, field, Spread::Clustered)?);
    }
    if options.wants('a') {
        let field = build(namespace, shape)?;
        rows.extend(changed(options, namespace, field, Spread::Everywhere)?);
    }
    Ok(rows)
}

/// `diff` after the changes were made in the untouched live tree of `field`.
fn changed(
    options: &Options,
    namespace: &PrivateNamespace,
    field: Field<'_>,
    spread: Spread,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let snapper = Snapper::prepare(&field, namespace, LIVE)?;
    // Whatever the spread, it takes as long.
    let has_aide = options.wants('a') && spread == Spread::Clustered;
    let aide = match Aide::unavailable() {
        None if has_aide => {
            say("AIDE's database");
            Some(Aide::prepare(&field.tree(LIVE), field.outside())?)
        }
        _ => None,
    };
    change(&field, Shape::of(FILES), spread)?;
    let ours = ours(options, &field, LIVE, BLANK)?;
    expect_rows(&ours, changes::ROWS)?;
    if options.wants('a') {
        rows.extend(against_peers(options, &field, (&snapper, spread), &ours)?);
    }
    if has_aide {
        rows.push(against_aide(options, aide.as_ref(), &ours)?);
    }
    if options.wants('j') && spread == Spread::Clustered {
        rows.extend(audited(options, &field, &snapper, &ours)?);
    }
    drop(snapper);
    if options.wants('b') && spread == Spread::Clustered {
        rows.push(ten_times(options, namespace, spread, &ours)?);
    }
    Ok(rows)
}

/// `diff` of live with its changes against each peer.
fn against_peers(
    options: &Options,
    field: &Field<'_>,
    (snapper, spread): (&Snapper, Spread),
    ours: &Measured,
) -> Result<Vec<Row>> {
    let tree = |name: &str, end: &str| format!("{}{end}", field.tree(name).display());
    let (blank, frozen) = (tree(BLANK, ""), tree(FROZEN, ""));
    let send = ["send", "-q", "--no-data", "-p", &blank, "-f", "/dev/null", &frozen];
    let rsync = ["-an", "--delete", &tree(LIVE, "/"), &tree(BLANK, "/")];
    // Those who walk take as long for any spread; the two who search take longer for the worst, and
    // there only what holds between them is promised.
    let walks = spread == Spread::Clustered;
    let former = options.former.as_ref().map(|former| (FORMER.0, ours.by(former), FORMER.1, true));
    let peers = [
        ("`btrfs send --no-data -p`", Measured::new(Path::new("btrfs"), send), 0.35, true),
        ("`rsync -an --delete`", Measured::new(Path::new("rsync"), rsync), 1.0 / 50.0, walks),
        ("`snapper status`", snapper.status(), 1.0 / 100.0, walks),
    ];
    let what = format!("{} changes in 500,000 files{}", changes::COUNT, spread.words());
    let mut rows = Vec::new();
    let mut highest = 0;
    for (name, peer, limit, is_promised) in peers.into_iter().chain(former) {
        say(&format!("diff and {name}"));
        let [our_runs, peer_runs] = in_turns(options.rounds, ours, &peer)?;
        highest = highest.max(peak(&our_runs));
        let row = Row::times(&what, seconds(&our_runs), (name, seconds(&peer_runs)), limit);
        rows.push(if is_promised { row } else { row.without_limit() });
    }
    rows.push(Row::memory(&format!("memory for {what}"), highest, changes::ROWS));
    Ok(rows)
}

/// `diff` of live with its changes against AIDE's check of the same.
fn against_aide(options: &Options, aide: Option<&Aide>, ours: &Measured) -> Result<Row> {
    let (what, name) = (format!("{} changes in 500,000 files", changes::COUNT), "`aide --check`");
    let Some(aide) = aide else {
        return Ok(Row::skipped(&what, name, Aide::unavailable().unwrap_or_default()));
    };
    say(&format!("diff and {name}"));
    let rounds = options.rounds.min(ROUNDS_OF_AIDE);
    let [our_runs, peer_runs] = in_turns(rounds, ours, &aide.check())?;
    Ok(Row::times(&what, seconds(&our_runs), (name, seconds(&peer_runs)), 1.0 / 100.0))
}

/// An audit of the same changes, with its record, against `diff` and whoever else checks the whole tree.
fn audited(
    options: &Options,
    field: &Field<'_>,
    snapper: &Snapper,
    ours: &Measured,
) -> Result<Vec<Row>> {
    let audit = audit(options, field)?;
    let found: serde_json::Value = serde_json::from_slice(&audit.output()?)?;
    if found["event"]["audit"]["fails"]["count"] != changes::ROWS {
        return Err(format!("the audit found {}", found["event"]).into());
    }
    let what = format!("an audit of {} changes in 500,000 files", changes::COUNT);
    let mut rows = Vec::new();
    for (name, peer, limit) in
        [("`diff --format json`", ours, Some(1.3)), ("`snapper status`", &snapper.status(), None)]
    {
        say(&format!("an audit and {name}"));
        let [our_runs, peer_runs] = in_turns(options.rounds, &audit, peer)?;
        let peer = (name, seconds(&peer_runs));
        let row = Row::times(&what, seconds(&our_runs), peer, limit.unwrap_or(1.0));
        rows.push(if limit.is_some() { row } else { row.without_limit() });
    }
    Ok(rows)
}

/// `diff` of a tree that is new as a whole against `find`, which prints the same facts.
fn all_new(options: &Options, field: &Field<'_>, shape: Shape) -> Result<Vec<Row>> {
    let ours = ours(options, field, ALL_NEW, EMPTY)?;
    let changes = shape.names();
    expect_rows(&ours, changes)?;
    let tree = field.tree(ALL_NEW);
    let facts = ["-printf", "%p %y %s %m %U %G %T@\\n"].map(AsRef::as_ref);
    let args = std::iter::once(tree.as_os_str()).chain(facts);
    let find = Measured::new(Path::new("find"), args);
    say("diff and `find` of a tree that is new as a whole");
    let [our_runs, peer_runs] = in_turns(options.rounds, &ours, &find)?;
    let what = "500,000 new files in an empty tree";
    let peer = ("`find -printf`", seconds(&peer_runs));
    let mut rows = vec![
        Row::times(what, seconds(&our_runs), peer, 1.0),
        Row::memory(&format!("memory for {what}"), peak(&our_runs), changes),
    ];
    if let Some(former) = &options.former {
        let [our_runs, former_runs] = in_turns(options.rounds, &ours, &ours.by(former))?;
        let former = (FORMER.0, seconds(&former_runs));
        rows.push(Row::times(what, seconds(&our_runs), former, FORMER.1));
    }
    Ok(rows)
}

/// `diff` of the same changes in ten times as many files.
fn ten_times(
    options: &Options,
    namespace: &PrivateNamespace,
    spread: Spread,
    small: &Measured,
) -> Result<Row> {
    let shape = Shape { filler: FILLER, ..Shape::of(FILES) };
    let field = build(namespace, shape)?;
    change(&field, shape, spread)?;
    let large = ours(options, &field, LIVE, BLANK)?;
    expect_rows(&large, changes::ROWS)?;
    say("diff of ten times the files");
    let [large_runs, small_runs] = in_turns(options.rounds, &large, small)?;
    let what = format!("{} changes in 5,000,000 files{}", changes::COUNT, spread.words());
    let peer = ("itself in 500,000 files", seconds(&small_runs));
    Ok(Row::times(&what, seconds(&large_runs), peer, 1.5))
}

/// A file system with the tree as it is when it is new as a whole, as blank, and as live.
fn build<'n>(namespace: &'n PrivateNamespace, shape: Shape) -> Result<Field<'n>> {
    say(&format!("making a tree of {} names", shape.names()));
    let mut field = Field::new(namespace)?;
    support::kernel::create_subvolume(&field.tree("start"))?;
    // For snapper; a part of every tree, and so no change.
    fs::create_dir(field.tree("start").join(".snapshots"))?;
    field.snapshot("start", EMPTY, true)?;
    field.snapshot(EMPTY, ALL_NEW, false)?;
    tree::build(&field.tree(ALL_NEW), shape)?;
    field.snapshot(ALL_NEW, BLANK, true)?;
    field.snapshot(BLANK, LIVE, false)?;
    field.remount()?;
    Ok(field)
}

/// Makes the changes in live, and freezes it for `btrfs send`.
fn change(field: &Field<'_>, shape: Shape, spread: Spread) -> Result<()> {
    changes::apply(&field.tree(LIVE), shape, spread)?;
    field.snapshot(LIVE, FROZEN, true)?;
    field.sync()
}
