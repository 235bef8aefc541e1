use super::*;
use crate::evidence::classes::Class;
use crate::review::review_app::Effect;
use crate::review::review_model::ReviewModel;
use crate::review::stray_tree::tests::loose_group;
use crate::review::stray_tree::{LooseGroup, StrayTree};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use std::time::{Duration, Instant};

const LONG: &[u8] =
    b"srv/a/very/deep/directory/with/a/long/path/that/does/not/fit/in-eighty-columns.txt";

fn example_groups() -> Vec<LooseGroup> {
    let alice: [&[u8]; 6] = [
        b"home/alice/",
        b"home/alice/.ssh/",
        b"home/alice/.ssh/id_ed25519",
        "home/alice/日本語.md".as_bytes(),
        b"home/alice/caf\xe9.txt",
        "home/alice/evil\x1b[31m\n\u{202e}gpj.exe".as_bytes(),
    ];
    let mut alice = loose_group("user alice", &alice);
    alice.members[2].class = Some(Class::Changing);
    alice.members[3].bytes = 5 << 20;
    let mut packages = loose_group("1 package installed: jq", &[b"usr/bin/jq"]);
    packages.is_told_by_title = true;
    vec![packages, alice, loose_group("of nobody that is known", &[LONG])]
}

fn app() -> ReviewApp {
    ReviewApp::new(ReviewModel::new(StrayTree::new(example_groups())), false)
}

fn press(app: &mut ReviewApp, keys: &[KeyCode]) {
    for key in keys {
        drop(app.press_key(KeyEvent::new(*key, KeyModifiers::NONE)));
    }
}

fn type_text(app: &mut ReviewApp, text: &str) {
    text.chars().for_each(|c| press(app, &[KeyCode::Char(c)]));
}

fn render(app: &mut ReviewApp, width: u16, height: u16, paints: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw_review(frame, app, paints)).unwrap();
    terminal.backend().buffer().clone()
}

/// The lines of the screen without blanks at their ends.
fn screen(app: &mut ReviewApp, width: u16, height: u16) -> Vec<String> {
    let buffer = render(app, width, height, true);
    let mut lines = Vec::new();
    for y in 0..height {
        let (mut line, mut skip) = (String::new(), 0);
        for x in 0..width {
            let symbol = buffer[(x, y)].symbol();
            // Behind a wide character stands an empty cell.
            if skip > 0 {
                skip -= 1;
                continue;
            }
            line.push_str(symbol);
            skip = symbol.width().saturating_sub(1);
        }
        lines.push(line.trim_end().to_string());
    }
    lines
}

#[test]
fn groups_strays_decisions_classes_and_sizes_stand_in_columns() {
    let mut app = app();
    press(&mut app, &[KeyCode::Down, KeyCode::Down, KeyCode::Right, KeyCode::Down]);
    press(&mut app, &[KeyCode::Char('k'), KeyCode::Char('f')]);
    let lines = screen(&mut app, 80, 24);
    let expected = [
        " 8 strays, 5.0 MiB, in 3 groups                                1 keep, 1 forget",
        "        ▸ 1 package installed: jq  1 path, new                             10 B",
        "        ▾ user alice  6 paths, 5 new, 1 changing                        5.0 MiB",
        "          ▾ + /home/alice/ and 5 below                          new+    5.0 MiB",
        " keep       ▸ + .ssh/ and 1 below                               new+       10 B",
        " forget       + caf\\xe9.txt                                      new       10 B",
        ">             + evil\\u{1b}[31m\\n\\u{202e}gpj.exe                  new       10 B",
        "              + 日本語.md                                        new    5.0 MiB",
        "        ▾ of nobody that is known  1 path, new                             10 B",
        "            + …ath/that/does/not/fit/in-eighty-columns.txt       new       10 B",
    ];
    assert_eq!(lines[..10], expected, "{lines:#?}");
    assert_eq!(lines[22], " /home/alice/evil\\u{1b}[31m\\n\\u{202e}gpj.exe, file, added");
    assert_eq!(
        lines[23],
        " k keep  f forget  l leave  u undo  i inside  e explain  w write  ? help  q quit"
    );
}

#[test]
fn a_small_screen_has_less_and_the_smallest_says_so() {
    let mut app = app();
    press(&mut app, &[KeyCode::Down, KeyCode::Down, KeyCode::Char('k'), KeyCode::Char('k')]);
    let lines = screen(&mut app, 40, 10);
    let expected = [
        " 8 strays, 5.0 MiB, in 3 groups  2 keep",
        "   ▸ 1 package insta…  1 pa…       10 B",
        "   ▾ user alice  6 paths, 5…    5.0 MiB",
        " K   ▸ + /home/alice/ and 5…    5.0 MiB",
        ">  ▾ of nobody that …  1 pa…       10 B",
        " K     + …eighty-columns.txt       10 B",
        "",
        "",
        " of nobody that is known",
        " k keep  f forget  ? help  q quit",
    ];
    assert_eq!(lines, expected, "{lines:#?}");
    assert_eq!(screen(&mut app, 18, 3)[0], "18x3 is too small");
    // From any size to any other, no row is drawn outside.
    for (width, height) in [(20, 4), (59, 5), (60, 24), (200, 60), (80, 24), (21, 100)] {
        screen(&mut app, width, height);
    }
}

#[test]
fn without_colour_no_cell_has_one_and_everything_is_said_in_words() {
    let mut app = app();
    press(&mut app, &[KeyCode::Down, KeyCode::Down, KeyCode::Char('k'), KeyCode::Down]);
    let bare = render(&mut app, 80, 24, false);
    for cell in bare.content() {
        assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
        assert!((cell.modifier - Modifier::REVERSED).is_empty(), "{cell:?}");
    }
    let painted = render(&mut app, 80, 24, true);
    assert!(painted.content().iter().any(|cell| cell.fg == Color::Green));
    // Paint changes no letter.
    let symbols = |buffer: &Buffer| {
        buffer.content().iter().map(|cell| cell.symbol().to_string()).collect::<String>()
    };
    assert_eq!(symbols(&bare), symbols(&painted));
}

#[test]
fn no_name_steers_the_terminal_whatever_is_shown() {
    let mut app = app();
    for key in ['/', '&', '?'] {
        type_text(&mut app, &key.to_string());
        type_text(&mut app, "a\u{202e}\u{1b}b");
        for line in screen(&mut app, 80, 24) {
            assert!(!line.contains(['\u{1b}', '\u{202e}', '\n']), "{line:?}");
        }
        press(&mut app, &[KeyCode::Esc]);
    }
    press(&mut app, &[KeyCode::End, KeyCode::Home, KeyCode::Down, KeyCode::Down, KeyCode::Right]);
    for _ in 0..10 {
        press(&mut app, &[KeyCode::Down]);
        for line in screen(&mut app, 80, 24) {
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
        }
    }
}

#[test]
fn a_filter_shows_at_once_what_it_leaves_and_escape_brings_back_what_was() {
    let mut app = app();
    type_text(&mut app, "&ssh");
    let lines = screen(&mut app, 80, 24);
    assert_eq!(lines[22], " filter: ssh▏");
    assert!(lines[1].contains("user alice") && lines[3].contains(".ssh/"), "{lines:#?}");
    press(&mut app, &[KeyCode::Backspace, KeyCode::Backspace, KeyCode::Backspace]);
    type_text(&mut app, "xyz");
    assert_eq!(screen(&mut app, 80, 24)[1], " the filter matches nothing");
    press(&mut app, &[KeyCode::Esc]);
    assert!(screen(&mut app, 80, 24)[1].contains("1 package installed"));
    type_text(&mut app, "&class:changing");
    press(&mut app, &[KeyCode::Enter]);
    let lines = screen(&mut app, 80, 24);
    assert!(lines[22].ends_with("filter: class:changing"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("id_ed25519")), "{lines:#?}");
    // The way out takes the filter away first.
    assert!(matches!(
        app.press_key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)),
        crate::review::review_app::Effect::None
    ));
    assert_eq!(app.model.filter_text(), "");
}

#[test]
fn a_search_says_what_it_does_not_find() {
    let mut app = app();
    type_text(&mut app, "/id_ed");
    press(&mut app, &[KeyCode::Enter]);
    assert_eq!(screen(&mut app, 80, 24)[22], " /home/alice/.ssh/id_ed25519, file, added");
    type_text(&mut app, "/nowhere");
    press(&mut app, &[KeyCode::Enter]);
    assert_eq!(screen(&mut app, 80, 24)[22], " no path has `nowhere`");
    type_text(&mut app, "sn");
    assert!(screen(&mut app, 80, 24)[22].ends_with("by size"));
}

#[test]
fn a_click_selects_and_the_wheel_moves() {
    let mut app = app();
    screen(&mut app, 80, 24);
    let mouse = |kind, row| MouseEvent { kind, column: 5, row, modifiers: KeyModifiers::NONE };
    let click = MouseEventKind::Down(MouseButton::Left);
    app.use_mouse(mouse(click, 3));
    assert!(screen(&mut app, 80, 24)[3].starts_with('>'));
    // A second click unfolds.
    app.use_mouse(mouse(click, 3));
    assert!(screen(&mut app, 80, 24)[4].contains(".ssh/"));
    for row in [0, 20, 22, 23, 500] {
        app.use_mouse(mouse(click, row));
        assert!(screen(&mut app, 80, 24)[3].starts_with('>'), "{row}");
    }
    app.use_mouse(mouse(MouseEventKind::ScrollDown, 3));
    assert!(screen(&mut app, 80, 24)[6].starts_with('>'));
}

#[test]
fn who_quits_with_decisions_is_asked() {
    use crate::review::review_app::Effect;
    let key = |code| KeyEvent::new(KeyCode::Char(code), KeyModifiers::NONE);
    let mut app = app();
    assert!(matches!(app.press_key(key('q')), Effect::Quit));
    app.mode = Mode::List;
    press(&mut app, &[KeyCode::Down, KeyCode::Down, KeyCode::Char('k')]);
    assert!(matches!(app.press_key(key('q')), Effect::None));
    assert_eq!(screen(&mut app, 80, 24)[22], " 1 decision is not written");
    press(&mut app, &[KeyCode::Esc]);
    assert!(matches!(app.mode, Mode::List));
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(matches!(app.press_key(interrupt), Effect::None));
    assert!(matches!(app.press_key(key('q')), Effect::Quit));
    // Only to leave something is no decision that could be lost.
    let mut app = self::app();
    press(&mut app, &[KeyCode::Down, KeyCode::Down, KeyCode::Char('l')]);
    assert!(matches!(app.press_key(key('q')), Effect::Quit));
}

#[test]
fn no_key_decides_on_a_screen_that_is_too_small_and_pasted_text_is_no_keys() {
    let mut app = app();
    screen(&mut app, 10, 2);
    press(&mut app, &[KeyCode::Char('k'), KeyCode::Char('q')]);
    screen(&mut app, 80, 24);
    assert_eq!((app.model.count_decisions(), app.model.has_changes()), ([0, 0, 0], false));
    assert!(matches!(app.paste_text("kfw"), Effect::None));
    assert!(!app.model.has_changes() && matches!(app.mode, Mode::List));
    press(&mut app, &[KeyCode::Char('&')]);
    app.paste_text("ali\nce");
    assert_eq!(app.model.filter_text(), "alice");
}

#[test]
fn a_key_with_alt_or_control_is_no_answer() {
    let mut app = app();
    press(&mut app, &[KeyCode::Char('k'), KeyCode::Char('q')]);
    for modifiers in [KeyModifiers::ALT, KeyModifiers::CONTROL] {
        for key in ['q', 'y', 'w', 'n'] {
            let effect = app.press_key(KeyEvent::new(KeyCode::Char(key), modifiers));
            assert!(matches!((effect, &app.mode), (Effect::None, Mode::Quitting)), "{key}");
        }
    }
    assert!(matches!(app.press_key(KeyEvent::from(KeyCode::Char('q'))), Effect::Quit));
}

#[test]
fn the_help_page_fits_into_eighty_columns() {
    let mut app = app();
    press(&mut app, &[KeyCode::Char('?')]);
    let wide = screen(&mut app, 200, 60);
    assert!(wide.iter().all(|line| line.width() <= 80), "{wide:#?}");
    assert!(wide.iter().any(|line| line.contains("l              leave")), "{wide:#?}");
}

/// A hundred thousand strays that lie in no other one, and as many keys as a reader presses: how long each took until
/// the screen was drawn. Built without optimisation it is ten times slower than what is shipped.
#[test]
fn a_hundred_thousand_strays_keep_nobody_waiting() {
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 50 });
    let paths: Vec<Vec<u8>> = (0..100_000_u32)
        .map(|number| format!("srv/{:03}/some/where/{number:06}", number % 997).into_bytes())
        .collect();
    let paths: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
    let groups = paths.chunks(paths.len() / 8).map(|paths| loose_group("user alice", paths));
    let mut app = ReviewApp::new(ReviewModel::new(StrayTree::new(groups)), false);
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let mut slowest = (Duration::ZERO, "");
    let mut timed = |app: &mut ReviewApp, what, keys: &str| {
        for key in keys.chars() {
            let key = match key {
                '\n' => KeyCode::Enter,
                '>' => KeyCode::End,
                '<' => KeyCode::Home,
                key => KeyCode::Char(key),
            };
            let started = Instant::now();
            press(app, &[key]);
            terminal.draw(|frame| draw_review(frame, app, true)).unwrap();
            let took = started.elapsed();
            println!("{what} {key:?}: {took:?}");
            slowest = slowest.max((took, what));
        }
    };
    timed(&mut app, "end", "><");
    timed(&mut app, "keep a group", "k");
    timed(&mut app, "forget one", ">f");
    timed(&mut app, "undo", "uu");
    timed(&mut app, "fold", "<  ");
    timed(&mut app, "search", "/where/099998\nnN");
    timed(&mut app, "search for nothing", "/nowhere at all\nn");
    timed(&mut app, "filter", "&class:new 99\n");
    timed(&mut app, "decide what is filtered", "<k>luu");
    timed(&mut app, "sort", "sss");
    assert!(slowest.0 < limit, "{slowest:?}");
}
