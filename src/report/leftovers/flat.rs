//! `diff --storage --flat`: one line a leftover for `grep`; `-0`: paths alone for `xargs -0`.

use std::io::{self, BufWriter, Write};

use backends::FileType;
use backends::path::Escaped;
use chrono::{DateTime, TimeZone};

use super::{mark, paint, word};
use crate::leftovers::Leftovers;
use crate::report::paint::PLAIN;
use crate::report::{Style, figures};

/// Writes `? dir        1.2 MiB    3 weeks  undeclared   /persist/path` for each: mark, type, size
/// with all that is below, age of the newest of it, why it is one, escaped path.
pub fn write<Tz: TimeZone>(
    leftovers: &Leftovers,
    style: &Style,
    now: &DateTime<Tz>,
    out: impl Write,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for leftover in &leftovers.found {
        let (why, weight) = (&leftover.why, &leftover.weight);
        let age = weight.newest.map_or("-".to_string(), |(time, _)| figures::age(time, now));
        let size = match leftover.facts.file_type {
            FileType::File | FileType::Dir => figures::size(weight.bytes),
            _ => "-".to_string(),
        };
        let file_type = leftover.facts.file_type.word();
        writeln!(
            out,
            "{} {file_type:<9}  {size:>10}  {age:>13}  {}  {}",
            style.paint(paint(why), mark(why)),
            style.paint(paint(why), format_args!("{:<11}", word(why))),
            style.paint(
                if style.color {
                    style.file(leftover.path.as_bytes(), &leftover.facts)
                } else {
                    PLAIN
                },
                format_args!("/{}", Escaped(leftover.path.as_bytes()))
            ),
        )?;
    }
    out.flush()
}

/// Writes each path as raw bytes with a NUL after it.
pub fn write_nul(leftovers: &Leftovers, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for leftover in &leftovers.found {
        out.write_all(b"/")?;
        out.write_all(leftover.path.as_bytes())?;
        out.write_all(b"\0")?;
    }
    out.flush()
}
