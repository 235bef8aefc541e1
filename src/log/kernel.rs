//! The kernel's log, which is where a generator speaks: the journal is not there yet, and reads it
//! when it starts (systemd.generator(7)).

use std::fs::File;
use std::io::{self, Write};

use backends::fault::change;
use rustix::fs::{self, Mode, OFlags, ResolveFlags};

use super::Level;
use crate::host::HostRoot;

/// `LOG_DAEMON` of syslog(3), shifted as in a priority.
const DAEMON: u8 = 3 << 3;
/// The kernel takes less than 1024 bytes with the prefix (`PRINTKRB_RECORD_MAX`).
const LONGEST: usize = 900;

/// Says `message` of the program `name` to the kernel's log of `host`, each of its lines as one record.
pub fn write(host: &HostRoot, name: &str, level: Level, message: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT;
    let mut log = File::from(fs::openat2(host, "dev/kmsg", flags, Mode::empty(), resolve)?);
    for record in records(name, level, message) {
        change("log: write", || log.write_all(record.as_bytes()))?;
    }
    Ok(())
}

fn records(name: &str, level: Level, message: &str) -> Vec<String> {
    let priority = DAEMON | level as u8;
    let (id, mut records) = (std::process::id(), Vec::new());
    for line in message.lines() {
        let mut rest = line;
        while !rest.is_empty() {
            let (start, end) = rest.split_at(rest.floor_char_boundary(LONGEST));
            records.push(format!("<{priority}>{name}[{id}]: {start}\n"));
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
        let records = records("blankroot", Level::Error, &format!("cannot a: b\n\n  mend: {long}"));
        assert!(records[0].starts_with("<27>blankroot["), "{records:?}");
        assert!(records[0].ends_with("]: cannot a: b\n"), "{records:?}");
        assert_eq!(records.len(), 4);
        assert!(records.iter().all(|record| record.len() < 1000 && record.lines().count() == 1));
    }
}
