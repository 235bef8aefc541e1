//! The kernel command line, split by the kernel's own rules (`next_arg` in its `lib/cmdline.c`),
//! and what it says about the root, about resuming and about us; pure in its input.

/// What `blankroot=` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootRequest {
    /// Boot live as it is.
    Skip,
    /// Stop the boot if the rollback cannot be done.
    Halt,
    /// Boot live as it is if the rollback cannot be done.
    Boot,
    /// Something else, as it stands there.
    Unknown(Vec<u8>),
}

/// What the kernel command line says. Where a parameter is given twice, the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// `blankroot=`
    pub asked: Option<BootRequest>,
    /// `root=`
    pub root: Option<Vec<u8>>,
    /// `rootflags=`; several are joined, as systemd does.
    pub root_flags: Option<Vec<u8>>,
    /// `resume=`, unless it is empty or `none`.
    pub resume: Option<Vec<u8>>,
    /// `resume_offset=`
    pub resume_offset: Option<Vec<u8>>,
    /// `noresume`, which systemd and the kernel know only without a value.
    pub no_resume: bool,
}

impl CommandLine {
    /// Reads a command line, with or without the newline that `/proc/cmdline` ends with. What
    /// follows `--` is for init and not looked at.
    pub fn parse(line: &[u8]) -> Self {
        let mut found = Self::default();
        for (name, value) in split_words(line)
            .take_while(|(name, value)| !(name.as_slice() == b"--" && value.is_none()))
        {
            match (name.as_slice(), value) {
                (b"blankroot", value) => {
                    found.asked = Some(parse_request(value.unwrap_or_default()))
                }
                (b"root", Some(value)) => found.root = Some(value),
                (b"rootflags", Some(value)) => append_flags(&mut found.root_flags, &value),
                (b"resume", Some(value)) => {
                    found.resume = Some(value).filter(|v| !v.is_empty() && v != b"none");
                }
                (b"resume_offset", Some(value)) => found.resume_offset = Some(value),
                (b"noresume", None) => found.no_resume = true,
                _ => {}
            }
        }
        found
    }

    /// The value of one of the root file system's mount options, the last one if there are several.
    pub fn root_flag(&self, name: &[u8]) -> Option<&[u8]> {
        option_value(self.root_flags.as_deref()?, name)
    }
}

/// The value of an option in a list that is separated by commas.
pub(crate) fn option_value<'a>(options: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    options.rsplit(|&b| b == b',').find_map(|option| match option.strip_prefix(name) {
        Some([b'=', value @ ..]) => Some(value),
        _ => None,
    })
}

fn parse_request(value: Vec<u8>) -> BootRequest {
    match value.as_slice() {
        b"skip" => BootRequest::Skip,
        b"halt" => BootRequest::Halt,
        b"boot" => BootRequest::Boot,
        _ => BootRequest::Unknown(value),
    }
}

fn append_flags(flags: &mut Option<Vec<u8>>, more: &[u8]) {
    match flags {
        Some(flags) => {
            flags.push(b',');
            flags.extend_from_slice(more);
        }
        None => *flags = Some(more.to_vec()),
    }
}

/// Names and values. In a name, `-` and `_` are the same.
fn split_words(line: &[u8]) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> {
    let mut quoted = false;
    let words = line.split(move |&b| {
        quoted ^= b == b'"';
        !quoted && b.is_ascii_whitespace()
    });
    words.filter(|word| !word.is_empty()).map(split_word)
}

/// A quote groups wherever it stands, but only at either end of a word or a value it is dropped.
fn split_word(word: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let (mut word, quoted) = match word.strip_prefix(b"\"") {
        Some(rest) => (rest, true),
        None => (word, false),
    };
    let drop_last = |word: &mut &[u8]| *word = word.strip_suffix(b"\"").unwrap_or(word);
    if quoted {
        drop_last(&mut word);
    }
    let (name, value) = match word.iter().position(|&b| b == b'=').filter(|&at| at > 0) {
        None => (word, None),
        Some(at) => {
            let mut value = &word[at + 1..];
            if let Some(inner) = value.strip_prefix(b"\"") {
                value = inner;
                drop_last(&mut value);
            }
            (&word[..at], Some(value.to_vec()))
        }
    };
    if name == b"--" {
        return (name.to_vec(), value);
    }
    (name.iter().map(|&b| if b == b'-' { b'_' } else { b }).collect(), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> CommandLine {
        CommandLine::parse(line.as_bytes())
    }

    #[test]
    fn what_concerns_us_is_found() {
        let line = parse(
            "BOOT_IMAGE=/vmlinuz root=LABEL=os rootflags=subvol=root,compress=zstd quiet \
             resume=/dev/sda2 resume_offset=4096 noresume blankroot=halt\n",
        );
        let expected = CommandLine {
            asked: Some(BootRequest::Halt),
            root: Some(b"LABEL=os".to_vec()),
            root_flags: Some(b"subvol=root,compress=zstd".to_vec()),
            resume: Some(b"/dev/sda2".to_vec()),
            resume_offset: Some(b"4096".to_vec()),
            no_resume: true,
        };
        assert_eq!(line, expected);
        assert_eq!(line.root_flag(b"subvol"), Some(&b"root"[..]));
        assert_eq!(line.root_flag(b"subvolid"), None);
    }

    #[test]
    fn the_last_one_counts() {
        assert_eq!(parse("blankroot=skip blankroot=boot").asked, Some(BootRequest::Boot));
        assert_eq!(parse("blankroot=boot blankroot=skip").asked, Some(BootRequest::Skip));
        assert_eq!(parse("resume=/dev/sda2 resume=").resume, None);
        assert_eq!(parse("resume=none").resume, None);
        let flags = parse("rootflags=subvolid=256 rootflags=subvol=root");
        assert_eq!(flags.root_flag(b"subvolid"), Some(&b"256"[..]));
    }

    #[test]
    fn an_unknown_value_is_kept_and_a_missing_one_is_unknown() {
        assert_eq!(parse("blankroot=Skip").asked, Some(BootRequest::Unknown(b"Skip".to_vec())));
        assert_eq!(parse("blankroot").asked, Some(BootRequest::Unknown(Vec::new())));
        assert_eq!(parse("blankroots=skip").asked, None);
    }

    #[test]
    fn quotes_group_as_they_do_for_the_kernel() {
        for line in [
            "rootflags=\"subvol=my root\"",
            "\"rootflags=subvol=my root\"",
            "x=\"a b\" rootflags=\"subvol=my root\" y",
        ] {
            assert_eq!(parse(line).root_flag(b"subvol"), Some(&b"my root"[..]), "{line}");
        }
        assert_eq!(parse("x=\"a blankroot=skip b\"").asked, None);
        assert_eq!(parse("\"blankroot=skip\"").asked, Some(BootRequest::Skip));
    }

    #[test]
    fn dashes_count_as_underscores_and_init_has_its_own_words() {
        assert_eq!(parse("resume-offset=7").resume_offset.as_deref(), Some(&b"7"[..]));
        let line = parse("quiet -- noresume blankroot=skip");
        assert_eq!((line.no_resume, line.asked), (false, None));
        assert!(!parse("noresume=1").no_resume);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fail(bytes: Vec<u8>) {
            let _ = CommandLine::parse(&bytes);
        }

        #[test]
        fn a_word_without_quotes_or_spaces_comes_back(value in "[!#-~]{1,40}") {
            let line = format!("a b=c root={value} d");
            prop_assert_eq!(parse(&line).root, Some(value.into_bytes()));
        }
    }
}
