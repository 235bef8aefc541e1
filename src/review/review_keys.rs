//! What the keys and the mouse do in a review: one table, from which the help line and the help page are made, too.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::review::row_filter::Decision;

/// What a key of the list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    MoveBy(isize),
    /// So many screens.
    PageBy(isize),
    First,
    Last,
    Unfold,
    Fold,
    ToggleFold,
    /// Toggles the fold of a group, and looks inside a stray.
    Open,
    Decide(Option<Decision>),
    Undo,
    LookInside,
    Explain,
    Filter,
    Search,
    NextMatch,
    PreviousMatch,
    Sort,
    Write,
    Help,
    Quit,
}

/// A key, or several that do the same.
#[derive(Debug)]
pub(crate) struct KeyBinding {
    /// As the help shows them.
    pub(crate) shown: &'static str,
    /// One word for the help line; empty where that has no place for it.
    pub(crate) word: &'static str,
    /// What it does, for the help page.
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [(KeyCode, Action)],
}

const KEEP: Action = Action::Decide(Some(Decision::Keep));
const FORGET: Action = Action::Decide(Some(Decision::Forget));
const LEAVE: Action = Action::Decide(Some(Decision::Leave));

/// All of them: those of the help line in the order of their importance.
pub(crate) const BINDINGS: &[KeyBinding] = &[
    KeyBinding {
        shown: "k",
        word: "keep",
        about: "keep: move it to storage, and mount it in its place",
        keys: &[(KeyCode::Char('k'), KEEP)],
    },
    KeyBinding {
        shown: "f",
        word: "forget",
        about: "forget: declare it disposable; it is never shown again",
        keys: &[(KeyCode::Char('f'), FORGET)],
    },
    KeyBinding {
        shown: "l",
        word: "leave",
        about: "leave: write nothing; it is gone at the next boot",
        keys: &[(KeyCode::Char('l'), LEAVE)],
    },
    KeyBinding {
        shown: "u",
        word: "undo",
        about: "undo the last decision, and the one before that, …",
        keys: &[(KeyCode::Char('u'), Action::Undo)],
    },
    KeyBinding {
        shown: "i",
        word: "inside",
        about: "look inside: text, hex, metadata, difference from blank",
        keys: &[(KeyCode::Char('i'), Action::LookInside)],
    },
    KeyBinding {
        shown: "e",
        word: "explain",
        about: "explain it: whose it is, what old roots had, the advice",
        keys: &[(KeyCode::Char('e'), Action::Explain)],
    },
    KeyBinding {
        shown: "w",
        word: "write",
        about: "write: show the plan, and do it once it is confirmed",
        keys: &[(KeyCode::Char('w'), Action::Write)],
    },
    KeyBinding {
        shown: "/",
        word: "search",
        about: "search for text in paths and titles",
        keys: &[(KeyCode::Char('/'), Action::Search)],
    },
    KeyBinding {
        shown: "&",
        word: "filter",
        about: "filter: only what matches (see below)",
        keys: &[(KeyCode::Char('&'), Action::Filter)],
    },
    KeyBinding {
        shown: "s",
        word: "sort",
        about: "sort by path, by size or by class",
        keys: &[(KeyCode::Char('s'), Action::Sort)],
    },
    KeyBinding {
        shown: "n N",
        word: "",
        about: "the next or the previous match of the search",
        keys: &[
            (KeyCode::Char('n'), Action::NextMatch),
            (KeyCode::Char('N'), Action::PreviousMatch),
        ],
    },
    KeyBinding {
        shown: "c",
        word: "",
        about: "clear: take the decision about this one back",
        keys: &[
            (KeyCode::Char('c'), Action::Decide(None)),
            (KeyCode::Delete, Action::Decide(None)),
        ],
    },
    KeyBinding {
        shown: "↑ ↓ PgUp PgDn",
        word: "",
        about: "move (also Home and End)",
        keys: &[
            (KeyCode::Up, Action::MoveBy(-1)),
            (KeyCode::Down, Action::MoveBy(1)),
            (KeyCode::PageUp, Action::PageBy(-1)),
            (KeyCode::PageDown, Action::PageBy(1)),
            (KeyCode::Home, Action::First),
            (KeyCode::End, Action::Last),
        ],
    },
    KeyBinding {
        shown: "→ ← Space",
        word: "",
        about: "unfold, fold, toggle",
        keys: &[
            (KeyCode::Right, Action::Unfold),
            (KeyCode::Left, Action::Fold),
            (KeyCode::Char(' '), Action::ToggleFold),
        ],
    },
    KeyBinding {
        shown: "Enter",
        word: "",
        about: "unfold a group, look inside anything else",
        keys: &[(KeyCode::Enter, Action::Open)],
    },
    KeyBinding {
        shown: "?",
        word: "help",
        about: "this page",
        keys: &[(KeyCode::Char('?'), Action::Help), (KeyCode::F(1), Action::Help)],
    },
    KeyBinding {
        shown: "q",
        word: "quit",
        about: "quit without writing (also Esc, Ctrl-C)",
        keys: &[(KeyCode::Char('q'), Action::Quit), (KeyCode::Esc, Action::Quit)],
    },
];

/// How many bindings at the end of the help line are never left out of it.
const ALWAYS_SHOWN: usize = 2;

/// Whether it is Ctrl-C, which ends whatever is going on.
pub(crate) fn is_interrupt(key: KeyEvent) -> bool {
    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// Whether a key is pressed without those that make another one of it.
pub(crate) fn is_plain(key: KeyEvent) -> bool {
    !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
}

/// What a key does in the list.
pub(crate) fn action_of(key: KeyEvent) -> Option<Action> {
    if is_interrupt(key) {
        return Some(Action::Quit);
    }
    if !is_plain(key) {
        return None;
    }
    let mut all = BINDINGS.iter().flat_map(|binding| binding.keys);
    all.find(|(code, _)| *code == key.code).map(|(_, action)| *action)
}

/// The help line: as many keys with their words as fit, help and the way out among them.
pub(crate) fn help_line(width: usize) -> Vec<(&'static str, &'static str)> {
    let named = BINDINGS.iter().filter(|binding| !binding.word.is_empty());
    let mut all: Vec<_> = named.map(|binding| (binding.shown, binding.word)).collect();
    let taken = |shown: &[(&str, &str)]| -> usize {
        shown.iter().map(|(key, word)| key.chars().count() + word.len() + 3).sum::<usize>()
    };
    while taken(&all) > width + 2 && all.len() > ALWAYS_SHOWN {
        all.remove(all.len() - ALWAYS_SHOWN - 1);
    }
    all
}

/// The help page.
pub(crate) fn help_page() -> Vec<String> {
    let keys = BINDINGS.iter().map(|binding| format!("{:<13}  {}", binding.shown, binding.about));
    let filter = [
        "",
        "A decision about a directory is about all that is in it, which then has a dot.",
        "About a group it is about each of its strays that the filter shows.",
        "A plus behind a class: something below has another class.",
        "",
        "A filter is text that the path has; of several words, all. These ask for more:",
        "class:new class:some class:changing class:same   what old roots tell of it",
        "owner:TEXT                                       the title of its group",
        "is:open is:keep is:forget is:leave               what is decided",
        "",
        "Marks: + added, ~ modified, - removed, ! another file type,",
        "m another owner, mode or attribute.",
    ];
    keys.chain(filter.map(str::to_string)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_stands_for_two_things() {
        let mut codes: Vec<String> = BINDINGS
            .iter()
            .flat_map(|binding| binding.keys)
            .map(|(code, _)| format!("{code:?}"))
            .collect();
        let count = codes.len();
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    #[test]
    fn control_and_alt_make_another_key_of_it() {
        let key = |code, modifiers| action_of(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('k'), KeyModifiers::NONE), Some(KEEP));
        assert_eq!(key(KeyCode::Char('N'), KeyModifiers::SHIFT), Some(Action::PreviousMatch));
        assert_eq!(key(KeyCode::Char('k'), KeyModifiers::CONTROL), None);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Action::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Some(Action::Decide(None)));
    }

    #[test]
    fn the_help_line_fits_and_always_has_the_way_out() {
        for width in [10, 20, 40, 80, 200] {
            let line = help_line(width);
            let text: Vec<_> = line.iter().map(|(key, word)| format!("{key} {word}")).collect();
            let text = text.join("  ");
            assert!(width < 20 || text.chars().count() <= width, "{text}");
            assert!(text.ends_with("? help  q quit"), "{text}");
        }
        assert!(help_line(200).len() > help_line(80).len());
    }
}
