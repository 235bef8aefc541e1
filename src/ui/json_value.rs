//! The values that all JSON output shares: paths that may not be UTF-8, and points in time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Datelike as _, SecondsFormat, Utc};
use dirfd::TreePath;
use serde::{Serialize, Serializer};

/// A path or a name: `{"text": "…"}`, or `{"bytes": "<base64>"}` when it is not UTF-8.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JsonPath<'a> {
    /// It is UTF-8.
    Text(&'a str),
    /// It is not: base64 with padding, in the standard alphabet.
    Bytes(String),
}

impl<'a> JsonPath<'a> {
    /// Either form, whichever fits.
    pub(crate) fn new(path: &'a [u8]) -> Self {
        match std::str::from_utf8(path) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Bytes(STANDARD.encode(path)),
        }
    }
}

/// A path in a tree as it is seen on the machine: from `/` on.
#[derive(Debug)]
pub(crate) struct Absolute<'a>(pub &'a TreePath);

/// [`Absolute`], for a field of a structure that is written as it is.
pub(crate) fn as_absolute<S: Serializer>(
    path: &TreePath,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    Absolute(path).serialize(serializer)
}

/// The same of bytes as in [`TreePath::as_bytes`].
pub(crate) fn as_machine_path<S: Serializer>(
    path: &[u8],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    JsonPath::new(&[b"/", path].concat()).serialize(serializer)
}

impl Serialize for Absolute<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonPath::new(&[b"/", self.0.as_bytes()].concat()).serialize(serializer)
    }
}

/// Permission bits as four octal digits.
#[derive(Debug)]
pub(crate) struct Octal(pub u16);

impl Serialize for Octal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0 & 0o7777))
    }
}

/// A point in time in RFC 3339, in UTC, with nanoseconds; `None` for a time that RFC 3339 cannot tell: its
/// years are 0 to 9999.
pub(crate) fn timestamp(time: DateTime<Utc>) -> Option<String> {
    timestamp_of_seconds(time.timestamp(), time.timestamp_subsec_nanos())
}

/// The same of seconds since 1970 and nanoseconds.
pub(crate) fn timestamp_of_seconds(seconds: i64, nanos: u32) -> Option<String> {
    // More nanoseconds than that are a leap second, which not every reader of RFC 3339 knows.
    let time = DateTime::from_timestamp(seconds, nanos.min(999_999_999))?;
    (0..=9999).contains(&time.year()).then(|| time.to_rfc3339_opts(SecondsFormat::Nanos, true))
}

/// [`timestamp`], for a field of a structure that is written as it is.
pub(crate) fn as_timestamp<S: Serializer>(
    time: &DateTime<Utc>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    timestamp(*time).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_what_chrono_says() {
        for (seconds, nanos) in [
            (0, 0),
            (-1, 999_999_999),
            (1_795_359_549, 1),
            (86_399, 20),
            (951_827_696, 123_456_789),
        ] {
            let expected = DateTime::from_timestamp(seconds, nanos)
                .unwrap()
                .to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
            assert_eq!(timestamp_of_seconds(seconds, nanos), Some(expected));
        }
        for beyond in [i64::MIN, i64::MAX, 253_402_300_800, -62_167_219_201] {
            assert_eq!(timestamp_of_seconds(beyond, 0), None, "{beyond}");
        }
    }

    #[test]
    fn a_path_is_text_or_bytes() {
        let shown = |path| serde_json::to_string(&JsonPath::new(path)).unwrap();
        assert_eq!(shown(b"/a \"b\n"), r#"{"text":"/a \"b\n"}"#);
        assert_eq!(shown(b"/\xff"), r#"{"bytes":"L/8="}"#);
    }
}
