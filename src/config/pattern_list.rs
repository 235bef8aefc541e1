//! Lists of patterns: what is declared disposable (`[forget]`), and what an audit fails for.
//!
//! A pattern is an absolute path with wildcards as in `.gitignore`: `?` is one byte, `*` and `[…]`
//! stop at slashes, `**` crosses them, `{a,b}` is either ([`path_pattern`](crate::catalogue::path_pattern)).
//! It matches what it names and everything below that: `/root/.cache` covers the directory with its
//! content, `/var/cache/**` only what is below `/var/cache`. Names are matched as bytes.

use toml::Spanned;
use toml::de::DeValue;

use crate::catalogue::path_pattern::PathPattern;
use crate::catalogue::pattern_tree::PatternTree;
use crate::config::reader::{Position, Problems, TableReader, quoted, type_words};

/// One pattern as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPattern {
    /// As it stands in the configuration.
    pub text: String,
    /// Where it was declared.
    pub place: Position,
}

/// All patterns.
#[derive(Clone, Debug, Default)]
pub struct PatternList {
    patterns: Vec<ListedPattern>,
    /// What each of them stands for, one for each choice in its braces, as the entry of its place in `patterns`.
    choices: PatternTree,
}

impl PatternList {
    /// The patterns in the order of the file.
    pub fn patterns(&self) -> &[ListedPattern] {
        &self.patterns
    }

    /// The index of the first pattern that names this very path, given without its leading slash.
    ///
    /// A path is covered too when one of its parents is named; see
    /// [`covers`](Self::covers) for one path, and `classify` for many.
    pub fn names(&self, path: &[u8]) -> Option<usize> {
        // Most machines have none, and this answer allocates nothing.
        if self.patterns.is_empty() {
            return None;
        }
        let mut first: Option<usize> = None;
        self.choices.walk(path, 0, &mut |found| {
            if found.named_bytes == path.len() {
                first = Some(first.map_or(found.entry(), |first| first.min(found.entry())));
            }
        });
        first
    }

    /// The index of the pattern that names this path or the outermost of its parents that is named.
    pub fn covers(&self, path: &[u8]) -> Option<usize> {
        let ends = path.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
        ends.chain([path.len()]).find_map(|end| self.names(&path[..end]))
    }

    /// Reads `[forget]`.
    pub(crate) fn read_forget(mut table: TableReader<'_>, problems: &mut Problems<'_>) -> Self {
        let list = Self::read("paths", &mut table, problems);
        table.finish(problems);
        list
    }

    /// Reads the list that is the value of `key`; empty where the key is absent.
    pub(crate) fn read(
        key: &'static str,
        table: &mut TableReader<'_>,
        problems: &mut Problems<'_>,
    ) -> Self {
        let mut list = Self::default();
        for value in table.list(key, problems) {
            if let Some((pattern, choices)) = read_pattern(value, key, &table.title, problems) {
                let index = list.patterns.len();
                choices.iter().for_each(|choice| list.choices.insert(choice, index, false));
                list.patterns.push(pattern);
            }
        }
        list
    }
}

fn read_pattern(
    value: &Spanned<DeValue<'_>>,
    key: &str,
    title: &str,
    problems: &mut Problems<'_>,
) -> Option<(ListedPattern, Vec<PathPattern>)> {
    let place = problems.place(&value.span());
    let DeValue::String(text) = value.get_ref() else {
        let what = format!(
            "an entry of `{key}` in {title} must be a string, but is {}",
            type_words(value.get_ref())
        );
        problems.add(place, what, "put quotes around it");
        return None;
    };
    let pattern = ListedPattern { text: text.to_string(), place };
    match parse_pattern(&pattern.text) {
        Ok(choices) => Some((pattern, choices)),
        Err((why, hint)) => {
            problems.add(place, format!("the pattern {} {why}", quoted(text)), hint);
            None
        }
    }
}

/// Reads an absolute pattern; else why it cannot be used, to follow "the pattern …", and a hint.
pub(crate) fn parse_pattern(text: &str) -> Result<Vec<PathPattern>, (String, String)> {
    let relative = text.trim_matches('/');
    let wrong = |why: &str, hint: &str| Err((why.to_string(), hint.to_string()));
    if !text.starts_with('/') {
        return Err((
            "is not absolute".to_string(),
            format!("write {}", quoted(&format!("/{text}"))),
        ));
    }
    if relative.is_empty() {
        return wrong("is the whole root", "write `/**` if that is what you want");
    }
    if text.contains('\0') {
        return wrong("contains a NUL byte", "no file's name can have one");
    }
    if text.split('/').any(|part| part == "." || part == "..") {
        return wrong("has a component `.` or `..`", "write the path without it");
    }
    if relative.contains("//") {
        return wrong("has an empty component (`//`)", "write one slash");
    }
    PathPattern::parse(&format!("/{relative}")).map_err(|why| {
        let hint = "put `\\\\` (in TOML's double quotes) before a special character that is meant \
                    literally, or write several patterns";
        (why.to_string(), hint.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(patterns: &[&str]) -> PatternList {
        let array: toml_edit::Array = patterns.iter().copied().collect();
        let text = format!("paths = {array}");
        let table = toml::de::DeTable::parse(&text).unwrap();
        let mut problems = Problems::new(&text);
        let reader = TableReader::new("[forget]", Position::default(), table.get_ref());
        let read = PatternList::read_forget(reader, &mut problems);
        problems.into_result(std::path::Path::new("f"), Some(read)).unwrap()
    }

    #[test]
    fn a_pattern_matches_what_it_names_and_everything_below() {
        let forget = list(&["/var/cache/**", "/root/.cache", "/home/*/.cache/", "/**/*.tmp"]);
        for (path, pattern) in [
            ("var/cache", None),
            ("var/cache/a", Some(0)),
            ("var/cache/a/b", Some(0)),
            ("var/cachet/a", None),
            ("root/.cache", Some(1)),
            ("root/.cache/a/b", Some(1)),
            ("root/.cache2", None),
            ("home/alice/.cache/x", Some(2)),
            ("home/alice/b/.cache/x", None),
            ("x.tmp", Some(3)),
            ("a/b/x.tmp/c", Some(3)),
            ("", None),
        ] {
            assert_eq!(forget.covers(path.as_bytes()), pattern, "{path}");
        }
    }

    #[test]
    fn of_several_patterns_the_first_is_told_and_the_outermost_place() {
        let forget = list(&["/a/*", "/a/b", "/{a,c}/b/**", "/c"]);
        for (path, pattern) in [("a/b", 0), ("a/b/d", 0), ("c/b/d", 3)] {
            assert_eq!(forget.covers(path.as_bytes()), Some(pattern), "{path}");
        }
        assert_eq!((forget.names(b"a/b/d"), forget.names(b"c/b")), (Some(2), None));
    }

    #[test]
    fn a_class_in_brackets_is_no_slash() {
        let forget = list(&["/home/a[!b]c", "/srv/x[+-9]*"]);
        for (path, pattern) in
            [("home/axc", Some(0)), ("home/a/c", None), ("srv/x1y", Some(1)), ("srv/x/y", None)]
        {
            assert_eq!(forget.covers(path.as_bytes()), pattern, "{path}");
        }
    }

    #[test]
    fn an_escaped_slash_is_a_slash() {
        assert_eq!(list(&["/home\\/*"]).covers(b"home/alice"), Some(0));
    }

    #[test]
    fn names_are_bytes() {
        let forget = list(&["/a/?/x*", "/été", "/n\nl"]);
        assert_eq!(forget.covers(b"a/\xff/x\xfe\n"), Some(0));
        assert_eq!(forget.covers("été/x".as_bytes()), Some(1));
        assert_eq!(forget.covers(b"n\nl"), Some(2));
    }
}
