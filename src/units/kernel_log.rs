//! The kernel's log, which is where a generator speaks: the journal is not there yet, and reads it
//! when it starts (systemd.generator(7)).

use std::fs::File;
use std::io::{self, Write};

use backends::fault::change;
use rustix::fs::{self, Mode, OFlags, ResolveFlags};

use crate::host::HostRoot;

/// `LOG_DAEMON` of syslog(3), shifted as in a priority.
const DAEMON: u8 = 3 << 3;
/// The kernel takes less than 1024 bytes with the prefix (`PRINTKRB_RECORD_MAX`).
const LONGEST: usize = 900;

/// How much a message matters; numbers of syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing was set up.
    Error = 3,
    /// Something is other than one may think.
    Warning = 4,
}

/// Says `message` to the kernel's log of `host`, each of its lines as one record.
pub fn write(host: &HostRoot, level: Level, message: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT;
    let mut log = File::from(fs::openat2(host, "dev/kmsg", flags, Mode::empty(), resolve)?);
    for record in records(level, message) {
        change("units: log", || log.write_all(record.as_bytes()))?;
    }
    Ok(())
}

fn records(level: Level, message: &str) -> Vec<String> {
    let priority = DAEMON | level as u8;
    let (id, mut records) = (std::process::id(), Vec::new());
    for line in message.lines() {
        let mut rest = line;
        while !rest.is_empty() {
            let (start, end) = rest.split_at(rest.floor_char_boundary(LONGEST));
            records.push(format!("<{priority}>blankroot-generator[{id}]: {start}\n"));
            rest = end;
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_record_that_the_kernel_takes() {
        let long = "ö".repeat(1000);
        let records = records(Level::Error, &format!("cannot a: b\n\n  mend: {long}"));
        assert!(records[0].starts_with("<27>blankroot-generator["), "{records:?}");
        assert!(records[0].ends_with("]: cannot a: b\n"), "{records:?}");
        assert_eq!(records.len(), 4);
        assert!(records.iter().all(|record| record.len() < 1000 && record.lines().count() == 1));
    }
}
