//! Who owns a kept path: users and groups by name or number, and modes, as they were declared.

use toml::de::DeValue;

use super::mode::Mode;
use super::problem::{Place, Problems, quoted};
use super::reader::{Reader, type_words};

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
    /// The owner.
    pub user: Option<Account>,
    /// The group.
    pub group: Option<Account>,
    /// The mode.
    pub mode: Option<Mode>,
}

impl Ownership {
    /// Reads `user`, `group` and `mode`.
    pub(super) fn read(table: &mut Reader<'_>, problems: &mut Problems<'_>) -> Self {
        Self {
            user: account("user", table, problems),
            group: account("group", table, problems),
            mode: mode(table, problems),
        }
    }
}

fn account(
    key: &'static str,
    table: &mut Reader<'_>,
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

fn number_of(key: &str, text: &str, place: Place, problems: &mut Problems<'_>) -> Option<Account> {
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
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
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

fn mode(table: &mut Reader<'_>, problems: &mut Problems<'_>) -> Option<Mode> {
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
        .map_err(|(why, mend)| {
            problems.add(place, format!("the mode {} {why}", quoted(text)), mend)
        })
        .ok()
}
