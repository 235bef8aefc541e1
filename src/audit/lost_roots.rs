//! What each former root had to lose, written down once the system is up after its rollback.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::Path;

use backends::Backend;
use chrono::Utc;
use dirfd::path::Escaped;
use dirfd::{Changes, Result};

use crate::audit::audit_record::{
    LostSummary, Record, RecordedEvent, RecordedGroups, RecordedWhere,
};
use crate::audit::ledger;
use crate::audit::write_down::write_down;
use crate::config::Config;
use crate::diff::owner_groups::group_strays;
use crate::diff::ownerships::Ownerships;
use crate::diff::summary::Tally;
use crate::diff::{DiffMethod, DiffReport, TreeDiff};
use crate::evidence::classes::Class;
use crate::history::all_roots::{AllRoots, FormerRoot};
use crate::history::root_lives::{JudgedRoot, LossFinder};
use crate::host::HostRoot;
use crate::persist::own_directory::storage_of_own_directory;
use crate::ui;

/// Writes down what each root lost that became a former one since this was last done. Problems are reported; whether
/// all of it was done is returned. Where nothing is written down at all, there is nothing to do.
pub(crate) fn record(config: &Config, root: &Path, dry_run: bool) -> bool {
    record_lost(config, root, dry_run).unwrap_or_else(|why| {
        ui::report_problem(why);
        false
    })
}

fn record_lost(config: &Config, root: &Path, dry_run: bool) -> Result<bool> {
    let Some(storage) = storage_of_own_directory(config) else { return Ok(true) };
    if config.audit.max_record_bytes == 0 {
        return Ok(true);
    }
    let backend = config.open_backend(root)?;
    let (live, blank) = backend.live_and_blank()?;
    if live.tree().is_none() || (backend.abilities().needs_rollback && blank.tree().is_none()) {
        // `status` tells of that.
        return Ok(true);
    }
    let records = ledger::read_records(&HostRoot::open(root)?, storage)?;
    let recorded = records.iter().filter_map(|record| match &record.event {
        RecordedEvent::Lost(lost) => Some(lost.root.as_str()),
        RecordedEvent::Audit(_) => None,
    });
    let roots = AllRoots::gather(backend.as_ref(), config, root)?;
    let mut all_done = true;
    for lost in find_unrecorded(&roots, config, &recorded.collect())? {
        let name = Escaped(lost.root.name.as_bytes()).to_string();
        if dry_run {
            ui::print_text(&format!("write down what {name} had to lose\n"));
            continue;
        }
        let record = lost.into_record(backend.as_ref(), &roots, root);
        match record.and_then(|record| write_down(config, root, &record)) {
            Ok(()) => ui::print_text(&format!("done: write down what {name} had to lose\n")),
            Err(why) => {
                ui::report_problem(why);
                all_done = false;
            }
        }
    }
    Ok(all_done)
}

/// A former root that has no record yet.
struct UnrecordedRoot {
    root: FormerRoot,
    boots: Option<usize>,
    changes: Changes,
    judged: JudgedRoot,
}

/// Those that are younger than the youngest that has one; the youngest alone where none has.
fn find_unrecorded(
    roots: &AllRoots<'_>,
    config: &Config,
    recorded: &BTreeSet<&str>,
) -> Result<Vec<UnrecordedRoot>> {
    let catalogue = config.catalogue();
    let mut finder = LossFinder::new(config, &catalogue);
    let (mut found, mut is_any_recorded) = (Vec::new(), false);
    roots.go_through_former(|root, digest| {
        let changes = digest.changes();
        let judged = finder.judge(&changes);
        let boots = Some(digest.header().boots.len()).filter(|boots| *boots > 0);
        finder.add_root(digest);
        if recorded.contains(root.name.as_str()) {
            is_any_recorded = true;
            found.clear();
            return;
        }
        if !is_any_recorded {
            found.clear();
        }
        found.push(UnrecordedRoot { root, boots, changes, judged });
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
        let view = backend.view(tree)?;
        let former = roots.blank().map(|blank| backend.view(blank)).transpose()?;
        let former = roots.blank().zip(former.as_ref().map(AsFd::as_fd));
        let (owners, warnings) =
            Ownerships::read(backend, former, (tree, view.as_fd()), &diff.changes)?;
        warnings.iter().for_each(ui::report_warning);
        let groups =
            group_strays(&report, &owners, |row, _| matches!(row.class, None | Some(Class::New)));
        let of = RecordedWhere::of_machine(host, Utc::now())?;
        Ok(Record::new(&of, RecordedEvent::Lost(summary), RecordedGroups::of(&groups)))
    }
}
