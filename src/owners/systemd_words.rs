//! Words of systemd's files: quoting as in systemd.syntax(7), and specifiers as in systemd.unit(5) and
//! tmpfiles.d(5). Pure.

/// The words of a value, without their quotes and escapes. What is quoted wrongly ends the list: systemd ignores
/// such a line, too.
pub fn split_words(value: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = value.trim_ascii_start();
    while !rest.is_empty() {
        let Some((word, behind)) = next_word(rest) else { break };
        words.push(word);
        rest = behind.trim_ascii_start();
    }
    words
}

/// The first word of a text that begins with one, and what is behind it; `None` if its quote or its escape does
/// not end.
fn next_word(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut quote = None;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'\\' => at = unescape(text, at, &mut word)?,
            b'"' | b'\'' if quote == Some(byte) => quote = None,
            b'"' | b'\'' if quote.is_none() => quote = Some(byte),
            byte if byte.is_ascii_whitespace() && quote.is_none() => {
                return Some((word, text.get(at..)?));
            }
            byte => word.push(byte),
        }
    }
    quote.is_none().then_some((word, &[][..]))
}

/// Adds the byte that the escape at `at`, behind its backslash, stands for; where the text goes on.
fn unescape(text: &[u8], at: usize, word: &mut Vec<u8>) -> Option<usize> {
    let (byte, length) = match *text.get(at)? {
        b'a' => (7, 1),
        b'b' => (8, 1),
        b'f' => (12, 1),
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b's' => (b' ', 1),
        b't' => (b'\t', 1),
        b'v' => (11, 1),
        b'x' => (number(text.get(at + 1..at + 3)?, 16)?, 3),
        b'0'..=b'7' => (number(text.get(at..at + 3)?, 8)?, 3),
        // `\\`, quotes, and what has no meaning.
        other => (other, 1),
    };
    word.push(byte);
    Some(at + length)
}

fn number(digits: &[u8], radix: u32) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// What stands for specifiers in a path, as `%m`: a function from the letter.
pub type Specifiers<'a> = &'a dyn Fn(u8) -> Option<Vec<u8>>;

/// A path with its specifiers replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// The path; never empty.
    pub path: Vec<u8>,
    /// Whether all of its specifiers were known. If not, the path ends with the directory around the component
    /// that has the first unknown one.
    pub is_whole: bool,
}

/// Replaces the specifiers of a path; `None` if nothing is known of it.
pub fn expand_path(path: &[u8], specifiers: Specifiers<'_>) -> Option<Expanded> {
    let mut expanded = Vec::with_capacity(path.len());
    let mut is_whole = true;
    let mut bytes = path.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            expanded.push(byte);
            continue;
        }
        let value = match bytes.next() {
            Some(b'%') => Some(b"%".to_vec()),
            Some(&letter) => specifiers(letter),
            None => None,
        };
        match value {
            Some(value) => expanded.extend_from_slice(&value),
            None => {
                let slash = expanded.iter().rposition(|&b| b == b'/')?;
                expanded.truncate(slash);
                is_whole = false;
                break;
            }
        }
    }
    (!expanded.is_empty()).then_some(Expanded { path: expanded, is_whole })
}

/// The paths of the specifiers that mean the same on every machine: those of a unit of the system, or of
/// tmpfiles.d without `--user`.
pub fn directory_specifier(letter: u8) -> Option<&'static [u8]> {
    Some(match letter {
        b'C' => b"/var/cache",
        b'E' => b"/etc",
        b'h' => b"/root",
        b'L' => b"/var/log",
        b'S' => b"/var/lib",
        b't' => b"/run",
        b'T' => b"/tmp",
        b'V' => b"/var/tmp",
        b'u' | b'g' => b"root",
        b'U' | b'G' => b"0",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_lose_their_quotes_and_escapes() {
        let words = |text: &str| -> Vec<String> {
            let words = split_words(text.as_bytes());
            words.into_iter().map(|word| String::from_utf8_lossy(&word).into_owned()).collect()
        };
        assert_eq!(words(" a  b\tc "), ["a", "b", "c"]);
        assert_eq!(words("\"a b\" 'c\"d' e\\x20f\\040g\\\\"), ["a b", "c\"d", "e f g\\"]);
        assert_eq!(words("a \"b"), ["a"]);
        assert_eq!(words("a b\\"), ["a"]);
        assert_eq!(words("''"), [""]);
    }

    #[test]
    fn a_path_ends_before_what_is_unknown() {
        let specifiers = |letter: u8| (letter == b'm').then(|| b"abc".to_vec());
        let expand = |path: &str| {
            expand_path(path.as_bytes(), &specifiers)
                .map(|found| (String::from_utf8(found.path).unwrap(), found.is_whole))
        };
        let whole = |path: &str| Some((path.to_string(), true));
        assert_eq!(expand("/var/log/journal/%m"), whole("/var/log/journal/abc"));
        assert_eq!(expand("/x/a%%b"), whole("/x/a%b"));
        assert_eq!(expand("foo/%i/bar"), Some(("foo".into(), false)));
        assert_eq!(expand("foo/x-%i"), Some(("foo".into(), false)));
        assert_eq!((expand("%i"), expand("x%"), expand("")), (None, None, None));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let words = split_words(&text);
            prop_assert!(words.iter().map(Vec::len).sum::<usize>() <= text.len());
            let expanded = expand_path(&text, &|letter| directory_specifier(letter).map(<[u8]>::to_vec));
            prop_assert!(expanded.is_none_or(|found| found.path.len() <= 10 * text.len()));
        }
    }
}
