//! The grammar of paths with wildcards, in the catalogue and, without homes, in `[forget]`.
//!
//! Names are bytes, and only `**` crosses a slash: a class in brackets is one byte of a name, as POSIX has it. Braces
//! become patterns of their own, and a [`PatternTree`](super::pattern_tree) matches each name of a path by itself,
//! without a regular expression: hundreds of those would take longer to compile than the rest of a boot's work takes.
//! A test compares all this to `globset`.

/// A pattern without braces, name by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPattern {
    /// It begins at a home, and not at the root.
    pub(crate) in_home: bool,
    /// What each name of a path has to be.
    pub(crate) parts: Vec<PatternPart>,
}

/// What one name of a path has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PatternPart {
    /// This name.
    Name(Vec<u8>),
    /// A name with wildcards.
    Wildcards(NamePattern),
    /// `**`: any number of names. At the end of a pattern it is one at least.
    AnyDepth,
}

/// A name with wildcards in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamePattern(Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`
    AnyByte,
    /// `*`
    AnyBytes,
    /// `**` where it is written as a whole name; what braces put beside it makes it one `*`.
    AnyDepth,
    /// `[a-z]` and `[!a-z]`.
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
    Slash,
}

const EMPTY_COMPONENT: &str = "has an empty component";
const TOO_MANY: &str = "stands for more than 256 paths";
/// How many patterns the braces of one may stand for.
const MAX_ALTERNATIVES: usize = 256;
/// How many braces a pattern may have.
const MAX_BRACES: usize = 32;
/// How many bytes a pattern may have.
const MAX_LENGTH: usize = 4096;

impl PathPattern {
    /// The patterns that `text` stands for, one for each choice in its braces; or what is wrong with it, to follow
    /// "the pattern …".
    pub(crate) fn parse(text: &str) -> Result<Vec<Self>, &'static str> {
        let (in_home, below) = match (text.strip_prefix("~/"), text.strip_prefix('/')) {
            (Some(below), _) => (true, below),
            (None, Some(below)) => (false, below),
            (None, None) => return Err("is neither absolute nor below `~/`"),
        };
        if below.len() > MAX_LENGTH || below.matches('{').count() > MAX_BRACES {
            return Err("has more than 4096 bytes or 32 braces");
        }
        let below = below.trim_end_matches('/').as_bytes();
        // Most patterns are plain paths, and are read at each boot.
        if !below.iter().any(|byte| b"*?[]{}\\".contains(byte)) {
            let names = below.split(|&b| b == b'/');
            let part = |name: &[u8]| match name {
                b"" => Err(EMPTY_COMPONENT),
                name => Ok(PatternPart::Name(name.to_vec())),
            };
            return Ok(vec![Self { in_home, parts: names.map(part).collect::<Result<_, _>>()? }]);
        }
        let mut choices = Choices { text: below, at: 0 };
        let parse = |tokens: Vec<Token>| Ok(Self { in_home, parts: parts_of(&tokens)? });
        choices.read(0)?.into_iter().map(parse).collect()
    }

    /// How much it says of a path, as if its `**` stood for nothing.
    pub(crate) fn specificity(&self) -> Specificity {
        let mut specificity = Specificity::default();
        for part in &self.parts {
            match part {
                PatternPart::AnyDepth => specificity.stars += 1,
                PatternPart::Name(name) => {
                    specificity.half_names += 2;
                    specificity.literal_bytes += name.len();
                }
                PatternPart::Wildcards(NamePattern(tokens)) => {
                    specificity.half_names += 2;
                    for token in tokens {
                        match token {
                            Token::Byte(_) => specificity.literal_bytes += 1,
                            Token::AnyBytes => specificity.stars += 1,
                            _ => specificity.other_wildcards += 1,
                        }
                    }
                }
            }
        }
        // `/a/**` names what is below `/a`, and says more of it than `/a` does, and less than `/a/*`.
        specificity.half_names += usize::from(self.parts.last() == Some(&PatternPart::AnyDepth));
        specificity
    }
}

/// The order of patterns that match one path: the one that names the deepest place says most, and then the one with
/// more literal bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Specificity {
    /// Twice the number of names of the place.
    pub(crate) half_names: usize,
    literal_bytes: usize,
    stars: usize,
    other_wildcards: usize,
}

impl Ord for Specificity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let more = (self.half_names, self.literal_bytes);
        let fewer = (other.stars, other.other_wildcards);
        more.cmp(&(other.half_names, other.literal_bytes))
            .then(fewer.cmp(&(self.stars, self.other_wildcards)))
    }
}

impl PartialOrd for Specificity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl NamePattern {
    fn new(tokens: &[Token]) -> Self {
        let within_name = |token: &Token| match token {
            Token::AnyDepth => Token::AnyBytes,
            token => token.clone(),
        };
        Self(tokens.iter().map(within_name).collect())
    }

    /// Whether `name` is meant. Takes at most as many steps as the product of both lengths.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        let (mut token, mut byte) = (0, 0);
        // Where the last `*` stands, and how far it reaches; an earlier one never needs to reach further.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&next) = name.get(byte) {
            match self.0.get(token) {
                Some(Token::AnyBytes) => {
                    star = Some((token, byte));
                    token += 1;
                }
                Some(meant) if meant.matches(next) => {
                    token += 1;
                    byte += 1;
                }
                _ => match star {
                    Some((at, reach)) => {
                        star = Some((at, reach + 1));
                        (token, byte) = (at + 1, reach + 1);
                    }
                    None => return false,
                },
            }
        }
        self.0[token..].iter().all(|token| *token == Token::AnyBytes)
    }
}

impl Token {
    fn matches(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::AnyByte => true,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|&(first, last)| (first..=last).contains(&byte)) != *negated
            }
            Self::AnyBytes | Self::AnyDepth | Self::Slash => false,
        }
    }
}

/// Reads a text, and takes each way through its braces.
struct Choices<'t> {
    text: &'t [u8],
    at: usize,
}

impl Choices<'_> {
    /// Reads up to the end of the text, or of the braces that it is in.
    fn read(&mut self, depth: usize) -> Result<Vec<Vec<Token>>, &'static str> {
        let (mut done, mut open) = (Vec::new(), vec![Vec::new()]);
        loop {
            let Some(byte) = self.next_byte() else {
                done.append(&mut open);
                return if depth == 0 { Ok(done) } else { Err("has braces that are not closed") };
            };
            let token = match byte {
                b',' if depth > 0 => {
                    done.append(&mut open);
                    open.push(Vec::new());
                    continue;
                }
                b'}' if depth > 0 => {
                    done.append(&mut open);
                    return Ok(done);
                }
                b'}' => return Err("has braces that are not opened"),
                b'{' => {
                    let mut inner = self.read(depth + 1)?;
                    // As globset has it: an empty choice is none.
                    inner.retain(|choice| !choice.is_empty());
                    if done.len() + open.len() * inner.len() > MAX_ALTERNATIVES {
                        return Err(TOO_MANY);
                    }
                    if !inner.is_empty() {
                        let with = |start: &Vec<Token>| {
                            inner.iter().map(|end| [start.as_slice(), end].concat()).collect()
                        };
                        open = open.iter().flat_map::<Vec<Vec<Token>>, _>(with).collect();
                    }
                    continue;
                }
                b'[' => self.read_class()?,
                b'?' => Token::AnyByte,
                b'*' => self.read_stars(depth > 0),
                b'/' => Token::Slash,
                b'\\' => match self.next_byte().ok_or("ends in a backslash")? {
                    b'/' => Token::Slash,
                    byte => Token::Byte(byte),
                },
                byte => Token::Byte(byte),
            };
            open.iter_mut().for_each(|choice| choice.push(token.clone()));
            if done.len() + open.len() > MAX_ALTERNATIVES {
                return Err(TOO_MANY);
            }
        }
    }

    /// Reads what is after `*`: nothing, or one more where both are a name.
    fn read_stars(&mut self, in_braces: bool) -> Token {
        let ends_name = |byte: Option<&u8>| match byte {
            None | Some(b'/') => true,
            Some(byte) => in_braces && b"{,}".contains(byte),
        };
        let before = self.at.checked_sub(2).and_then(|at| self.text.get(at));
        let is_whole_name = ends_name(before)
            && self.text.get(self.at) == Some(&b'*')
            && ends_name(self.text.get(self.at + 1));
        if !is_whole_name {
            return Token::AnyBytes;
        }
        self.at += 1;
        Token::AnyDepth
    }

    /// Reads what is after `[`, up to its `]`.
    fn read_class(&mut self) -> Result<Token, &'static str> {
        const NOT_CLOSED: &str = "has a bracket that is not closed";
        let negated = matches!(self.text.get(self.at), Some(b'!' | b'^'));
        self.at += usize::from(negated);
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        let mut in_range = false;
        loop {
            let byte = self.next_byte().ok_or(NOT_CLOSED)?;
            match (byte, ranges.last_mut()) {
                (b'/', _) => return Err("has a slash in brackets"),
                (0x80.., _) => return Err("has a letter in brackets that is not ASCII"),
                // In the first place both are letters like others.
                (b']', Some(_)) => break,
                (b'-', Some(_)) if !in_range => in_range = true,
                (byte, Some(last)) if in_range => {
                    if byte < last.0 {
                        return Err("has a range in brackets that ends before it begins");
                    }
                    last.1 = byte;
                    in_range = false;
                }
                (byte, _) => ranges.push((byte, byte)),
            }
        }
        if in_range {
            ranges.push((b'-', b'-'));
        }
        Ok(Token::Class { negated, ranges })
    }

    fn next_byte(&mut self) -> Option<u8> {
        let byte = self.text.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte
    }
}

fn parts_of(tokens: &[Token]) -> Result<Vec<PatternPart>, &'static str> {
    let mut parts: Vec<PatternPart> = Vec::new();
    for name in tokens.split(|token| *token == Token::Slash) {
        let literal: Option<Vec<u8>> = name
            .iter()
            .map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None })
            .collect();
        let part = match (name, literal) {
            ([], _) => return Err(EMPTY_COMPONENT),
            ([Token::AnyDepth], _) => PatternPart::AnyDepth,
            (_, Some(literal)) => PatternPart::Name(literal),
            (name, None) => PatternPart::Wildcards(NamePattern::new(name)),
        };
        if part != PatternPart::AnyDepth || parts.last() != Some(&PatternPart::AnyDepth) {
            parts.push(part);
        }
    }
    Ok(parts)
}
