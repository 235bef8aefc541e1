//! The values that all JSON output shares: paths that may not be UTF-8, and points in time.

use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Datelike as _, SecondsFormat, Utc};
use dirfd::{ChangeKind, FileType, TreePath};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path or a name: `{"text": "…"}`, or `{"bytes": "<base64>"}` when it is not UTF-8.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Path"))]
pub(crate) enum JsonPath<'a> {
    /// It is UTF-8.
    Text(&'a str),
    /// It is not UTF-8: base64 with padding, in the standard alphabet.
    Bytes(#[cfg_attr(test, schemars(extend("contentEncoding" = "base64")))] String),
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

/// A path or a name that is read again, in the form of [`JsonPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPathBuf(pub Vec<u8>);

impl Serialize for JsonPathBuf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonPath::new(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonPathBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Form {
            Text(String),
            Bytes(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Self(text.into_bytes())),
            Form::Bytes(bytes) => STANDARD.decode(bytes).map(Self).map_err(D::Error::custom),
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

/// A point in time: RFC 3339, in UTC.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct JsonTime(String);

/// A point in time with nanoseconds; `None` for a time that RFC 3339 cannot tell: its years are 0 to 9999.
pub(crate) fn timestamp(time: DateTime<Utc>) -> Option<JsonTime> {
    timestamp_of_seconds(time.timestamp(), time.timestamp_subsec_nanos())
}

/// The same of seconds since 1970 and nanoseconds.
pub(crate) fn timestamp_of_seconds(seconds: i64, nanos: u32) -> Option<JsonTime> {
    // More nanoseconds than that are a leap second, which not every reader of RFC 3339 knows.
    let time = DateTime::from_timestamp(seconds, nanos.min(999_999_999))?;
    let is_told = (0..=9999).contains(&time.year());
    is_told.then(|| JsonTime(time.to_rfc3339_opts(SecondsFormat::Nanos, true)))
}

/// [`timestamp`], for a field of a structure that is written as it is.
pub(crate) fn as_timestamp<S: Serializer>(
    time: &DateTime<Utc>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    timestamp(*time).serialize(serializer)
}

/// What all output has one word for.
pub(crate) trait HasWord {
    /// The word.
    fn word(&self) -> &'static str;

    /// Every word that there is.
    #[cfg(test)]
    fn all_words() -> Vec<&'static str>;
}

/// Implements [`HasWord`] for a type that has a method `word`: the type, and all its values.
macro_rules! impl_has_word {
    ($type:ty, $all:expr) => {
        impl $crate::ui::json_value::HasWord for $type {
            fn word(&self) -> &'static str {
                <$type>::word(*self)
            }

            #[cfg(test)]
            fn all_words() -> Vec<&'static str> {
                let all: &[$type] = &$all;
                all.iter().map(|value| <$type>::word(*value)).collect()
            }
        }
    };
}
pub(crate) use impl_has_word;

impl_has_word!(FileType, FileType::ALL);
impl_has_word!(ChangeKind, ChangeKind::ALL);

/// One of the words of `T`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<T>(pub T);

impl<T: HasWord> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

/// An object that has each word of `T` as a key, in the order given.
#[derive(Debug)]
pub(crate) struct ByWord<T, V>(Vec<(&'static str, V)>, PhantomData<T>);

impl<T, V> FromIterator<(&'static str, V)> for ByWord<T, V> {
    fn from_iter<I: IntoIterator<Item = (&'static str, V)>>(values: I) -> Self {
        Self(values.into_iter().collect(), PhantomData)
    }
}

impl<T: HasWord, V: Serialize> Serialize for ByWord<T, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(word, value)| (word, value)))
    }
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
            assert_eq!(timestamp_of_seconds(seconds, nanos), Some(JsonTime(expected)));
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
