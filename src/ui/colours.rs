//! Colours: of what is told through anstyle, of file names through `LS_COLORS`; all off at one switch.

use std::fmt::{self, Display};

use anstyle::{AnsiColor, Color, Effects, RgbColor};
use dirfd::path::Escaped;
use dirfd::{Facts, FileType};
use lscolors::{Indicator, LsColors};

/// How to paint; the caller knows the terminal.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// Whether to paint at all.
    pub(crate) color: bool,
    /// The colours of file names.
    pub(crate) ls_colors: Option<LsColors>,
}

/// For what stands back: decided, or drawn only to guide the eye.
pub const QUIET: anstyle::Style = anstyle::Style::new().dimmed();
/// For what is to be read first.
pub const STRONG: anstyle::Style = anstyle::Style::new().bold();
/// For what goes well.
pub const GOOD: anstyle::Style =
    anstyle::Style::new().fg_color(Some(Color::Ansi(AnsiColor::Green)));
/// For what needs a decision: red is legible on dark and on light.
pub const ALERT: anstyle::Style = anstyle::Style::new().fg_color(Some(Color::Ansi(AnsiColor::Red)));
/// For text without any paint.
pub(crate) const PLAIN: anstyle::Style = anstyle::Style::new();

impl Style {
    /// `text` in `style`, or bare when colour is off.
    pub fn paint<T: Display>(&self, style: anstyle::Style, text: T) -> Painted<T> {
        Painted { style: if self.color { style } else { PLAIN }, text }
    }

    /// How `ls` would paint the file; plain when it would not.
    pub(crate) fn file(&self, name: &[u8], facts: &Facts) -> anstyle::Style {
        let Some(colors) = &self.ls_colors else { return PLAIN };
        let by_name = || std::str::from_utf8(name).ok().and_then(|name| colors.style_for_str(name));
        let found = match indicator_of(facts) {
            Indicator::RegularFile => {
                by_name().or_else(|| colors.style_for_indicator(Indicator::RegularFile))
            }
            other => colors.style_for_indicator(other),
        };
        found.map_or(PLAIN, convert_style)
    }

    /// How `ls` would paint a directory.
    pub(crate) fn directory(&self) -> anstyle::Style {
        let colors = self.ls_colors.as_ref();
        colors
            .and_then(|c| c.style_for_indicator(Indicator::Directory))
            .map_or(PLAIN, convert_style)
    }
}

/// Text with its paint around it; pads as the text alone would.
pub struct Painted<T> {
    style: anstyle::Style,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.style)?;
        self.text.fmt(f)?;
        write!(f, "{:#}", self.style)
    }
}

/// A file's name, escaped, with the slash that tells directories.
pub(crate) fn escaped_name(name: &[u8], file_type: FileType) -> String {
    format!("{}{}", Escaped(name), if file_type == FileType::Dir { "/" } else { "" })
}

fn indicator_of(facts: &Facts) -> Indicator {
    let has = |bits: u16| facts.mode & bits == bits;
    match facts.file_type {
        FileType::File if has(0o4000) => Indicator::Setuid,
        FileType::File if has(0o2000) => Indicator::Setgid,
        FileType::File if facts.mode & 0o111 != 0 => Indicator::ExecutableFile,
        FileType::File => Indicator::RegularFile,
        FileType::Dir if has(0o1002) => Indicator::StickyAndOtherWritable,
        FileType::Dir if has(0o0002) => Indicator::OtherWritable,
        FileType::Dir if has(0o1000) => Indicator::Sticky,
        FileType::Dir | FileType::Subvolume => Indicator::Directory,
        FileType::Symlink => Indicator::SymbolicLink,
        FileType::Fifo => Indicator::FIFO,
        FileType::Socket => Indicator::Socket,
        FileType::Block => Indicator::BlockDevice,
        FileType::Char => Indicator::CharacterDevice,
    }
}

fn convert_style(style: &lscolors::Style) -> anstyle::Style {
    let font = &style.font_style;
    let effects = [
        (font.bold, Effects::BOLD),
        (font.dimmed, Effects::DIMMED),
        (font.italic, Effects::ITALIC),
        (font.underline, Effects::UNDERLINE),
        (font.reverse, Effects::INVERT),
        (font.strikethrough, Effects::STRIKETHROUGH),
    ];
    // Blinking and hidden text is left out: nobody reads a report in it.
    let effects =
        effects.into_iter().filter(|(on, _)| *on).fold(Effects::new(), |all, (_, e)| all | e);
    anstyle::Style::new()
        .fg_color(style.foreground.as_ref().map(convert_color))
        .bg_color(style.background.as_ref().map(convert_color))
        .effects(effects)
}

fn convert_color(color: &lscolors::Color) -> Color {
    use lscolors::Color as Ls;
    let ansi = match *color {
        Ls::RGB(r, g, b) => return Color::Rgb(RgbColor(r, g, b)),
        Ls::Fixed(number) => return Color::Ansi256(number.into()),
        Ls::Black => AnsiColor::Black,
        Ls::Red => AnsiColor::Red,
        Ls::Green => AnsiColor::Green,
        Ls::Yellow => AnsiColor::Yellow,
        Ls::Blue => AnsiColor::Blue,
        Ls::Magenta => AnsiColor::Magenta,
        Ls::Cyan => AnsiColor::Cyan,
        Ls::White => AnsiColor::White,
        Ls::BrightBlack => AnsiColor::BrightBlack,
        Ls::BrightRed => AnsiColor::BrightRed,
        Ls::BrightGreen => AnsiColor::BrightGreen,
        Ls::BrightYellow => AnsiColor::BrightYellow,
        Ls::BrightBlue => AnsiColor::BrightBlue,
        Ls::BrightMagenta => AnsiColor::BrightMagenta,
        Ls::BrightCyan => AnsiColor::BrightCyan,
        Ls::BrightWhite => AnsiColor::BrightWhite,
    };
    Color::Ansi(ansi)
}
