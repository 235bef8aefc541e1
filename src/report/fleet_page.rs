//! What the page of many machines tells: of each the last audit, those before it, and what former roots lost, from
//! the records that were collected from them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use dirfd::cause::Cause;
use dirfd::error::describe;
use dirfd::path::Escaped;
use dirfd::{Error, Result, atomic_file};
use rustix::fs::{Dir, Mode, OFlags, openat};
use serde::Serialize;

use crate::audit::audit_record::{
    AuditSummary, LostSummary, Record, RecordedEvent, RecordedGroups,
};
use crate::audit::audit_text::{describe_told, headline};
use crate::report::page_file::{ROOM, write_page};
use crate::report::page_groups::{PageGroups, text_of};
use crate::ui;
use crate::ui::figures;

/// Maximum size in bytes of one machine's records.
const LARGEST: u64 = 64 << 20;
/// Maximum number of audits and of former roots of one machine, the youngest, that are shown.
const EVENTS: usize = 30;
/// Maximum number of machines in one file, so that none makes others hard to find.
const MACHINES: usize = 8;
/// Maximum size in bytes of what was found on one machine, by owner; of all together about [`ROOM`] where that is more.
const LARGEST_FINDING: usize = 64 << 10;
const LEAST_FINDING: usize = 1 << 10;
const EXTENSION: &str = "jsonl";

#[derive(Debug, Serialize)]
struct FleetPage {
    kind: &'static str,
    made: DateTime<Utc>,
    program: &'static str,
    machines: Vec<PageMachine>,
    /// Of files that could not be read as a whole.
    problems: Vec<String>,
}

/// What is known of one machine.
#[derive(Debug, Default)]
struct MachineRecords {
    audits: Vec<(DateTime<Utc>, AuditSummary)>,
    /// What the last audit found.
    groups: RecordedGroups,
    lost: Vec<LostSummary>,
}

/// The same as it is shown.
#[derive(Debug, Serialize)]
struct PageMachine {
    host: String,
    /// The file that its records were in.
    file: String,
    /// Null of all these where it was never audited. The last audit:
    headline: Option<String>,
    told: Option<String>,
    time: Option<DateTime<Utc>>,
    /// Of each audit when it was, and how many strays failed it and were told.
    audits: Vec<(DateTime<Utc>, u64, u64)>,
    news: Option<PageGroups>,
    /// Of each former root its name, when it was set aside, and how many strays it lost, of how many bytes.
    lost: Vec<(String, Option<DateTime<Utc>>, u64, u64)>,
}

/// By the name of a machine, and the file that its records were in: two machines may have one name.
type Machines = BTreeMap<(String, PathBuf), MachineRecords>;

/// Tells of all machines whose records lie in `dir`: in `NAME.jsonl`, or in `NAME/….jsonl`.
pub(crate) fn write_fleet_page(dir: &Path) -> Result<String> {
    let (machines, problems) = read_machines(dir)?;
    if machines.is_empty() && problems.is_empty() {
        let action = format!("find records in {}", Escaped::of_path(dir));
        return Err(Error::new(action, format!("no file in it is called *.{EXTENSION}"))
            .hint("copy each machine's `<storage>/.blankroot/records.jsonl` there as NAME.jsonl"));
    }
    problems.iter().for_each(ui::report_warning);
    let share = (ROOM / machines.len().max(1)).clamp(LEAST_FINDING, LARGEST_FINDING);
    let shown = machines.iter().map(|((host, file), records)| records.show(host, file, share));
    write_page(&FleetPage {
        kind: "fleet",
        made: Utc::now(),
        program: env!("CARGO_PKG_VERSION"),
        machines: shown.collect(),
        problems,
    })
}

/// Also returns what could not be read, and why.
fn read_machines(dir: &Path) -> Result<(Machines, Vec<String>)> {
    let failed =
        |why: io::Error| Error::io(format!("read the records in {}", Escaped::of_path(dir)), why);
    let opened = File::open(dir).map_err(failed)?;
    let (mut machines, mut problems) = (Machines::new(), Vec::new());
    for file in find_files(&opened, &mut problems).map_err(failed)? {
        // What another machine sent may be a link to anything.
        match atomic_file::read_up_to(opened.as_fd(), &file, LARGEST) {
            Ok(bytes) => {
                let found = add_records(&bytes, &file, &mut machines);
                problems
                    .extend(found.iter().map(|why| format!("{}: {why}", Escaped::of_path(&file))));
            }
            Err(why) => {
                let why = describe(&why);
                problems.push(format!("{}: it cannot be read: {why}", Escaped::of_path(&file)));
            }
        }
    }
    Ok((machines, problems))
}

/// Those in the directory, and in each directory in it; sorted.
fn find_files(dir: &File, problems: &mut Vec<String>) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for name in names_in(dir)? {
        if is_of_records(&name) {
            found.push(PathBuf::from(name));
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let below = openat(dir, &name, flags, Mode::empty()).map_err(io::Error::from);
        match below.and_then(|below| names_in(&File::from(below))) {
            Ok(inner) => {
                let inner = inner.into_iter().filter(|inner| is_of_records(inner));
                found.extend(inner.map(|inner| Path::new(&name).join(inner)));
            }
            Err(why) if Cause::of(&why).leads_nowhere() => {}
            Err(why) => problems.push(format!("{}: {}", Escaped(name.as_bytes()), describe(&why))),
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn names_in(dir: &File) -> io::Result<Vec<OsString>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !name.starts_with(b".") {
            found.push(OsStr::from_bytes(name).to_os_string());
        }
    }
    Ok(found)
}

fn is_of_records(name: &OsStr) -> bool {
    Path::new(name).extension() == Some(OsStr::new(EXTENSION))
}

/// Returns what of it is not shown, and why.
fn add_records(bytes: &[u8], file: &Path, machines: &mut Machines) -> Vec<String> {
    let (mut unread, mut of_more) = (0, 0);
    let mut in_file = BTreeMap::<String, MachineRecords>::new();
    for line in bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        let Some(record) = Record::parse(line) else {
            unread += 1;
            continue;
        };
        let host = match &record.host {
            Some(host) => text_of(host),
            None => Escaped::of_path(&file.with_extension("")).to_string(),
        };
        if in_file.len() == MACHINES && !in_file.contains_key(&host) {
            of_more += 1;
            continue;
        }
        let machine = in_file.entry(host).or_default();
        match record.event {
            RecordedEvent::Audit(audit) => {
                // Clocks may go back, and files be put together in any order.
                if machine.audits.iter().all(|(time, _)| *time <= record.time) {
                    machine.groups = record.groups;
                }
                machine.audits.push((record.time, audit));
            }
            RecordedEvent::Lost(lost) => machine.lost.push(lost),
        }
    }
    for machine in in_file.values_mut() {
        machine.audits.sort_by_key(|(time, _)| *time);
    }
    machines.extend(in_file.into_iter().map(|(host, found)| ((host, file.to_path_buf()), found)));
    let lines = |count, what: &str| {
        (count > 0).then(|| format!("{} in it {what}", figures::count_noun(count, "line", "lines")))
    };
    let unread = lines(unread, "not read: no records of this version");
    let of_more = lines(of_more, &format!("of more than {MACHINES} machines left out"));
    unread.into_iter().chain(of_more).collect()
}

impl MachineRecords {
    fn show(&self, host: &str, file: &Path, share: usize) -> PageMachine {
        let last = self.audits.last();
        let audits = self.audits.iter().skip(self.audits.len().saturating_sub(EVENTS));
        let lost = self.lost.iter().skip(self.lost.len().saturating_sub(EVENTS));
        PageMachine {
            host: host.to_string(),
            file: text_of(&Escaped::of_path(file).to_string()),
            headline: last.map(|(_, audit)| headline(audit)),
            told: last.map(|(_, audit)| text_of(&describe_told(audit))),
            time: last.map(|(time, _)| *time),
            audits: audits.map(|(time, a)| (*time, a.fails.count, a.told.count)).collect(),
            news: last.map(|_| PageGroups::within(&self.groups, share)),
            lost: lost
                .map(|l| (text_of(&l.root), l.ended, l.strays.count, l.strays.bytes))
                .collect(),
        }
    }
}
