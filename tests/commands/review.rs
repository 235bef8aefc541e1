//! `review` in a real terminal, on a real Btrfs.

use std::time::{Duration, Instant};
use std::{fs, thread};

use dirfd::private_namespace::MountPoint;
use support::oracle;

use crate::keep::on_persistent;
use crate::machine::{Machine, on_initialised};
use crate::terminal::Terminal;

const SIZE: (u16, u16) = (80, 24);

/// A machine with a storage, something of a package, of a unit and of a user, and a file that blank has otherwise.
fn on_used_machine(story: impl FnOnce(&mut Machine<'_>, &MountPoint) + Send) {
    if !Terminal::is_there() {
        return;
    }
    on_persistent(|machine, storage| {
        machine.install_jq();
        machine.write("var/lib/jq/modules", "what somebody wrote for it");
        let unit = "[Service]\nExecStart=/bin/orders\nStateDirectory=orders\n";
        machine.write("etc/systemd/system/orders.service", unit);
        for number in 0..3 {
            machine.write(&format!("var/lib/orders/{number}.db"), "an order");
        }
        machine.write("etc/conf.d/07.conf", "one\ntwo\nthe third\n");
        machine.write("home/alice/evil\u{1b}[31m\u{202e}name", "?");
        story(machine, storage);
    });
}

fn review(machine: &Machine<'_>, more: &[&str]) -> Terminal {
    let words = machine.words(&[&["review"][..], more].concat());
    Terminal::start(&words, &["TERM=tmux-256color"], SIZE)
}

fn config(machine: &Machine<'_>) -> String {
    fs::read_to_string(machine.live().join("etc/blankroot.toml")).unwrap()
}

/// All that could be written to: both trees, and the configuration in one of them.
fn everything(machine: &Machine<'_>) -> [oracle::Tree; 2] {
    ["root", "persist"].map(|tree| oracle::walk(&machine.top().join(tree)))
}

/// Goes to the row of a path by a search for it.
fn find(terminal: &Terminal, path: &str) {
    terminal.press(&["/"]);
    terminal.wait_for(&["search:"]);
    terminal.type_text(path);
    terminal.press(&["Enter"]);
    terminal.wait_until(path, |screen| {
        screen.lines().any(|line| line.starts_with(&format!(" /{path}, ")))
    });
}

#[test]
fn what_is_decided_on_the_screen_is_shown_as_a_plan_and_done_once_it_is_confirmed() {
    on_used_machine(|machine, _| {
        let (before, text) = (everything(machine), config(machine));
        let terminal = review(machine, &[]);
        let screen = terminal.wait_for(&["package jq", "unit orders.service", "? help  q quit"]);
        assert!(screen.contains("of nobody that is known"), "{screen}");
        assert!(screen.contains("nothing decided"), "{screen}");

        find(&terminal, "srv/notes");
        terminal.press(&["k"]);
        terminal.wait_for(&["keep ", "1 keep"]);
        find(&terminal, "var/lib/orders");
        terminal.press(&["f"]);
        terminal.wait_for(&["1 keep, 1 forget"]);
        // One too many, and back.
        find(&terminal, "etc/conf.d/07.conf");
        terminal.press(&["f"]);
        terminal.wait_for(&["1 keep, 2 forget"]);
        terminal.press(&["u"]);
        terminal.wait_for(&["1 keep, 1 forget", "undone: 1 decision"]);

        // What is to be kept by then shows neither in the tree nor in the configuration.
        terminal.press(&["w"]);
        let summary = terminal.wait_for(&["The plan: nothing is written yet", "y do it"]);
        let dry = ["forget", "keep"].map(|command| {
            let path = if command == "keep" { "/srv/notes" } else { "/var/lib/orders" };
            machine.run(&[command, "--dry-run", path]).expect(0).out
        });
        for line in dry.iter().flat_map(|text| text.lines()) {
            for part in line.as_bytes().chunks(40).map(String::from_utf8_lossy) {
                let words = part.split(' ').filter(|word| word.len() > 3 && word.len() < 20);
                words.for_each(|word| {
                    assert!(summary.contains(word), "{word} of {line}\n{summary}")
                });
            }
        }
        assert_eq!(config(machine), text);
        for (before, after) in before.iter().zip(everything(machine)) {
            assert_eq!(oracle::changes(before, &after), [], "nothing is written before that");
        }

        terminal.press(&["y"]);
        let ended = terminal.wait_for_end(0);
        for line in [
            "done: write to the configuration:",
            "   +   \"/var/lib/orders\",",
            "done: see that nobody uses /srv/notes",
            "   +   \"/srv/notes\",",
            "done: mount /persist/srv/notes at /srv/notes",
            "note: /etc/blankroot.toml is not kept itself",
        ] {
            assert!(ended.contains(line), "{line} in\n{ended}");
        }
        machine.run(&["keep", "/srv/notes"]).expect(0).says("/srv/notes is kept already (line");
        machine.run(&["forget", "/var/lib/orders"]).expect(0).says("is forgotten already");
        assert!(machine.live().join("persist/srv/notes").is_dir());
        let left = machine.run(&["diff", "--by", "owner"]).expect(0);
        assert!(!left.out.contains("/var/lib/orders") && !left.out.contains("/srv/notes"));
        left.says("/etc/conf.d/07.conf");
    });
}

#[test]
fn a_path_is_looked_into_and_explained_and_who_quits_writes_nothing() {
    on_used_machine(|machine, _| {
        let before = everything(machine);
        let terminal = review(machine, &[]);
        terminal.wait_for(&["? help  q quit"]);
        find(&terminal, "etc/blankroot.toml");
        terminal.press(&["i"]);
        terminal.wait_for(&["[diff]", " @@ -", " +[[storage]] # survives"]);
        terminal.press(&["h"]);
        terminal.wait_for(&["[hex]", " 00000000  23 "]);
        terminal.press(&["m"]);
        terminal.wait_for(&["[metadata]", " type       file", "    (blank: "]);
        terminal.press(&["t"]);
        terminal.wait_for(&["[text]", " [root]"]);
        terminal.press(&["q"]);
        terminal.wait_for(&["q quit"]);

        find(&terminal, "var/lib/orders");
        terminal.press(&["e"]);
        terminal.wait_for(&["new since blank: a dir", "unit orders.service (exact", "q back"]);
        terminal.press(&["q"]);
        terminal.wait_for(&["q quit"]);
        terminal.press(&["?"]);
        terminal.wait_for(&["Keys of the list"]);
        terminal.press(&["q"]);

        // No name steers the terminal.
        terminal.press(&["/"]);
        terminal.wait_for(&["search:"]);
        terminal.type_text("evil");
        terminal.press(&["Enter"]);
        let screen = terminal.wait_for(&["evil\\u{1b}[31m\\u{202e}name"]);
        assert!(!screen.contains('\u{202e}'), "{screen}");

        // Smaller and larger, it is drawn anew.
        terminal.resize(40, 10);
        terminal.wait_until("a screen of 40x10", |screen| {
            screen.lines().any(|line| line.ends_with("? help  q quit")) && !screen.contains("leave")
        });
        terminal.resize(100, 30);
        terminal.wait_for(&["/ search  & filter  ? help  q quit"]);

        terminal.press(&["k", "q"]);
        terminal.wait_for(&["1 decision is not written"]);
        terminal.press(&["Escape"]);
        terminal.wait_for(&["? help  q quit"]);
        terminal.press(&["C-c"]);
        terminal.wait_for(&["1 decision is not written"]);
        terminal.press(&["q"]);
        terminal.wait_for_end(0);
        for (before, after) in before.iter().zip(everything(machine)) {
            assert_eq!(oracle::changes(before, &after), []);
        }
    });
}

#[test]
fn what_cannot_be_kept_is_told_with_its_reason_and_the_rest_is_done() {
    on_used_machine(|machine, _| {
        let terminal = review(machine, &[]);
        terminal.wait_for(&["? help  q quit"]);
        for path in ["etc/systemd/system/orders.service", "srv/notes"] {
            find(&terminal, path);
            terminal.press(&["k"]);
        }
        terminal.wait_for(&["2 keep"]);
        terminal.press(&["w"]);
        terminal.wait_for(&["The plan: nothing is written yet"]);
        terminal.press(&["End"]);
        terminal.wait_for(&[
            "Not done, 1 path:",
            "cannot keep /etc/systemd/system/orders.service",
            "hint: ",
        ]);
        terminal.press(&["y"]);
        let ended = terminal.wait_for_end(1);
        assert!(ended.contains("done: mount /persist/srv/notes at /srv/notes"), "{ended}");
        assert!(
            ended.contains("blankroot: cannot keep /etc/systemd/system/orders.service"),
            "{ended}"
        );
        machine.run(&["keep", "/srv/notes"]).expect(0).says("is kept already");
    });
}

#[test]
fn a_plan_for_a_configuration_that_somebody_has_changed_is_not_done() {
    on_used_machine(|machine, _| {
        let terminal = review(machine, &[]);
        terminal.wait_for(&["? help  q quit"]);
        find(&terminal, "var/lib/orders");
        terminal.press(&["f", "w"]);
        terminal.wait_for(&["y do it"]);
        machine.run(&["forget", "/usr/bin/jq"]).expect(0);
        let text = config(machine);
        terminal.press(&["y"]);
        terminal.wait_for(&["The plan is another one now: nothing is written yet", "y do it"]);
        assert_eq!(config(machine), text);
        // What comes right after Esc comes as one key with Alt, and is no answer.
        terminal.press(&["M-y", "C-y"]);
        terminal.press(&["y"]);
        terminal.wait_for_end(0);
        assert_eq!(config(machine).replace("  \"/var/lib/orders\",\n", ""), text);
    });
}

#[test]
fn a_dry_run_prints_the_plan_and_without_colour_there_is_none() {
    on_used_machine(|machine, _| {
        let before = everything(machine);
        let words = machine.words(&["review", "--dry-run"]);
        let variables = ["TERM=tmux-256color", "NO_COLOR=1"];
        let terminal = Terminal::start(&words, &variables, SIZE);
        terminal.wait_for(&["? help  q quit"]);
        find(&terminal, "srv/notes");
        terminal.press(&["k"]);
        terminal.wait_for(&["1 keep"]);
        let painted = terminal.painted_screen();
        for paint in ["\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m"] {
            assert!(!painted.contains(paint), "{painted:?}");
        }
        terminal.press(&["w"]);
        terminal.wait_for(&["y print it"]);
        terminal.press(&["y"]);
        let ended = terminal.wait_for_end(0);
        let dry = machine.run(&["keep", "--dry-run", "/srv/notes"]).expect(0);
        for line in dry.out.lines() {
            assert!(ended.contains(line), "{line} in\n{ended}");
        }
        for (before, after) in before.iter().zip(everything(machine)) {
            assert_eq!(oracle::changes(before, &after), []);
        }
        let painted = review(machine, &[]);
        painted.wait_for(&["? help  q quit"]);
        assert!(painted.painted_screen().contains("\u{1b}[1m"));
    });
}

#[test]
fn what_became_something_else_since_the_plan_was_shown_is_looked_at_again() {
    on_used_machine(|machine, storage| {
        machine.write("srv/plain", "a file");
        let before = config(machine);
        for (change, told) in [("link", "it is a link"), ("storage", "/persist")] {
            let terminal = review(machine, &[]);
            terminal.wait_for(&["? help  q quit"]);
            find(&terminal, "srv/plain");
            terminal.press(&["k", "w"]);
            terminal.wait_for(&["y do it"]);
            let plain = machine.live().join("srv/plain");
            match change {
                "link" => {
                    fs::remove_file(&plain).unwrap();
                    std::os::unix::fs::symlink("/etc/hosts", &plain).unwrap();
                }
                _ => nix::mount::umount(&machine.live().join("persist")).unwrap(),
            }
            terminal.press(&["y"]);
            let now = terminal.wait_for(&["nothing is written yet", "Not done"]);
            assert!(now.contains(told), "{now}");
            assert_eq!(config(machine), before);
            terminal.press(&["q", "q", "q"]);
            terminal.wait_for_end(0);
            if change == "link" {
                fs::remove_file(&plain).unwrap();
                machine.write("srv/plain", "a file");
            }
        }
        assert!(fs::read_dir(machine.live().join("persist")).unwrap().next().is_none());
        let _ = storage;
    });
}

#[test]
fn a_signal_gives_the_terminal_back() {
    on_used_machine(|machine, _| {
        let terminal = review(machine, &[]);
        terminal.wait_for(&["? help  q quit"]);
        assert_eq!(terminal.value("alternate_on"), "1");
        let pid = nix::unistd::Pid::from_raw(terminal.process());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let ended = terminal.wait_for_end(2);
        assert!(ended.contains("cannot go on with the review: it was told to end"), "{ended}");
    });
}

#[test]
fn a_review_ends_with_its_terminal() {
    on_used_machine(|machine, _| {
        let terminal = review(machine, &[]);
        terminal.wait_for(&["? help  q quit"]);
        let process = terminal.process();
        terminal.kill();
        // One that nobody waits for stays as a zombie where the first process does not.
        let state = || fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let started = Instant::now();
        while !state().is_empty() && !state().contains(") Z ") {
            assert!(started.elapsed() < Duration::from_secs(60), "it goes on: {}", state());
            thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn without_a_terminal_or_without_strays_there_is_nothing_to_show() {
    on_initialised(|machine| {
        machine.mount();
        let ran = machine.run(&["review"]).expect(2);
        ran.complains("cannot show the review: standard input is no terminal")
            .complains("hint: `blankroot diff --by owner` prints the same groups anywhere");
        if Terminal::is_there() {
            let forget = "\n[forget]\npaths = [\"/var/machines\"]\n";
            machine.edit_config(|text| format!("{text}{forget}"));
            let config = machine.config();
            let ended = review(machine, &["--config", config.to_str().unwrap()]).wait_for_end(0);
            assert!(ended.contains("No strays: nothing will be gone"), "{ended}");
        }
    });
}
