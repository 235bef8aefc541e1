//! Who owns a kept path: users and groups by name or number, and modes, as they were declared.

use dirfd::path::Escaped;
use toml::de::DeValue;

use crate::config::reader::{Position, Problems, TableReader, quoted, type_words};

/// A user or a group, as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// By name; looked up in the tree that the path belongs to.
    Name(String),
    /// By number; needs no lookup.
    Id(u32),
}

/// The declared owner, group and mode; what is absent was not declared and is never enforced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// By name or number; `None` where nothing is declared.
    pub user: Option<Account>,
    /// The same for the group.
    pub group: Option<Account>,
    /// Permission bits; `None` where nothing is declared.
    pub mode: Option<Mode>,
}

impl Ownership {
    /// Reads `user`, `group` and `mode`.
    pub(crate) fn read(table: &mut TableReader<'_>, problems: &mut Problems<'_>) -> Self {
        Self {
            user: read_account("user", table, problems),
            group: read_account("group", table, problems),
            mode: read_mode(table, problems),
        }
    }
}

fn read_account(
    key: &'static str,
    table: &mut TableReader<'_>,
    problems: &mut Problems<'_>,
) -> Option<Account> {
    let (value, place) = table.value(key, problems)?;
    let text = match value {
        DeValue::String(text) => text,
        DeValue::Integer(number) if number.radix() == 10 => {
            return number_of(key, number.as_str(), place, problems);
        }
        other => {
            let what = format!(
                "`{key}` in {} must be a name or a number, but is {}",
                table.title,
                type_words(other)
            );
            problems.add(place, what, format!("write `{key} = \"name\"`"));
            return None;
        }
    };
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        return number_of(key, text, place, problems);
    }
    if let Err(why) = check_name(text) {
        let what = format!("the {key} {} {why}", quoted(text));
        problems.add(place, what, format!("write the {key}'s name, or its number"));
        return None;
    }
    Some(Account::Name(text.to_string()))
}

fn number_of(
    key: &str,
    text: &str,
    place: Position,
    problems: &mut Problems<'_>,
) -> Option<Account> {
    // chown(2) takes the highest number for "leave it as it is".
    match text.parse::<u32>() {
        Ok(id) if id != u32::MAX => Some(Account::Id(id)),
        _ => {
            let what = format!("no {key} can have the number {}", quoted(text));
            problems.add(place, what, format!("write a number from 0 to {}", u32::MAX - 1));
            None
        }
    }
}

/// Whether passwd(5) can hold the name; the error follows "the user `…` ".
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("is empty")
    } else if name.contains(|c: char| c == ':' || c == '/' || c.is_control()) {
        Err("has a character that no account's name can have")
    } else if name.len() > 255 {
        Err("is too long")
    } else if name == "." || name == ".." {
        Err("is not a name")
    } else {
        Ok(())
    }
}

fn read_mode(table: &mut TableReader<'_>, problems: &mut Problems<'_>) -> Option<Mode> {
    let (value, place) = table.value("mode", problems)?;
    let text = match value {
        DeValue::String(text) => text,
        other => {
            let what =
                format!("`mode` in {} must be a string, but is {}", table.title, type_words(other));
            problems.add(place, what, "write the mode as a string, such as \"0750\"");
            return None;
        }
    };
    Mode::parse(text)
        .map_err(|(why, hint)| {
            problems.add(place, format!("the mode {} {why}", quoted(text)), hint)
        })
        .ok()
}

/// Permission bits with setuid, setgid and sticky: `0o7777` at the most. People write them in octal, or
/// symbolically as for `chmod`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(u16);

impl Mode {
    /// Reads `0750` or `u=rwx,g=rx,o=`; the error is what is wrong, to follow "the mode `…` ", and
    /// the hint.
    pub(crate) fn parse(text: &str) -> Result<Self, (String, String)> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            parse_octal(text)
        } else {
            parse_symbolic(text)
        }
    }

    /// As for chmod(2).
    pub fn bits(self) -> u16 {
        self.0
    }
}

fn parse_octal(text: &str) -> Result<Mode, (String, String)> {
    let hint = || "write three or four octal digits, such as \"0750\"".to_string();
    if !(3..=4).contains(&text.len()) {
        return Err(("does not have three or four digits".to_string(), hint()));
    }
    if !text.bytes().all(|b| matches!(b, b'0'..=b'7')) {
        return Err(("is not octal".to_string(), hint()));
    }
    u16::from_str_radix(text, 8).map(Mode).map_err(|_| ("is not octal".to_string(), hint()))
}

/// Each class must be named: an absolute mode cannot lean on what is there already.
fn parse_symbolic(text: &str) -> Result<Mode, (String, String)> {
    let mut bits = 0;
    let mut named = Vec::new();
    for clause in text.split(',') {
        let Some((classes, permissions)) = clause.split_once('=') else {
            let hint = "write it as \"0750\" or \"u=rwx,g=rx,o=\"".to_string();
            return Err(("is neither octal nor a list of `class=permissions`".to_string(), hint));
        };
        let classes = if classes == "a" { "ugo" } else { classes };
        if classes.is_empty() || !classes.chars().all(|class| "ugo".contains(class)) {
            let hint = "the classes are `u`, `g`, `o`, and `a` for all three".to_string();
            return Err((
                format!("has an unknown class in `{}`", Escaped(clause.as_bytes())),
                hint,
            ));
        }
        for class in classes.chars() {
            if named.contains(&class) {
                let hint = "name each class once".to_string();
                return Err((format!("names the class `{class}` twice"), hint));
            }
            named.push(class);
            for permission in permissions.chars() {
                bits |= mode_bit(class, permission).ok_or_else(|| {
                    let hint = "the permissions are `r`, `w`, `x`, `s` (for `u` and `g`) and `t` \
                                (for `o`)";
                    let clause = Escaped(clause.as_bytes());
                    (format!("has an unknown permission in `{clause}`"), hint.to_string())
                })?;
            }
        }
    }
    match "ugo".chars().find(|class| !named.contains(class)) {
        Some(class) => Err((
            format!("does not say what the class `{class}` may do"),
            format!("add `{class}=` with its permissions; nothing after the `=` means none"),
        )),
        None => Ok(Mode(bits)),
    }
}

fn mode_bit(class: char, permission: char) -> Option<u16> {
    let shift = match class {
        'u' => 6,
        'g' => 3,
        _ => 0,
    };
    Some(match (permission, class) {
        ('r', _) => 4 << shift,
        ('w', _) => 2 << shift,
        ('x', _) => 1 << shift,
        ('s', 'u') => 0o4000,
        ('s', 'g') => 0o2000,
        ('t', 'o') => 0o1000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_and_symbolic_modes_say_the_same() {
        for (text, bits) in [
            ("0750", 0o750),
            ("700", 0o700),
            ("1777", 0o1777),
            ("u=rwx,g=rx,o=", 0o750),
            ("a=rx", 0o555),
            ("ug=rw,o=r", 0o664),
            ("u=rwxs,g=rxs,o=rxt", 0o7755),
        ] {
            assert_eq!(Mode::parse(text).map(Mode::bits), Ok(bits), "{text}");
        }
    }

    #[test]
    fn a_mode_that_leaves_something_open_is_refused() {
        for (text, why) in [
            ("75", "does not have three or four digits"),
            ("00750", "does not have three or four digits"),
            ("0788", "is not octal"),
            ("0é", "is not octal"),
            ("", "is neither octal nor a list of `class=permissions`"),
            ("u+x", "is neither octal nor a list of `class=permissions`"),
            ("u=rwx,g=rx", "does not say what the class `o` may do"),
            ("u=rwx,g=rX,o=", "has an unknown permission in `g=rX`"),
            ("u=t,g=,o=", "has an unknown permission in `u=t`"),
            ("u=r,u=w,g=,o=", "names the class `u` twice"),
            ("z=r", "has an unknown class in `z=r`"),
        ] {
            assert_eq!(Mode::parse(text).map_err(|(why, _)| why), Err(why.to_string()), "{text}");
        }
    }
}
