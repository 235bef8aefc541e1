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
use crate::report::page_file::fit_page;
use crate::report::page_groups::{PageGroups, text_of};
use crate::ui;

/// Maximum size in bytes of one machine's records.
const LARGEST: u64 = 64 << 20;
/// Maximum number of audits and of former roots of one machine, the youngest, that are shown.
const EVENTS: usize = 100;
const EXTENSION: &str = "jsonl";

#[derive(Debug, Serialize)]
struct FleetPage<'m> {
    kind: &'static str,
    made: DateTime<Utc>,
    program: &'static str,
    machines: Vec<PageMachine<'m>>,
    /// Of files that could not be read as a whole.
    problems: &'m [String],
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
struct PageMachine<'m> {
    host: String,
    /// The file that its records were in.
    file: String,
    headline: Option<String>,
    told: Option<String>,
    /// The last one.
    audit: Option<&'m AuditSummary>,
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
    let made = Utc::now();
    // Groups are the longest part of each machine, and take as much as they may have of their share.
    fit_page(|room| {
        let share = room / machines.len().max(1);
        let shown = machines.iter().map(|((host, file), records)| records.show(host, file, share));
        Ok(FleetPage {
            kind: "fleet",
            made,
            program: env!("CARGO_PKG_VERSION"),
            machines: shown.collect(),
            problems: &problems,
        })
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
        let read = atomic_file::read_up_to(opened.as_fd(), &file, LARGEST);
        let problem = match read {
            Ok(bytes) => match add_records(&bytes, &file, &mut machines) {
                0 => continue,
                1 => "a line in it is no record".to_string(),
                lines => format!("{lines} lines in it are no records"),
            },
            Err(why) => format!("it cannot be read: {}", describe(&why)),
        };
        problems.push(format!("{}: {problem}", Escaped::of_path(&file)));
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

/// Returns how many lines are no records.
fn add_records(bytes: &[u8], file: &Path, machines: &mut Machines) -> u64 {
    let mut passed_over = 0;
    for line in bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        let Some(record) = Record::parse(line) else {
            passed_over += 1;
            continue;
        };
        let host = record.host.unwrap_or_else(|| file.with_extension("").display().to_string());
        let machine = machines.entry((text_of(&host), file.to_path_buf())).or_default();
        match record.event {
            RecordedEvent::Audit(audit) => {
                machine.audits.push((record.time, audit));
                machine.groups = record.groups;
            }
            RecordedEvent::Lost(lost) => machine.lost.push(lost),
        }
    }
    passed_over
}

impl MachineRecords {
    fn show(&self, host: &str, file: &Path, share: usize) -> PageMachine<'_> {
        let last = self.audits.last();
        let audit = last.map(|(_, audit)| audit);
        let events = EVENTS.min(share / 64);
        let recent = |all: usize| all.saturating_sub(events);
        let audits = self.audits.iter().skip(recent(self.audits.len()));
        let lost = self.lost.iter().skip(recent(self.lost.len()));
        PageMachine {
            host: host.to_string(),
            file: Escaped::of_path(file).to_string(),
            headline: audit.map(headline),
            told: audit.map(describe_told),
            audit,
            time: last.map(|(time, _)| *time),
            audits: audits.map(|(time, a)| (*time, a.fails.count, a.told.count)).collect(),
            news: audit.map(|_| PageGroups::within(&self.groups, share)),
            lost: lost
                .map(|l| (text_of(&l.root), l.ended, l.strays.count, l.strays.bytes))
                .collect(),
        }
    }
}
