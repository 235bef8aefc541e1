//! How a review looks: its state as a frame of whatever size. Pure.

use anstyle::{AnsiColor, Color as AnsiOrOther, Effects};
use dirfd::path::Escaped;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::diff::diff_flat::mark_of_change;
use crate::evidence::classes::Class;
use crate::review::inside_view::{Aspect, title_of};
use crate::review::reading_pane::{ReadingPane, Tone};
use crate::review::review_app::{LIST_TOP, Mode, Prompt, PromptKind, ReviewApp};
use crate::review::review_keys::help_line;
use crate::review::review_model::{Row, SortOrder};
use crate::review::row_filter::Decision;
use crate::review::stray_tree::{Stray, StrayGroup};
use crate::ui::colours::{ALERT, GOOD, PLAIN, QUIET, STRONG};
use crate::ui::figures::{count_noun, format_count, format_size};

/// The smallest screen on which anything can be read.
const LEAST_SIZE: (u16, u16) = (20, 4);
/// Lines around the list: the title above, and below it what is selected and what keys do.
const LINES_BELOW: u16 = 2;
/// Width of a size, and of a class.
const SIZE_WIDTH: usize = 10;
const CLASS_WIDTH: usize = 9;
/// The screen that has room for a column of classes, and for decisions in words.
const WIDE_SCREEN: usize = 60;
/// Cells of a decision in words and by its first letter, with the blank behind it.
const DECISION_WIDTHS: (usize, usize) = (7, 2);

/// Draws what is to be seen; remembers how many lines the list has.
pub(crate) fn draw_review(frame: &mut Frame<'_>, app: &mut ReviewApp, paints: bool) {
    let area = frame.area();
    let mut canvas = Canvas { buffer: frame.buffer_mut(), area, paints };
    app.is_too_small = area.width < LEAST_SIZE.0 || area.height < LEAST_SIZE.1;
    if app.is_too_small {
        canvas.draw_line(
            0,
            vec![(format!("{}x{} is too small", area.width, area.height), Tone::Plain)],
        );
        return;
    }
    let height = area.height - LIST_TOP - LINES_BELOW;
    app.list_height = usize::from(height);
    match &mut app.mode {
        Mode::Reading(pane) => {
            canvas.draw_pane(pane, height);
            canvas.draw_keys(&[("↑↓", "scroll"), ("q", "back")]);
        }
        Mode::Inside(view) => {
            let aspect = view.aspect;
            canvas.draw_pane(&mut view.pane, height);
            canvas.draw_aspects(aspect);
        }
        Mode::Summary(pane, plan) => {
            canvas.draw_pane(pane, height);
            match (plan.does_something(), app.is_dry_run) {
                (true, false) => {
                    canvas.draw_keys(&[("y", "do it"), ("↑↓", "scroll"), ("Esc", "back")])
                }
                (true, true) => {
                    canvas.draw_keys(&[("y", "print it"), ("↑↓", "scroll"), ("Esc", "back")])
                }
                (false, _) => {
                    canvas.draw_keys(&[("↑↓", "scroll"), ("Esc", "back: nothing can be done")])
                }
            }
        }
        Mode::List | Mode::Typing(_) | Mode::Waiting(_) | Mode::Quitting => {
            canvas.draw_title(app);
            canvas.draw_list(app, height);
            canvas.draw_below_list(app);
        }
    }
}

/// Where everything is drawn.
struct Canvas<'b> {
    buffer: &'b mut Buffer,
    area: Rect,
    paints: bool,
}

/// Parts of a line, one after the other.
type Parts = Vec<(String, Tone)>;

impl Canvas<'_> {
    fn width(&self) -> usize {
        usize::from(self.area.width)
    }

    fn draw_line(&mut self, y: u16, parts: Parts) {
        let spans = parts.into_iter().map(|(text, tone)| Span::styled(text, self.style_of(tone)));
        let line = Line::from(spans.collect::<Vec<_>>());
        self.buffer.set_line(self.area.x, self.area.y + y, &line, self.area.width);
    }

    fn style_of(&self, tone: Tone) -> Style {
        if self.paints { convert_style(tone) } else { Style::new() }
    }

    /// `left` and `right` at the two ends of a line; what does not fit is cut off the left one.
    fn draw_both_ends(&mut self, y: u16, left: &str, right: &str, tone: Tone) {
        // A blank at each end, and one between the two.
        let room = self.width().saturating_sub(right.width() + 3);
        let left = pad_to(&keep_beginning(left, room), room);
        self.draw_line(y, vec![(format!(" {left} {right} "), tone)]);
    }

    fn draw_title(&mut self, app: &ReviewApp) {
        let tree = &app.model.tree;
        let strays = count_noun(tree.strays.len() as u64, "stray", "strays");
        let groups = count_noun(tree.groups.len() as u64, "group", "groups");
        let left = format!("{strays}, {}, in {groups}", format_size(tree.bytes()));
        let counts = app.model.count_decisions();
        let decided = Decision::ALL.iter().zip(counts).filter(|(_, count)| *count > 0);
        let decided = decided.map(|(one, count)| format!("{} {}", format_count(count), one.word()));
        let decided: Vec<_> = decided.collect();
        let right =
            if decided.is_empty() { "nothing decided".to_string() } else { decided.join(", ") };
        self.draw_both_ends(0, &left, &right, Tone::Strong);
    }

    fn draw_list(&mut self, app: &mut ReviewApp, height: u16) {
        let rows: Vec<_> = app.model.scroll_to(usize::from(height)).collect();
        for (y, (row, is_selected)) in (LIST_TOP..).zip(&rows) {
            let parts = self.parts_of_row(app, *row, *is_selected);
            self.draw_line(y, parts);
            if *is_selected {
                let area = Rect { y: self.area.y + y, height: 1, ..self.area };
                self.buffer.set_style(area, Style::new().add_modifier(Modifier::REVERSED));
            }
        }
        if rows.is_empty() {
            self.draw_line(
                LIST_TOP,
                vec![(" the filter matches nothing".to_string(), Tone::Quiet)],
            );
        }
    }

    /// Decision, fold, mark, name, class, size.
    fn parts_of_row(&self, app: &ReviewApp, row: Row, is_selected: bool) -> Parts {
        let model = &app.model;
        let is_wide = self.width() >= WIDE_SCREEN;
        let cursor = if is_selected { ">" } else { " " };
        let fold = match (model.is_foldable(row), model.is_unfolded(row)) {
            (false, _) => ' ',
            (true, true) => '▾',
            (true, false) => '▸',
        };
        let (decision, tone) = match row {
            Row::Group(_) => (None, Tone::Strong),
            Row::Stray(at) => {
                let decision = model.decision_of(at);
                let tone = match decision {
                    Some((Decision::Keep, _)) => Tone::Good,
                    Some((Decision::Forget, _)) => Tone::Alert,
                    Some((Decision::Leave, _)) => Tone::Quiet,
                    None if !model.is_match(at) => Tone::Quiet,
                    None => Tone::Plain,
                };
                (decision.map(|(decision, by)| (decision, by == at)), tone)
            }
        };
        let decision = cell_of_decision(decision, is_wide);
        let (prefix, name, class, bytes) = match row {
            Row::Group(at) => {
                let group = &model.tree.groups[at];
                (format!("{fold} "), group.title.clone(), String::new(), group.bytes)
            }
            Row::Stray(at) => {
                let stray = &model.tree.strays[at];
                let parent = stray.parent.map(|parent| &model.tree.strays[parent]);
                // However deep it lies, there is room for a name.
                let indent = "  ".repeat((stray.depth + 1).min(self.width() / 10));
                let mark = mark_of_change(stray.kind);
                let prefix = format!("{indent}{fold} {mark} ");
                (prefix, name_of(stray, parent), class_of(stray), stray.bytes)
            }
        };
        let below = match row {
            Row::Group(at) => describe_group(&model.tree.groups[at]),
            Row::Stray(at) => match model.tree.strays[at].below as u64 {
                0 => String::new(),
                below => format!(" and {} below", format_count(below)),
            },
        };
        // Those of a group stand behind its title.
        let has_class = is_wide && matches!(row, Row::Stray(_));
        let class = if has_class { format!(" {class:>CLASS_WIDTH$}") } else { String::new() };
        let size = format!(" {:>SIZE_WIDTH$}", format_size(bytes));
        let used = 1 + decision.width() + prefix.width() + class.width() + size.width() + 1;
        let room = self.width().saturating_sub(used);
        // The beginning of a title tells most, and the end of a path.
        let cut = if matches!(row, Row::Group(_)) { keep_beginning } else { keep_end };
        let (name, below) = fit_name(&name, &below, room, cut);
        vec![
            (format!("{cursor}{decision}{prefix}{name}"), tone),
            (below, if tone == Tone::Strong { Tone::Quiet } else { tone }),
            (format!("{class}{size} "), if tone == Tone::Strong { Tone::Plain } else { tone }),
        ]
    }

    fn draw_below_list(&mut self, app: &ReviewApp) {
        let y = self.area.height - LINES_BELOW;
        match &app.mode {
            Mode::Typing(Prompt { kind, text, .. }) => {
                let label = match kind {
                    PromptKind::Filter => "filter",
                    PromptKind::Search => "search",
                };
                // Its end is where one types.
                let text = Escaped(text.as_bytes()).to_string();
                let text = keep_end(&text, self.width().saturating_sub(label.len() + 4));
                self.draw_line(y, vec![(format!(" {label}: {text}▏"), Tone::Plain)]);
                match kind {
                    PromptKind::Filter => self.draw_keys(&[
                        ("Enter", "show these"),
                        ("Esc", "as before"),
                        ("also", "class:new owner:TEXT is:open"),
                    ]),
                    PromptKind::Search => self.draw_keys(&[("Enter", "find it"), ("Esc", "back")]),
                }
            }
            Mode::Waiting(what) => {
                self.draw_line(y, vec![(format!(" {what} …"), Tone::Strong)]);
                self.draw_keys(&[("Esc", "stop waiting")]);
            }
            Mode::Quitting => {
                let [keep, forget, _] = app.model.count_decisions();
                let count = count_noun(keep + forget, "decision is", "decisions are");
                self.draw_line(y, vec![(format!(" {count} not written"), Tone::Alert)]);
                self.draw_keys(&[("w", "show the plan"), ("q", "quit without"), ("Esc", "back")]);
            }
            _ => {
                self.draw_state(app, y);
                self.draw_keys(&help_line(self.width() - 1));
            }
        }
    }

    /// The message if there is one, else what is selected in full, with the filter and the order if they are not
    /// the usual ones.
    fn draw_state(&mut self, app: &ReviewApp, y: u16) {
        let mut right = Vec::new();
        if !app.model.filter_text().is_empty() {
            right.push(format!("filter: {}", Escaped(app.model.filter_text().as_bytes())));
        }
        match app.model.sort {
            SortOrder::Path => {}
            SortOrder::Size => right.push("by size".to_string()),
            SortOrder::Class => right.push("by class".to_string()),
        }
        let right = keep_beginning(&right.join(", "), self.width() / 2);
        let room = self.width().saturating_sub(right.width() + 3);
        let left = match (&app.message, app.model.selected()) {
            (Some(message), _) => keep_beginning(message, room),
            (None, Some(Row::Stray(at))) => {
                let stray = &app.model.tree.strays[at];
                let (kind, file_type) = (stray.kind.word(), stray.file_type.word());
                let facts = format!(", {file_type}, {kind}");
                let room = room.saturating_sub(facts.width());
                format!("{}{facts}", keep_end(&title_of(&stray.path), room))
            }
            (None, Some(Row::Group(at))) => {
                let title = &app.model.tree.groups[at].title;
                keep_beginning(title, room)
            }
            (None, None) => String::new(),
        };
        let tone = if app.message.is_some() { Tone::Strong } else { Tone::Quiet };
        self.draw_both_ends(y, &left, &right, tone);
    }

    fn draw_pane(&mut self, pane: &mut ReadingPane, height: u16) {
        let width = self.width().saturating_sub(2);
        let lines: Vec<_> = pane.fit_to(width, usize::from(height)).to_vec();
        let position = pane.position().unwrap_or_default();
        let room = self.width().saturating_sub(position.width() + 3);
        self.draw_both_ends(0, &keep_end(&pane.title, room), &position, Tone::Strong);
        for (y, line) in (LIST_TOP..).zip(lines) {
            self.draw_line(y, vec![(format!(" {}", line.text), line.tone)]);
        }
    }

    fn draw_keys(&mut self, keys: &[(&str, &str)]) {
        let mut parts = vec![(" ".to_string(), Tone::Plain)];
        for (at, (key, word)) in keys.iter().enumerate() {
            let gap = if at == 0 { "" } else { "  " };
            parts.push((format!("{gap}{key}"), Tone::Strong));
            parts.push((format!(" {word}"), Tone::Quiet));
        }
        self.draw_line(self.area.height - 1, parts);
    }

    fn draw_aspects(&mut self, shown: Aspect) {
        let mut parts = vec![(" ".to_string(), Tone::Plain)];
        for aspect in Aspect::ALL {
            parts.push(match aspect == shown {
                true => (format!("[{}]  ", aspect.word()), Tone::Strong),
                false => (format!("{}  ", aspect.word()), Tone::Quiet),
            });
        }
        self.draw_line(self.area.height - LINES_BELOW, parts);
        self.draw_keys(&[
            ("t h m d", "show that"),
            ("Tab", "next"),
            ("↑↓", "scroll"),
            ("q", "back"),
        ]);
    }
}

/// The decision of a row; that of a directory around it in brackets.
fn cell_of_decision(decision: Option<(Decision, bool)>, is_wide: bool) -> String {
    let width = if is_wide { DECISION_WIDTHS.0 } else { DECISION_WIDTHS.1 };
    let Some((decision, is_own)) = decision else { return " ".repeat(width) };
    let word = decision.word();
    match (is_wide, is_own) {
        (true, true) => format!("{word:<width$}"),
        (true, false) => format!("{:<width$}", "  ·"),
        (false, true) => format!("{:<width$}", word[..1].to_uppercase()),
        (false, false) => format!("{:<width$}", "·"),
    }
}

/// The path as it is read below its parent's row; a directory ends in a slash.
fn name_of(stray: &Stray, parent: Option<&Stray>) -> String {
    let slash = match stray.file_type {
        dirfd::FileType::Dir if !stray.path.is_empty() => "/",
        _ => "",
    };
    let root = if parent.is_none() { "/" } else { "" };
    format!("{root}{}{slash}", Escaped(stray.name_below(parent)))
}

/// Its class; with a plus where something below has another.
fn class_of(stray: &Stray) -> String {
    let more = if stray.has_other_classes { "+" } else { "" };
    stray.class.map(|class: Class| format!("{}{more}", class.word())).unwrap_or_default()
}

/// `  7 paths, 4 new, 3 changing`.
fn describe_group(group: &StrayGroup) -> String {
    let count = count_noun((group.end - group.first) as u64, "path", "paths");
    let classes = group.classes.as_ref().map(|classes| format!(", {classes}")).unwrap_or_default();
    format!("  {count}{classes}")
}

/// A name, which `cut` makes shorter, and what is told behind it, cut and padded to this width.
fn fit_name(
    name: &str,
    below: &str,
    room: usize,
    cut: fn(&str, usize) -> String,
) -> (String, String) {
    if name.width() + below.width() <= room {
        return (name.to_string(), pad_to(below, room - name.width()));
    }
    // Two thirds of the room are the name's, whatever is told behind it.
    let for_below = below.width().min(room / 3);
    let name = cut(name, room - for_below);
    let rest = room.saturating_sub(name.width());
    (name, pad_to(&keep_beginning(below, rest), rest))
}

/// The text if it fits, else its beginning and an ellipsis.
fn keep_beginning(text: &str, width: usize) -> String {
    match text.width() <= width {
        true => text.to_string(),
        false if width == 0 => String::new(),
        false => format!("{}…", take_width(text.chars(), width - 1)),
    }
}

/// The text if it fits, else an ellipsis and its end.
fn keep_end(text: &str, width: usize) -> String {
    match text.width() <= width {
        true => text.to_string(),
        false if width == 0 => String::new(),
        false => {
            let end: String = take_width(text.chars().rev(), width - 1).chars().rev().collect();
            format!("…{end}")
        }
    }
}

fn take_width(text: impl Iterator<Item = char>, width: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    text.take_while(fits).collect()
}

fn pad_to(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// As all other output has it.
fn convert_style(tone: Tone) -> Style {
    let style = match tone {
        Tone::Plain => PLAIN,
        Tone::Quiet => QUIET,
        Tone::Strong => STRONG,
        Tone::Good => GOOD,
        Tone::Alert => ALERT,
    };
    let color = match style.get_fg_color() {
        Some(AnsiOrOther::Ansi(AnsiColor::Green)) => Some(Color::Green),
        Some(AnsiOrOther::Ansi(AnsiColor::Red)) => Some(Color::Red),
        _ => None,
    };
    let mut converted = color.map_or(Style::new(), |color| Style::new().fg(color));
    for (effect, modifier) in [(Effects::BOLD, Modifier::BOLD), (Effects::DIMMED, Modifier::DIM)] {
        if style.get_effects().contains(effect) {
            converted = converted.add_modifier(modifier);
        }
    }
    converted
}

#[cfg(test)]
#[path = "review_screen_tests.rs"]
mod tests;
