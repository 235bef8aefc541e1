//! What each former root had to lose, written down once the system is up after its rollback.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use backends::Backend;
use chrono::Utc;
use dirfd::path::Escaped;
use dirfd::{Changes, Error, Result, TreePath, atomic_file};

use crate::audit::audit_record::{
    LostSummary, Record, RecordedEvent, RecordedGroups, RecordedWhere,
};
use crate::audit::write_down::write_down;
use crate::config::Config;
use crate::diff::owner_groups::group_strays;
use crate::diff::ownerships::{OwnerViews, Ownerships};
use crate::diff::summary::Tally;
use crate::diff::{DiffMethod, DiffReport, TreeDiff};
use crate::evidence::classes::Class;
use crate::history::all_roots::{AllRoots, FormerRoot};
use crate::history::root_lives::{JudgedRoot, LossFinder};
use crate::host::HostRoot;
use crate::persist::own_directory::{
    OWN_DIR, make_own_directory, open_own_directory, refuse_storage_in_live,
    storage_of_own_directory,
};
use crate::ui;

/// In a storage's own directory: the name of the last former root that has a record.
const LAST: &str = "last-lost-root";

/// Writes down what each root lost that became a former one since this was last done. What goes wrong is told, and is
/// no failure of whoever expires old roots. Where nothing is written down at all, there is nothing to do.
pub(crate) fn record(config: &Config, root: &Path, dry_run: bool) {
    record_lost(config, root, dry_run).unwrap_or_else(ui::report_warning);
}

fn record_lost(config: &Config, root: &Path, dry_run: bool) -> Result<()> {
    let Some(storage) = storage_of_own_directory(config) else { return Ok(()) };
    if config.audit.max_record_bytes == 0 {
        return Ok(());
    }
    let backend = config.open_backend(root)?;
    let backend = backend.as_ref();
    let (live, blank) = backend.live_and_blank()?;
    let is_whole = blank.tree().is_some() || !backend.abilities().needs_rollback;
    let Some(live) = live.tree().filter(|_| is_whole) else {
        // `status` tells of that.
        return Ok(());
    };
    let host = HostRoot::open(root)?;
    refuse_storage_in_live(backend, live, &host, storage, "write down what was lost")?;
    let roots = AllRoots::gather(backend, config, root)?;
    let names = unrecorded_names(&roots.former_names()?, read_last(&host, storage)?.as_deref());
    if names.is_empty() {
        return Ok(());
    }
    let describe = |name: &str| format!("write down what {} had to lose", Escaped(name.as_bytes()));
    if dry_run {
        names.iter().for_each(|name| ui::print_text(&format!("{}\n", describe(name))));
        return Ok(());
    }
    for lost in judge_roots(&roots, config, &names)? {
        let name = lost.root.name.clone();
        let record = lost.into_record(backend, &roots, root)?;
        write_down(backend, live, config, root, &record)?;
        write_last(&host, storage, &name)?;
        ui::print_text(&format!("done: {}\n", describe(&name)));
    }
    Ok(())
}

/// Those that are younger than the last one that has a record; the youngest alone where that is not known.
fn unrecorded_names(all: &[String], last: Option<&str>) -> BTreeSet<String> {
    let after = all.iter().position(|name| Some(name.as_str()) == last).map(|at| at + 1);
    all.iter().skip(after.unwrap_or(all.len().saturating_sub(1))).cloned().collect()
}

/// The name of the last former root that has a record. It is no part of the ledger, from which records go.
fn read_last(host: &HostRoot, storage: &TreePath) -> Result<Option<String>> {
    let read = || -> io::Result<Option<String>> {
        let Some(dir) = open_own_directory(host, storage)? else { return Ok(None) };
        match atomic_file::read(dir.as_fd(), Path::new(LAST)) {
            Ok(name) => Ok(Some(String::from_utf8_lossy(&name).into_owned())),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(why),
        }
    };
    read().map_err(|why| {
        Error::io(format!("find out which roots have a record in {storage}"), why)
            .hint(format!("look at {storage}/{OWN_DIR}"))
    })
}

fn write_last(host: &HostRoot, storage: &TreePath, name: &str) -> Result<()> {
    let write = || -> io::Result<()> {
        let dir = make_own_directory(host, storage)?;
        atomic_file::replace(dir.as_fd(), OsStr::new(LAST), name.as_bytes(), 0o600)
    };
    write()
        .map_err(|why| Error::io(format!("write down which root has a record in {storage}"), why))
}

/// A former root that has no record yet.
struct UnrecordedRoot {
    root: FormerRoot,
    boots: Option<usize>,
    changes: Changes,
    judged: JudgedRoot,
}

/// The roots of these names, each judged by those before it.
fn judge_roots(
    roots: &AllRoots<'_>,
    config: &Config,
    names: &BTreeSet<String>,
) -> Result<Vec<UnrecordedRoot>> {
    let catalogue = config.catalogue();
    let mut finder = LossFinder::new(config, &catalogue);
    let mut found = Vec::new();
    roots.go_through_former(|root, digest| {
        if names.contains(&root.name) {
            let changes = digest.changes();
            let judged = finder.judge(&changes);
            let boots = Some(digest.header().boots.len()).filter(|boots| *boots > 0);
            found.push(UnrecordedRoot { root, boots, changes, judged });
        }
        finder.add_root(digest);
    })?;
    Ok(found)
}

impl UnrecordedRoot {
    fn into_record(
        self,
        backend: &dyn Backend,
        roots: &AllRoots<'_>,
        host: &Path,
    ) -> Result<Record> {
        let Self { root, boots, changes, judged } = self;
        let JudgedRoot { loss, verdicts, classes } = &judged;
        let summary = LostSummary {
            root: root.name,
            ended: root.ended,
            boots,
            strays: Tally { count: loss.paths, bytes: loss.bytes },
            new: loss.new,
        };
        // Of a boot nothing is left; what is there now tells whose such a path is.
        let tree = root.tree.as_ref().unwrap_or(roots.live());
        let diff = TreeDiff { changes, method: DiffMethod::Fast };
        let report = DiffReport {
            blank: roots.blank(),
            live: tree,
            diff: &diff,
            verdicts,
            classes: Some(classes),
            only: &[],
            all: false,
        };
        let views = OwnerViews::open(backend, roots.blank(), tree)?;
        let (owners, warnings) = Ownerships::read(backend, &views, &diff.changes)?;
        warnings.iter().for_each(ui::report_warning);
        let groups =
            group_strays(&report, &owners, |row, _| matches!(row.class, None | Some(Class::New)));
        let of = RecordedWhere::of_machine(host, Utc::now());
        Ok(Record::new(&of, RecordedEvent::Lost(summary), RecordedGroups::of(&groups)))
    }
}
