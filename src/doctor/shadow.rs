//! Reads shadow(5): who has which password, and until when. Pure; the text is foreign input.

use std::collections::HashMap;

/// The lines of a shadow(5) by account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shadow {
    lines: HashMap<String, Line>,
}

/// What one account has there. Days count from 1970-01-01; what is not given is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The password's field as it stands there.
    pub password: Vec<u8>,
    /// The day of the last change.
    pub changed: Option<i64>,
    /// The number of days after which the password has to be changed.
    pub max: Option<i64>,
    /// The number of days after that on which the account still opens.
    pub inactive: Option<i64>,
    /// The day on which the account is closed.
    pub expires: Option<i64>,
}

/// What a password's field lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Password {
    /// Anybody: it is empty.
    Empty,
    /// Nobody: it is locked, or nothing that a password can be compared with.
    Locked,
    /// Who knows the password.
    Hash,
}

impl Shadow {
    /// Takes the lines that are well formed, as the C library does. Of two lines with one name the
    /// first counts.
    pub fn parse(text: &[u8]) -> Self {
        let mut lines = HashMap::new();
        for (name, parse_line) in text.split(|&b| b == b'\n').filter_map(parse_line) {
            lines.entry(name).or_insert(parse_line);
        }
        Self { lines }
    }

    /// The line of this account.
    pub fn line(&self, name: &str) -> Option<&Line> {
        self.lines.get(name)
    }

    /// How many accounts have a line.
    pub fn account_count(&self) -> usize {
        self.lines.len()
    }
}

impl Line {
    /// Whether the account is closed on this day, as pam_unix(8) tells it.
    pub fn is_closed(&self, day: i64) -> bool {
        if self.expires.is_some_and(|expires| day >= expires) {
            return true;
        }
        match (self.changed, self.max, self.inactive) {
            // Day 0 asks for a new password at the next login, and lets the old one in for that.
            (Some(changed), Some(max), Some(inactive)) if changed > 0 => {
                day.saturating_sub(changed) > max.saturating_add(inactive)
            }
            _ => false,
        }
    }
}

impl Password {
    /// Tells what a field of passwd(5) or shadow(5) is.
    pub fn of(field: &[u8]) -> Self {
        match field {
            [] => Self::Empty,
            // `$id$…`, and the bare 13 characters of the oldest kind (crypt(5)).
            [b'$', id, rest @ ..] if *id != b'$' && rest.contains(&b'$') => Self::Hash,
            _ if field.len() == 13 && field.iter().all(is_crypt) => Self::Hash,
            // The kind of BSDI.
            [b'_', rest @ ..] if rest.len() == 19 && rest.iter().all(is_crypt) => Self::Hash,
            _ => Self::Locked,
        }
    }
}

fn is_crypt(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"./".contains(byte)
}

fn parse_line(text: &[u8]) -> Option<(String, Line)> {
    let fields: Vec<&[u8]> = text.split(|&b| b == b':').collect();
    // The old form ends after the fifth field; the ninth is reserved and may be missing.
    if ![5, 8, 9].contains(&fields.len()) {
        return None;
    }
    let name = std::str::from_utf8(fields[0]).ok()?;
    if name.is_empty() || name.starts_with(['+', '-', '#']) {
        return None;
    }
    let days = |at: usize| fields.get(at).map_or(Some(None), |field| parse_number(field));
    let line = Line {
        password: fields[1].to_vec(),
        changed: days(2)?,
        max: days(4)?,
        inactive: days(6)?,
        expires: days(7)?,
    };
    Some((name.to_string(), line))
}

/// A field that may be empty; -1 says the same. `None` if it is no number.
fn parse_number(field: &[u8]) -> Option<Option<i64>> {
    if field.is_empty() {
        return Some(None);
    }
    let number: i64 = std::str::from_utf8(field).ok()?.parse().ok()?;
    Some((number >= 0).then_some(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_as_the_c_library_does() {
        let shadow = Shadow::parse(
            b"root:!:19000:0:99999:7:::\nalice:$y$j9T$x$y:19000:0:90:7:5:20000:\n\
            old:abcdefghijklm:1:0:99\nalice::1:::::: \nbad:x:one:::::: \n#c:x:::::::\ntwo:x\n",
        );
        assert_eq!(shadow.account_count(), 3);
        let alice = shadow.line("alice").unwrap();
        assert_eq!((alice.changed, alice.max), (Some(19000), Some(90)));
        assert_eq!((alice.inactive, alice.expires), (Some(5), Some(20000)));
        assert_eq!(shadow.line("old").unwrap().expires, None);
        assert_eq!(shadow.line("bad"), None);
    }

    #[test]
    fn only_a_hash_lets_in_who_knows_the_password() {
        for (field, password) in [
            ("", Password::Empty),
            ("!", Password::Locked),
            ("*", Password::Locked),
            ("!!", Password::Locked),
            ("!$6$salt$hash", Password::Locked),
            ("x", Password::Locked),
            ("$", Password::Locked),
            ("$6$salt$hash", Password::Hash),
            ("$y$j9T$x$y", Password::Hash),
            ("abcdefgh/jkl.", Password::Hash),
            ("secret", Password::Locked),
        ] {
            assert_eq!(Password::of(field.as_bytes()), password, "{field}");
        }
    }

    #[test]
    fn an_account_closes_on_its_day_and_when_its_password_is_too_old() {
        let closed = |line: &str, day| {
            Shadow::parse(line.as_bytes()).line("a").map(|line| line.is_closed(day))
        };
        assert_eq!(closed("a:x:100:0:::: 5:", 1), None);
        for (line, day, expected) in [
            ("a:x:100:0::::500:", 499, false),
            ("a:x:100:0::::500:", 500, true),
            ("a:x:100:0::::0:", 1, true),
            ("a:x:100:0::::-1:", 1, false),
            ("a:x:100:0:30:7:5::", 135, false),
            ("a:x:100:0:30:7:5::", 136, true),
            ("a:x:0:0:30:7:5::", 9999, false),
            ("a:x:100:0:30:7:::", 9999, false),
        ] {
            assert_eq!(closed(line, day), Some(expected), "{line} on {day}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fail(bytes: Vec<u8>, day: i64) {
            for line in Shadow::parse(&bytes).lines.values() {
                let _ = (line.is_closed(day), Password::of(&line.password));
            }
        }
    }
}
