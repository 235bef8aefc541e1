//! Numbers for people: sizes, counts, points in time.

use std::fmt::Display;

use bytesize::ByteSize;
use chrono::{DateTime, TimeZone, Utc};
use indicatif::HumanCount;

/// Bytes in IEC units: `1.2 MiB`.
pub(crate) fn format_size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// A number with its thousands set apart: `1,204`.
pub(crate) fn format_count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// A count with its noun: `1 file`, `1,204 files`.
pub(crate) fn count_noun(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", format_count(number), if number == 1 { one } else { many })
}

/// A point in time as the zone of `now` shows it: `2026-11-22 14:59`.
pub(crate) fn format_local_time<Tz>(time: DateTime<Utc>, now: &DateTime<Tz>) -> String
where
    Tz: TimeZone<Offset: Display>,
{
    time.with_timezone(&now.timezone()).format("%Y-%m-%d %H:%M").to_string()
}

/// How long before `now` that was: `3 days ago`.
pub(crate) fn describe_time_ago<Tz: TimeZone>(time: DateTime<Utc>, now: &DateTime<Tz>) -> String {
    match seconds_since(time.timestamp(), now) {
        None => "in the future: one of the clocks was wrong".to_string(),
        Some(0..60) => "just now".to_string(),
        Some(seconds) => format!("{} ago", describe_seconds(seconds)),
    }
}

/// How old something is that was written `seconds` after 1970: `3 weeks`.
pub(crate) fn describe_age<Tz: TimeZone>(seconds: i64, now: &DateTime<Tz>) -> String {
    seconds_since(seconds, now).map_or_else(|| "in the future".to_string(), describe_seconds)
}

/// Seconds since then; `None` if that is still to come.
fn seconds_since<Tz: TimeZone>(seconds: i64, now: &DateTime<Tz>) -> Option<u64> {
    u64::try_from(now.timestamp().saturating_sub(seconds)).ok()
}

fn describe_seconds(seconds: u64) -> String {
    let (number, one, many) = match seconds {
        0..60 => return "moments".to_string(),
        60..3_600 => (seconds / 60, "minute", "minutes"),
        3_600..86_400 => (seconds / 3_600, "hour", "hours"),
        86_400..1_209_600 => (seconds / 86_400, "day", "days"),
        1_209_600..5_184_000 => (seconds / 604_800, "week", "weeks"),
        5_184_000..63_072_000 => (seconds / 2_592_000, "month", "months"),
        _ => (seconds / 31_536_000, "year", "years"),
    };
    count_noun(number, one, many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_in_thousands() {
        let shown = [0, 999, 1_000, 12_345, 1_234_567].map(format_count);
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,234,567"]);
        assert_eq!(count_noun(1, "file", "files"), "1 file");
    }

    #[test]
    fn sizes_are_iec() {
        assert_eq!(
            [0, 33, 1_536, 19_188_941].map(format_size),
            ["0 B", "33 B", "1.5 KiB", "18.3 MiB"]
        );
    }

    #[test]
    fn times_tell_how_long_ago_they_were() {
        let now = DateTime::from_timestamp(1_000_000_000, 0).unwrap();
        let before = |seconds: i64| {
            describe_time_ago(DateTime::from_timestamp(1_000_000_000 - seconds, 0).unwrap(), &now)
        };
        assert_eq!(before(59), "just now");
        assert_eq!(before(60), "1 minute ago");
        assert_eq!(before(3 * 86_400 + 5), "3 days ago");
        assert_eq!(before(23 * 86_400), "3 weeks ago");
        assert_eq!(before(70 * 86_400), "2 months ago");
        assert!(before(-5).starts_with("in the future"));
        assert_eq!(
            [1_000_000_000, 999_000_000, i64::MIN].map(|time| describe_age(time, &now)).join(", "),
            "moments, 11 days, 292,471,208,677 years"
        );
    }
}
