//! The page that shows what a path holds, in one of four ways. Pure.

use std::time::Duration;

use dirfd::TreePath;
use dirfd::path::Escaped;
use similar::{ChangeTag, TextDiff};

use crate::review::look_inside::{FoundContent, FoundFile, Inside};
use crate::review::reading_pane::{PaneLine, ReadingPane, Tone};
use crate::ui::figures;

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aspect {
    Text,
    Hex,
    Metadata,
    /// Against blank.
    Difference,
}

/// What a path holds, and how it is looked at.
#[derive(Debug)]
pub(crate) struct InsideView {
    path: TreePath,
    inside: Inside,
    pub(crate) aspect: Aspect,
    pub(crate) pane: ReadingPane,
}

/// Bytes in a row of hex.
const HEX_ROW_BYTES: usize = 16;
/// Lines around a difference.
const CONTEXT_LINES: usize = 3;
/// How long the shortest difference is looked for; then a longer one will do.
const MAX_DIFF_TIME: Duration = Duration::from_millis(20);

impl Aspect {
    pub(crate) const ALL: [Self; 4] = [Self::Text, Self::Hex, Self::Metadata, Self::Difference];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Hex => "hex",
            Self::Metadata => "metadata",
            Self::Difference => "diff",
        }
    }

    /// The key for it: the first letter of its word.
    pub(crate) fn of_key(key: char) -> Option<Self> {
        Self::ALL.into_iter().find(|aspect| aspect.word().starts_with(key))
    }

    fn next(self) -> Self {
        match self {
            Self::Text => Self::Hex,
            Self::Hex => Self::Metadata,
            Self::Metadata => Self::Difference,
            Self::Difference => Self::Text,
        }
    }
}

impl InsideView {
    /// Opens with what tells most.
    pub(crate) fn new(path: TreePath, inside: Inside) -> Self {
        let aspect = match (&inside.live, &inside.blank) {
            (Some(live), Some(blank)) if is_text_of_both(live, blank) => {
                match live.text_lines() == blank.text_lines() {
                    true => Aspect::Metadata,
                    false => Aspect::Difference,
                }
            }
            _ => match inside.either().map(|found| (&found.content, found.is_binary())) {
                Some((FoundContent::Bytes(_), true)) => Aspect::Hex,
                Some((FoundContent::Nothing, _)) => Aspect::Metadata,
                _ => Aspect::Text,
            },
        };
        let mut view = Self { path, inside, aspect, pane: ReadingPane::default() };
        view.show_aspect(aspect);
        view
    }

    pub(crate) fn show_aspect(&mut self, aspect: Aspect) {
        self.aspect = aspect;
        let lines = match aspect {
            Aspect::Text => self.lines_of_text(),
            Aspect::Hex => self.lines_of_hex(),
            Aspect::Metadata => self.lines_of_metadata(),
            Aspect::Difference => self.lines_of_difference(),
        };
        self.pane = ReadingPane::new(self.path.to_string(), lines);
    }

    pub(crate) fn show_next(&mut self) {
        self.show_aspect(self.aspect.next());
    }

    fn lines_of_text(&self) -> Vec<PaneLine> {
        let Some(found) = self.inside.either() else { return lines_of_nothing() };
        let mut lines: Vec<_> = self.note_of_gone().into_iter().collect();
        lines.extend(found.text_lines().into_iter().map(PaneLine::plain));
        lines.extend(note_of_content(found));
        lines
    }

    fn lines_of_hex(&self) -> Vec<PaneLine> {
        let Some(found) = self.inside.either() else { return lines_of_nothing() };
        let mut lines: Vec<_> = self.note_of_gone().into_iter().collect();
        match &found.content {
            FoundContent::Bytes(bytes) => {
                let rows = bytes.chunks(HEX_ROW_BYTES).enumerate();
                lines.extend(
                    rows.map(|(at, row)| PaneLine::plain(hex_row(at * HEX_ROW_BYTES, row))),
                );
                lines.extend(note_of_content(found));
            }
            _ => {
                let word = found.stat.facts.file_type.word();
                lines.push(PaneLine::new(format!("a {word} has no bytes to show"), Tone::Quiet));
            }
        }
        lines
    }

    fn lines_of_metadata(&self) -> Vec<PaneLine> {
        let Inside { live, blank } = &self.inside;
        let Some(found) = self.inside.either() else { return lines_of_nothing() };
        let mut lines: Vec<_> = self.note_of_gone().into_iter().collect();
        let of_blank = match (live, blank) {
            (Some(_), Some(blank)) => blank.facts(),
            _ => Vec::new(),
        };
        let facts = found.facts();
        let in_blank = |label: &str| {
            of_blank.iter().find(|(other, _)| other == label).map(|(_, value)| value.as_str())
        };
        for (label, value) in &facts {
            let other = in_blank(label).filter(|other| other != value);
            lines.push(match other {
                Some(other) => {
                    PaneLine::new(format!("{label:<9}  {value}    (blank: {other})"), Tone::Strong)
                }
                None => PaneLine::plain(format!("{label:<9}  {value}")),
            });
        }
        let gone = of_blank.iter().filter(|(label, _)| facts.iter().all(|(own, _)| own != label));
        lines.extend(gone.map(|(label, value)| {
            PaneLine::new(format!("{label:<9}  none    (blank: {value})"), Tone::Strong)
        }));
        lines
    }

    fn lines_of_difference(&self) -> Vec<PaneLine> {
        let quiet = |text: &str| vec![PaneLine::new(text, Tone::Quiet)];
        let (live, blank) = match (&self.inside.live, &self.inside.blank) {
            (Some(live), Some(blank)) => (live, blank),
            (Some(_), None) => {
                return quiet("new since blank: there is nothing to compare it with");
            }
            (None, Some(_)) => return quiet("gone since blank: `text` shows what blank has"),
            (None, None) => return lines_of_nothing(),
        };
        let (new, old) = (live.stat.facts.file_type, blank.stat.facts.file_type);
        if new != old {
            return quiet(&format!("a {} where blank has a {}", new.word(), old.word()));
        }
        if live.is_binary() || blank.is_binary() {
            return difference_of_bytes(live, blank);
        }
        let mut lines = unified_difference(&blank.text_lines(), &live.text_lines());
        if lines.is_empty() {
            lines = quiet(match (live.content == blank.content, live.is_cut() || blank.is_cut()) {
                (true, false) => "the same content as in blank: `metadata` shows what differs",
                (true, true) => "what was read of both is the same",
                (false, _) => {
                    "it differs in what is shown alike, such as the end: `hex` shows the bytes"
                }
            });
        }
        if live.is_cut() || blank.is_cut() {
            lines.extend(quiet("only the beginning of both is compared"));
        }
        lines
    }

    fn note_of_gone(&self) -> Option<PaneLine> {
        let text = "gone since blank; this is what blank has:";
        self.inside.live.is_none().then(|| PaneLine::new(text, Tone::Alert))
    }
}

fn lines_of_nothing() -> Vec<PaneLine> {
    vec![PaneLine::new("it is not there any more", Tone::Quiet)]
}

fn is_text_of_both(live: &FoundFile, blank: &FoundFile) -> bool {
    let is_bytes = |found: &FoundFile| matches!(found.content, FoundContent::Bytes(_));
    is_bytes(live) && is_bytes(blank) && !live.is_binary() && !blank.is_binary()
}

fn note_of_content(found: &FoundFile) -> Option<PaneLine> {
    let text = match &found.content {
        FoundContent::Bytes(bytes) if bytes.is_empty() => "it is empty".to_string(),
        FoundContent::Bytes(bytes) if found.is_cut() => {
            let (part, all) = (bytes.len() as u64, found.stat.facts.size);
            format!("… the first {} of {}", figures::format_size(part), figures::format_size(all))
        }
        FoundContent::Names(names, _) if names.is_empty() => "it is empty".to_string(),
        FoundContent::Names(names, true) => {
            format!("… and more than these {}", figures::format_count(names.len() as u64))
        }
        FoundContent::Nothing => {
            format!("a {} has no content to show", found.stat.facts.file_type.word())
        }
        _ => return None,
    };
    Some(PaneLine::new(text, Tone::Quiet))
}

/// `00000010  68 65 6c 6c 6f                                    |hello|`.
fn hex_row(offset: usize, bytes: &[u8]) -> String {
    let hex = bytes.iter().enumerate().map(|(at, byte)| {
        let gap = if at == HEX_ROW_BYTES / 2 { " " } else { "" };
        format!("{gap}{byte:02x} ")
    });
    let hex: String = hex.collect();
    let is_shown = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let text = bytes.iter().map(|byte| if is_shown(byte) { char::from(*byte) } else { '.' });
    let text: String = text.collect();
    format!("{offset:08x}  {hex:<49} |{text}|")
}

fn difference_of_bytes(live: &FoundFile, blank: &FoundFile) -> Vec<PaneLine> {
    let (FoundContent::Bytes(new), FoundContent::Bytes(old)) = (&live.content, &blank.content)
    else {
        return Vec::new();
    };
    let first = new.iter().zip(old).position(|(a, b)| a != b);
    let first = first.or((new.len() != old.len()).then(|| new.len().min(old.len())));
    let size = |found: &FoundFile| figures::format_size(found.stat.facts.size);
    let mut lines =
        vec![PaneLine::plain(format!("not text: {} here, {} in blank", size(live), size(blank)))];
    let Some(first) = first else {
        lines.push(PaneLine::new("the parts that were read are the same", Tone::Quiet));
        return lines;
    };
    let row = first / HEX_ROW_BYTES * HEX_ROW_BYTES;
    let rows = |bytes: &[u8]| {
        let end = bytes.len().min(row + CONTEXT_LINES * HEX_ROW_BYTES);
        let bytes = bytes.get(row..end).unwrap_or_default();
        let rows = bytes.chunks(HEX_ROW_BYTES).enumerate();
        rows.map(|(at, bytes)| hex_row(row + at * HEX_ROW_BYTES, bytes)).collect::<Vec<_>>()
    };
    lines.push(PaneLine::plain(format!("the first byte that differs is at {first:08x}:")));
    lines.extend(rows(old).into_iter().map(|row| PaneLine::new(format!("-{row}"), Tone::Alert)));
    lines.extend(rows(new).into_iter().map(|row| PaneLine::new(format!("+{row}"), Tone::Good)));
    lines
}

fn unified_difference(old: &[String], new: &[String]) -> Vec<PaneLine> {
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    let new: Vec<&str> = new.iter().map(String::as_str).collect();
    let diff = TextDiff::configure().timeout(MAX_DIFF_TIME).diff_slices(&old, &new);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(CONTEXT_LINES).iter_hunks() {
        lines.push(PaneLine::new(hunk.header().to_string(), Tone::Quiet));
        lines.extend(hunk.iter_changes().map(|change| {
            let (sign, tone) = match change.tag() {
                ChangeTag::Delete => ('-', Tone::Alert),
                ChangeTag::Insert => ('+', Tone::Good),
                ChangeTag::Equal => (' ', Tone::Plain),
            };
            PaneLine::new(format!("{sign}{}", change.value()), tone)
        }));
    }
    lines
}

/// A path for a title.
pub(crate) fn title_of(path: &[u8]) -> String {
    format!("/{}", Escaped(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::look_inside::look_inside;
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::PermissionsExt;

    /// What is shown of `file`, which the two trees have with this content.
    fn view(live: Option<&[u8]>, blank: Option<&[u8]>) -> InsideView {
        let dirs = [live, blank].map(|content| {
            let dir = tempfile::tempdir().unwrap();
            if let Some(content) = content {
                fs::write(dir.path().join("file"), content).unwrap();
            }
            dir
        });
        if blank.is_some() {
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(dirs[1].path().join("file"), mode).unwrap();
        }
        let opened = [0, 1].map(|at| File::open(dirs[at].path()).unwrap());
        let path = TreePath::parse(b"file").unwrap();
        let inside = look_inside(opened[0].as_fd(), Some(opened[1].as_fd()), &path).unwrap();
        InsideView::new(path, inside)
    }

    fn shown(view: &mut InsideView, aspect: Aspect) -> Vec<String> {
        view.show_aspect(aspect);
        view.pane.fit_to(200, 200).iter().map(|line| line.text.clone()).collect()
    }

    #[test]
    fn a_changed_text_opens_with_its_difference() {
        let mut view = view(Some(b"a\nb\nx\x1b\n"), Some(b"a\nb\nc\n"));
        assert_eq!(view.aspect, Aspect::Difference);
        let lines = shown(&mut view, Aspect::Difference);
        assert_eq!(lines, ["@@ -1,3 +1,3 @@", " a", " b", "-c", "+x\\u{1b}"]);
        let facts = shown(&mut view, Aspect::Metadata);
        assert!(facts.contains(&"mode       0644    (blank: 0600)".to_string()), "{facts:?}");
        assert_eq!(shown(&mut view, Aspect::Text), ["a", "b", "x\\u{1b}"]);
    }

    #[test]
    fn what_is_new_gone_or_not_text_says_so() {
        let mut new = view(Some(b"\x00\x01hello"), None);
        assert_eq!(new.aspect, Aspect::Hex);
        let row = "00000000  00 01 68 65 6c 6c 6f                              |..hello|";
        assert_eq!(shown(&mut new, Aspect::Hex), [row]);
        assert!(shown(&mut new, Aspect::Difference)[0].starts_with("new since blank"));
        let mut gone = view(None, Some(b"was\n"));
        let expected = ["gone since blank; this is what blank has:", "was"];
        assert_eq!(shown(&mut gone, Aspect::Text), expected);
        let mut changed = view(Some(b"\x00ab"), Some(b"\x00ac"));
        let lines = shown(&mut changed, Aspect::Difference);
        assert_eq!(lines[1], "the first byte that differs is at 00000002:");
        assert_eq!(view(Some(b"same\n"), Some(b"same\n")).aspect, Aspect::Metadata);
        let lines = shown(&mut view(Some(b"a\nb"), Some(b"a\nb\n")), Aspect::Difference);
        assert!(lines[0].starts_with("it differs in what is shown alike"), "{lines:?}");
        assert_eq!(shown(&mut view(Some(b""), None), Aspect::Text)[1..], ["it is empty"]);
    }
}
