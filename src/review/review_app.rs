//! What keys and clicks do in a review, and what they ask for that needs more than its state. Pure.

use dirfd::TreePath;
use dirfd::path::Escaped;
use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind,
};

use crate::review::inside_view::{Aspect, InsideView};
use crate::review::look_inside::Inside;
use crate::review::reading_pane::{PaneLine, ReadingPane, Tone};
use crate::review::review_keys::{Action, action_of, help_page, is_interrupt, is_plain};
use crate::review::review_model::{ReviewModel, Row};
use crate::review::review_plan::{DecidedPaths, ReviewPlan};
use crate::review::row_filter::Decision;

/// What has the keys.
#[derive(Debug)]
pub(crate) enum Mode {
    List,
    /// A line is typed.
    Typing(Prompt),
    /// The help, or an explanation.
    Reading(ReadingPane),
    Inside(Box<InsideView>),
    /// A job is under way, which this says.
    Waiting(&'static str),
    /// The plan, which waits to be confirmed.
    Summary(ReadingPane, Box<ReviewPlan>),
    /// Whether decisions may be lost.
    Quitting,
}

/// A line that is typed.
#[derive(Debug)]
pub(crate) struct Prompt {
    pub(crate) kind: PromptKind,
    pub(crate) text: String,
    /// The filter that there was.
    before: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PromptKind {
    Filter,
    Search,
}

/// What a key asks of those who can look at a disk.
#[derive(Debug)]
pub(crate) enum Effect {
    None,
    /// Show what a path holds.
    LookInside(TreePath),
    /// Start the job that explains a path.
    Explain(TreePath),
    /// Start the job that plans what was decided.
    Plan(DecidedPaths),
    /// Nobody waits for the job any more.
    CancelJob,
    /// Do what was planned.
    Execute(Box<ReviewPlan>),
    /// Write nothing.
    Quit,
}

/// The state of the whole view.
#[derive(Debug)]
pub(crate) struct ReviewApp {
    pub(crate) model: ReviewModel,
    pub(crate) mode: Mode,
    /// What there is to tell until the next key.
    pub(crate) message: Option<String>,
    searched: String,
    /// Lines of the list that fit on the screen.
    pub(crate) list_height: usize,
    /// Whether nothing can be read on the screen, so that no key may decide anything.
    pub(crate) is_too_small: bool,
    /// Whether the plan is printed instead of done.
    pub(crate) is_dry_run: bool,
}

/// Rows that the wheel of a mouse moves by.
const WHEEL_ROWS: isize = 3;
/// The line of the screen on which the list begins.
pub(crate) const LIST_TOP: u16 = 1;

impl ReviewApp {
    pub(crate) fn new(model: ReviewModel, is_dry_run: bool) -> Self {
        Self {
            model,
            mode: Mode::List,
            message: None,
            searched: String::new(),
            list_height: 1,
            is_too_small: false,
            is_dry_run,
        }
    }

    pub(crate) fn press_key(&mut self, key: KeyEvent) -> Effect {
        if key.kind == KeyEventKind::Release || (self.is_too_small && !is_interrupt(key)) {
            return Effect::None;
        }
        self.message = None;
        match &mut self.mode {
            Mode::List => match action_of(key) {
                Some(action) => self.run_action(action),
                None => Effect::None,
            },
            Mode::Typing(_) => self.type_key(key),
            Mode::Reading(pane) => {
                if leads_back(key) || !scroll_by_key(pane, key) && key.code == KeyCode::Char('?') {
                    self.mode = Mode::List;
                }
                Effect::None
            }
            Mode::Inside(view) => {
                match key.code {
                    _ if leads_back(key) => self.mode = Mode::List,
                    KeyCode::Char('i') => self.mode = Mode::List,
                    KeyCode::Tab => view.show_next(),
                    KeyCode::Char(c) if Aspect::of_key(c).is_some() => {
                        Aspect::of_key(c).into_iter().for_each(|aspect| view.show_aspect(aspect));
                    }
                    _ => drop(scroll_by_key(&mut view.pane, key)),
                }
                Effect::None
            }
            Mode::Waiting(_) if leads_back(key) => {
                self.mode = Mode::List;
                Effect::CancelJob
            }
            Mode::Waiting(_) => Effect::None,
            Mode::Summary(..) => self.answer_summary(key),
            Mode::Quitting => self.answer_quitting(key),
        }
    }

    /// A click selects a row, and a click on the selected one opens it; the wheel moves.
    pub(crate) fn use_mouse(&mut self, event: MouseEvent) -> Effect {
        let wheel = match event.kind {
            MouseEventKind::ScrollDown => WHEEL_ROWS,
            MouseEventKind::ScrollUp => -WHEEL_ROWS,
            _ => 0,
        };
        match (&mut self.mode, event.kind) {
            (Mode::List, MouseEventKind::Down(MouseButton::Left)) => {
                let line = usize::from(event.row).checked_sub(usize::from(LIST_TOP));
                let line = line.filter(|line| *line < self.list_height);
                if line.and_then(|line| self.model.select_line(line)) == Some(true) {
                    self.model.toggle_fold();
                }
            }
            (Mode::List, _) if wheel != 0 => self.model.move_by(wheel),
            (Mode::Reading(pane) | Mode::Summary(pane, _), _) => pane.scroll_by(wheel),
            (Mode::Inside(view), _) => view.pane.scroll_by(wheel),
            _ => {}
        }
        Effect::None
    }

    fn run_action(&mut self, action: Action) -> Effect {
        let page = self.list_height.saturating_sub(1).max(1).cast_signed();
        match action {
            Action::MoveBy(rows) => self.model.move_by(rows),
            Action::PageBy(pages) => self.model.move_by(pages.saturating_mul(page)),
            Action::First => self.model.move_by(isize::MIN),
            Action::Last => self.model.move_by(isize::MAX),
            Action::Unfold => self.model.unfold_or_enter(),
            Action::Fold => self.model.fold_or_leave(),
            Action::ToggleFold => self.model.toggle_fold(),
            Action::Open if matches!(self.model.selected(), Some(Row::Group(_))) => {
                self.model.toggle_fold();
            }
            Action::Decide(decision) => self.message = self.model.decide_selected(decision),
            Action::Undo => self.message = Some(self.model.undo_last()),
            Action::Open | Action::LookInside => {
                if let Some(path) = self.selected_path("look inside") {
                    return Effect::LookInside(path);
                }
            }
            Action::Explain => {
                if let Some(path) = self.selected_path("explain") {
                    self.mode = Mode::Waiting("asking the old roots");
                    return Effect::Explain(path);
                }
            }
            Action::Filter => self.start_typing(PromptKind::Filter),
            Action::Search => self.start_typing(PromptKind::Search),
            Action::NextMatch => self.search_rows(true, false),
            Action::PreviousMatch => self.search_rows(true, true),
            Action::Sort => self.model.sort_by_next(),
            Action::Write => return self.start_plan(),
            Action::Help => {
                let lines = help_page().into_iter().map(PaneLine::plain).collect();
                self.mode = Mode::Reading(ReadingPane::new("Keys of the list", lines));
            }
            Action::Quit => return self.ask_to_quit(),
        }
        Effect::None
    }

    /// The path of the selected stray; says what has none.
    fn selected_path(&mut self, what: &str) -> Option<TreePath> {
        let path = self.model.selected_stray().map(|stray| stray.path.clone());
        if path.is_none() {
            self.message = Some(format!("a group is no path to {what}: unfold it with →"));
        }
        path.map(TreePath::from_clean)
    }

    fn ask_to_quit(&mut self) -> Effect {
        if !self.model.filter_text().is_empty() {
            self.model.set_filter("");
            self.message = Some("the filter is off; q quits".to_string());
        } else if self.model.has_changes() {
            self.mode = Mode::Quitting;
        } else {
            return Effect::Quit;
        }
        Effect::None
    }

    fn answer_quitting(&mut self, key: KeyEvent) -> Effect {
        match key.code {
            _ if is_interrupt(key) => return Effect::Quit,
            // What is pressed right after Esc may come as one key with Alt.
            _ if !is_plain(key) => {}
            KeyCode::Char('q' | 'y') => return Effect::Quit,
            KeyCode::Char('w') => return self.start_plan(),
            KeyCode::Esc | KeyCode::Char('n') => self.mode = Mode::List,
            _ => {}
        }
        Effect::None
    }

    // What is typed.

    fn start_typing(&mut self, kind: PromptKind) {
        let before = self.model.filter_text().to_string();
        let text = match kind {
            PromptKind::Filter => before.clone(),
            PromptKind::Search => String::new(),
        };
        self.mode = Mode::Typing(Prompt { kind, text, before });
    }

    fn type_key(&mut self, key: KeyEvent) -> Effect {
        let Mode::Typing(prompt) = &mut self.mode else { return Effect::None };
        let (kind, before) = (prompt.kind, prompt.before.clone());
        match key.code {
            _ if is_interrupt(key) || key.code == KeyCode::Esc => {
                if kind == PromptKind::Filter {
                    self.model.set_filter(&before);
                }
                self.mode = Mode::List;
            }
            KeyCode::Enter => self.finish_typing(),
            KeyCode::Backspace => {
                prompt.text.pop();
                self.show_typed();
            }
            KeyCode::Char(c) if !c.is_control() && is_plain(key) => {
                prompt.text.push(c);
                self.show_typed();
            }
            _ => {}
        }
        Effect::None
    }

    /// Text that was pasted is no keys.
    pub(crate) fn paste_text(&mut self, text: &str) -> Effect {
        if let Mode::Typing(prompt) = &mut self.mode {
            prompt.text.extend(text.chars().filter(|c| !c.is_control()));
            self.show_typed();
        }
        Effect::None
    }

    /// A filter shows at once what it leaves.
    fn show_typed(&mut self) {
        if let Mode::Typing(Prompt { kind: PromptKind::Filter, text, .. }) = &self.mode {
            self.model.set_filter(text);
        }
    }

    fn finish_typing(&mut self) {
        if let Mode::Typing(prompt) = std::mem::replace(&mut self.mode, Mode::List)
            && prompt.kind == PromptKind::Search
        {
            self.searched = prompt.text;
            self.search_rows(false, false);
        }
    }

    fn search_rows(&mut self, another: bool, backwards: bool) {
        if self.searched.is_empty() {
            self.message = Some("nothing to search for: / asks for it".to_string());
        } else if !self.model.select_match(&self.searched, another, backwards) {
            self.message = Some(format!("no path has `{}`", Escaped(self.searched.as_bytes())));
        }
    }

    // The plan.

    fn start_plan(&mut self) -> Effect {
        let paths = |decision| {
            let decided = self.model.decided(decision);
            decided.map(|path| TreePath::from_clean(path.to_vec())).collect()
        };
        let decided = DecidedPaths { keep: paths(Decision::Keep), forget: paths(Decision::Forget) };
        if decided == DecidedPaths::default() {
            self.mode = Mode::List;
            self.message = Some("nothing to write: decide with k or f first".to_string());
            return Effect::None;
        }
        self.mode = Mode::Waiting("planning");
        Effect::Plan(decided)
    }

    fn answer_summary(&mut self, key: KeyEvent) -> Effect {
        let Mode::Summary(pane, plan) = &mut self.mode else { return Effect::None };
        if leads_back(key) || key.code == KeyCode::Char('n') {
            self.mode = Mode::List;
        } else if key.code == KeyCode::Char('y') && is_plain(key) && plan.does_something() {
            let looking = Mode::Waiting("looking at it once more");
            if let Mode::Summary(_, plan) = std::mem::replace(&mut self.mode, looking) {
                return Effect::Execute(plan);
            }
        } else {
            scroll_by_key(pane, key);
        }
        Effect::None
    }

    // What those who look at a disk found.

    pub(crate) fn show_plan(&mut self, title: &str, plan: Box<ReviewPlan>) {
        let lines = plan.to_string();
        let mut refused = false;
        let lines = lines.lines().map(|line| {
            let is_title = line.ends_with(':') && line.starts_with(|c: char| c.is_uppercase());
            refused |= is_title && line.starts_with("Not done");
            PaneLine::new(
                line,
                match (is_title, refused) {
                    (true, _) => Tone::Strong,
                    (false, true) => Tone::Alert,
                    (false, false) => Tone::Plain,
                },
            )
        });
        let pane = ReadingPane::new(title, lines.collect());
        self.mode = Mode::Summary(pane, plan);
    }

    pub(crate) fn show_inside(&mut self, path: TreePath, inside: Inside) {
        self.mode = Mode::Inside(Box::new(InsideView::new(path, inside)));
    }

    pub(crate) fn show_explanation(&mut self, text: &str) {
        let mut lines = text.lines().map(PaneLine::plain);
        let title = lines.next().map(|line| line.text).unwrap_or_default();
        self.mode = Mode::Reading(ReadingPane::new(title, lines.collect()));
    }

    /// Goes back to the list with what could not be done.
    pub(crate) fn show_problem(&mut self, title: &str, problem: &str) {
        let lines = problem.lines().map(|line| PaneLine::new(line, Tone::Alert)).collect();
        self.mode = Mode::Reading(ReadingPane::new(title, lines));
    }
}

/// Whether a key leads back.
fn leads_back(key: KeyEvent) -> bool {
    is_interrupt(key) || matches!(key.code, KeyCode::Esc | KeyCode::Char('q'))
}

/// Scrolls, if the key is for that.
fn scroll_by_key(pane: &mut ReadingPane, key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Up => pane.scroll_by(-1),
        KeyCode::Down | KeyCode::Enter => pane.scroll_by(1),
        KeyCode::PageUp => pane.page_by(-1),
        KeyCode::PageDown | KeyCode::Char(' ') => pane.page_by(1),
        KeyCode::Home => pane.scroll_by(isize::MIN),
        KeyCode::End => pane.scroll_by(isize::MAX),
        _ => return false,
    }
    true
}
