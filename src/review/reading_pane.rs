//! Text that fills the screen: wrapped to its width, scrolled by lines. Pure.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How a line looks, where there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    /// Stands back.
    Quiet,
    /// Is to be read first.
    Strong,
    /// Is there now.
    Good,
    /// Is gone, or will be; is refused.
    Alert,
}

/// One line, without anything that would steer a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PaneLine {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl PaneLine {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A page of lines with the place that is read.
#[derive(Debug, Default)]
pub(crate) struct ReadingPane {
    pub(crate) title: String,
    lines: Vec<PaneLine>,
    /// The lines as they are broken at this width.
    wrapped: Vec<PaneLine>,
    width: usize,
    height: usize,
    top: usize,
}

impl ReadingPane {
    pub(crate) fn new(title: impl Into<String>, lines: Vec<PaneLine>) -> Self {
        Self { title: title.into(), lines, ..Self::default() }
    }

    /// The lines that are on a screen of this size.
    pub(crate) fn fit_to(&mut self, width: usize, height: usize) -> &[PaneLine] {
        if width != self.width {
            self.wrapped = self.lines.iter().flat_map(|line| wrap_line(line, width)).collect();
            self.width = width;
        }
        self.height = height;
        self.scroll_by(0);
        let end = (self.top + height).min(self.wrapped.len());
        self.wrapped.get(self.top..end).unwrap_or_default()
    }

    pub(crate) fn scroll_by(&mut self, lines: isize) {
        let last = self.wrapped.len().saturating_sub(self.height);
        self.top = self.top.saturating_add_signed(lines).min(last);
    }

    pub(crate) fn page_by(&mut self, pages: isize) {
        self.scroll_by(pages.saturating_mul(self.height.saturating_sub(1).max(1).cast_signed()));
    }

    /// `1-20 of 300`; `None` where all is on the screen.
    pub(crate) fn position(&self) -> Option<String> {
        let (count, end) = (self.wrapped.len(), self.top + self.height);
        (count > self.height).then(|| format!("{}-{} of {count}", self.top + 1, end.min(count)))
    }
}

/// Breaks a line where it is full: behind a blank, unless the last one is far from there.
fn wrap_line(line: &PaneLine, width: usize) -> Vec<PaneLine> {
    let (mut parts, mut part, mut used) = (Vec::new(), String::new(), 0);
    for c in line.text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > width && !part.is_empty() {
            let blank = part.rfind(' ').map(|at| at + 1).filter(|at| *at > part.len() / 2);
            let rest = part.split_off(blank.unwrap_or(part.len()));
            parts.push(PaneLine::new(std::mem::replace(&mut part, rest), line.tone));
            used = part.width();
        }
        part.push(c);
        used += wide;
    }
    parts.push(PaneLine::new(part, line.tone));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_where_they_are_full_and_scroll_to_their_end() {
        let lines = vec![PaneLine::plain("abcdef"), PaneLine::plain(""), PaneLine::plain("日本語")];
        let mut pane = ReadingPane::new("title", lines);
        let text = |pane: &mut ReadingPane, width, height| {
            let lines = pane.fit_to(width, height).iter();
            lines.map(|line| line.text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(text(&mut pane, 5, 9), ["abcde", "f", "", "日本", "語"]);
        assert_eq!(pane.position(), None);
        assert_eq!(text(&mut pane, 5, 2), ["abcde", "f"]);
        pane.page_by(9);
        assert_eq!(text(&mut pane, 5, 2), ["日本", "語"]);
        assert_eq!(pane.position().as_deref(), Some("4-5 of 5"));
        pane.scroll_by(-1);
        assert_eq!(text(&mut pane, 5, 2), ["", "日本"]);
        assert_eq!(text(&mut pane, 80, 9), ["abcdef", "", "日本語"]);
        let words = vec![PaneLine::plain("one two three"), PaneLine::plain("a verylongword")];
        let mut pane = ReadingPane::new("title", words);
        assert_eq!(text(&mut pane, 8, 9), ["one two ", "three", "a verylo", "ngword"]);
    }
}
