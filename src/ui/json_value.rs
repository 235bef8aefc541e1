//! The values that all JSON output shares: paths that may not be UTF-8, and points in time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Datelike as _, Utc};
use dirfd::TreePath;
use serde::{Serialize, Serializer};

/// A path or a name: `{"text": "…"}`, or `{"bytes": "<base64>"}` when it is not UTF-8.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JsonPath<'a> {
    /// It is UTF-8.
    Text(&'a str),
    /// It is not: base64 with padding, in the standard alphabet.
    Bytes(String),
}

impl<'a> JsonPath<'a> {
    /// Either form, whichever fits.
    pub fn new(path: &'a [u8]) -> Self {
        match std::str::from_utf8(path) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Bytes(STANDARD.encode(path)),
        }
    }
}

/// A path in a tree as it is seen on the machine: from `/` on.
#[derive(Debug)]
pub struct Absolute<'a>(pub &'a TreePath);

impl Serialize for Absolute<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonPath::new(&[b"/", self.0.as_bytes()].concat()).serialize(serializer)
    }
}

/// Permission bits as four octal digits.
#[derive(Debug)]
pub struct Octal(pub u16);

impl Serialize for Octal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = [9, 6, 3, 0].map(|shift| b'0' + (self.0 >> shift & 7) as u8);
        serializer.serialize_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

/// A point in time in RFC 3339, in UTC, with nanoseconds.
pub fn timestamp(time: DateTime<Utc>) -> Option<String> {
    let mut writer = Timestamps::default();
    writer.write(time.timestamp(), time.timestamp_subsec_nanos()).map(str::to_string)
}

/// [`timestamp`], for a field of a structure that is written as it is.
pub fn as_timestamp<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    timestamp(*time).serialize(serializer)
}

/// Writes many points in time: keeps the last date, since files come in crowds.
#[derive(Debug, Default)]
pub struct Timestamps {
    day: Option<i64>,
    date: String,
    text: String,
}

impl Timestamps {
    /// `None` for a time that RFC 3339 cannot tell: its years are 0 to 9999.
    pub fn write(&mut self, seconds: i64, nanos: u32) -> Option<&str> {
        let day = seconds.div_euclid(86_400);
        if self.day != Some(day) {
            self.day = Some(day);
            self.date = date(day).unwrap_or_default();
        }
        if self.date.is_empty() {
            return None;
        }
        let second = seconds.rem_euclid(86_400) as u32;
        self.text.clear();
        self.text.push_str(&self.date);
        for (before, number, digits) in [
            ('T', second / 3_600, 2),
            (':', second / 60 % 60, 2),
            (':', second % 60, 2),
            ('.', nanos.min(999_999_999), 9),
        ] {
            self.text.push(before);
            push_digits(&mut self.text, number, digits);
        }
        self.text.push('Z');
        Some(&self.text)
    }
}

fn date(day: i64) -> Option<String> {
    let date = DateTime::from_timestamp(day.checked_mul(86_400)?, 0)?;
    (0..=9999).contains(&date.year()).then(|| date.format("%Y-%m-%d").to_string())
}

fn push_digits(text: &mut String, number: u32, digits: u32) {
    for at in (0..digits).rev() {
        text.push(char::from(b'0' + (number / 10_u32.pow(at) % 10) as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_what_chrono_says() {
        let mut times = Timestamps::default();
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
            assert_eq!(times.write(seconds, nanos), Some(expected.as_str()));
        }
        for beyond in [i64::MIN, i64::MAX, 253_402_300_800, -62_167_219_201] {
            assert_eq!(times.write(beyond, 0), None, "{beyond}");
        }
    }

    #[test]
    fn a_path_is_text_or_bytes() {
        let shown = |path| serde_json::to_string(&JsonPath::new(path)).unwrap();
        assert_eq!(shown(b"/a \"b\n"), r#"{"text":"/a \"b\n"}"#);
        assert_eq!(shown(b"/\xff"), r#"{"bytes":"L/8="}"#);
    }
}
