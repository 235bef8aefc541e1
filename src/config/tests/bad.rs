//! What is wrong with a configuration, with its place and its hint.

use crate::config::tests::*;

fn problems(text: &str) -> Vec<String> {
    list_problems(&parse(text).expect_err(text))
}

/// The problems of a text that comes after a valid `[root]` of two lines.
pub(crate) fn after_root(text: &str) -> Vec<String> {
    problems(&format!("[root]\nbackend = \"tmpfs\"\n{text}"))
}

#[test]
fn all_problems_are_shown_together_with_place_and_hint() {
    let text = r#"[root]
backend = "btrfs"
devise = "/dev/vda"
live = "../root"

[[storage]]
path = "persist"
directories = ["/var/log", { path = "/é", mode = 0750 }]
hideMounts = true
"#;
    let text = text.replace("0750", "750");
    let expected = "\
cannot use /etc/blankroot.toml: 6 problems
/etc/blankroot.toml:1:1: [root] does not say its `device`
  hint: add `device = \"/dev/disk/by-label/NAME\"`
/etc/blankroot.toml:3:1: unknown key `devise` in [root]
  hint: did you mean `device`?
/etc/blankroot.toml:4:8: the name `../root` of `live` has a component `.` or `..`
  hint: write a path such as \"root\" or \"os/root\", from the top of the file system
/etc/blankroot.toml:7:8: the storage `persist` is not an absolute path
  hint: write the whole path, from `/` on
/etc/blankroot.toml:8:50: `mode` in an entry of `directories` must be a string, but is a whole number
  hint: write the mode as a string, such as \"0750\"
/etc/blankroot.toml:9:1: unknown key `hideMounts` in [[storage]]
  hint: did you mean `hide_mounts`?";
    assert_eq!(parse(&text).expect_err("bad").to_string(), expected);
}

#[test]
fn a_problem_names_what_is_wrong_with_the_root() {
    for (text, expected) in [
        (
            "",
            "1:1: there is no [root] | add `[root]` with `backend` and what that needs, or run \
             `blankroot init`",
        ),
        (
            "[root]\n",
            "1:1: [root] does not say its `backend` | add `backend = \"btrfs\"` (or \"zfs\", \
             \"tmpfs\", \"directory\")",
        ),
        (
            "[root]\nbackend = \"ext4\"",
            "2:11: `backend` in [root] cannot be `ext4` | write \"btrfs\", \"zfs\", \"tmpfs\" or \
             \"directory\"",
        ),
        (
            "[root]\nbackend = \"tmpfs\"\nlive = \"root\"",
            "3:1: `live` in [root] does not belong to the backend `tmpfs` | remove `live`, or \
             correct `backend`",
        ),
        (
            "[root]\nbackend = \"btrfs\"\ndevice = 7",
            "3:10: `device` in [root] must be a string, but is a whole number | put quotes around \
             it",
        ),
        (
            "[root]\nbackend = \"zfs\"\ndataset = \"pool/os@x\"",
            "3:11: the dataset `pool/os@x` has a character that no dataset's name can have | \
             write the dataset's name as `zfs list` shows it",
        ),
        (
            "[root]\nbackend = \"directory\"\npath = \"/t\"\nold = \"root/old\"",
            "4:7: `old` (`root/old`) in [root] lies within `live` (`root`) | give each tree a \
             place outside the others",
        ),
        (
            "[root]\nbackend = \"directory\"\npath = \"/t\"\nblank = \"root\"",
            "4:9: `blank` (`root`) in [root] is the same as `live` | give each tree a place \
             outside the others",
        ),
        (
            "root = 1",
            "1:8: `root` in the configuration must be a table, but is a whole number | write a table",
        ),
        (
            "[root]\nbackend = \"tmpfs\"\nbackend = \"tmpfs\"",
            "3:1: duplicate key | keep one of the two",
        ),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
}

#[test]
fn a_problem_names_what_is_wrong_with_the_lists() {
    let storage = |rest: &str| format!("[[storage]]\npath = \"/p\"\n{rest}");
    for (text, expected) in [
        (
            "[storage]\npath = \"/p\"".to_string(),
            "3:1: `storage` must be a list of tables, but is a table | write `[[storage]]`, in \
             two pairs of brackets",
        ),
        (
            "[[storage]]".to_string(),
            "3:1: [[storage]] does not say its `path` | add `path = \"/persist\"`",
        ),
        (
            "[[storage]]\npath = \"/\"".to_string(),
            "4:8: the storage `/` is the root itself | write a directory below it",
        ),
        (
            storage("directories = \"/a\""),
            "5:15: `directories` in [[storage]] must be a list, but is a string | put brackets \
             around it: [\"…\"]",
        ),
        (storage("files = [\"a\"]"), "5:10: the path `a` is not absolute | write `/a`"),
        (
            storage("files = [\"/a/../b\"]"),
            "5:10: the path `/a/../b` has a component `..` | write the path without it",
        ),
        (
            storage("directories = [\"//.\"]"),
            "5:16: the path `//.` is the root itself | keep what is below it, by name",
        ),
        (
            storage("directories = [{ path = \"/a\", mode = \"999\" }]"),
            "5:38: the mode `999` is not octal | write three or four octal digits, such as \
             \"0750\"",
        ),
        (
            storage("directories = [{ path = \"/a\", user = \"a:b\" }]"),
            "5:38: the user `a:b` has a character that no account's name can have | write the \
             user's name, or its number",
        ),
        (
            storage("directories = [{ path = \"/a\", group = -1 }]"),
            "5:39: no group can have the number `-1` | write a number from 0 to 4294967294",
        ),
        (
            storage("directories = [{ path = \"/a\", how = \"bindfs\" }]"),
            "5:37: `how` in an entry of `directories` cannot be `bindfs` | write \"bind\" or \
             \"symlink\"",
        ),
        (
            storage("directories = [{ path = \"/a\", options = [\"a,b\"] }]"),
            "5:42: `a,b` is not one mount option | write one option a string: [\"noexec\", \
             \"nosuid\"]",
        ),
        (
            storage("[storage.users.al]\nfiles = [\"/x\"]"),
            "6:10: the path `/x` is not relative to the user's home | write it as seen from \
             there, such as \".ssh\"; other paths belong to the lists of [[storage]] itself",
        ),
        (
            storage("[storage.users.al]\nstrip_prefix = true\nfiles = [\"x\"]"),
            "7:10: the path `x` has nothing left when `strip_prefix` drops its first component | \
             add `strip_prefix = false` to the entry",
        ),
        (
            storage("[storage.users.al]\nhome = \"al\""),
            "6:8: the home `al` is not an absolute path | write the whole path, from `/` on",
        ),
        (
            "[forget]\npaths = [\"cache\"]".to_string(),
            "4:10: the pattern `cache` is not absolute | write `/cache`",
        ),
        (
            "[forget]\npaths = [\"/\"]".to_string(),
            "4:10: the pattern `/` is the whole root | write `/**` if that is what you want",
        ),
        (
            "[forget]\npaths = [\"/a[\"]".to_string(),
            "4:10: the pattern `/a[` has a bracket that is not closed | put `\\\\` (in TOML's \
             double quotes) before a special character that is meant literally, or write several \
             patterns",
        ),
        (
            "[rollback]\nretention = { days = -1 }".to_string(),
            "4:22: `days` in `retention` of [rollback] cannot be -1 | write a whole number from 0 \
             to 4294967295",
        ),
        (
            "[rollback]\nstrategy = \"rollback\"".to_string(),
            "4:1: the strategy `rollback` is not possible with the backend `tmpfs` | remove \
             `strategy`, or write \"set-aside\"",
        ),
    ] {
        assert_eq!(after_root(&text), [expected], "{text}");
    }
}

#[test]
fn contradictions_name_both_lines() {
    for (text, expected) in [
        (
            "path = \"/p\"\nfiles = [\"/a\"]\ndirectories = [\"/a/\"]",
            "6:16: `/a` is kept as a directory here and as a file in line 5 | remove one of the \
             two entries",
        ),
        (
            "path = \"/p\"\nfiles = [\"/a\"]\n[[storage]]\npath = \"/q\"\nfiles = [\"/a\"]",
            "8:10: `/a` is kept twice: here and in line 5 | remove one of the two entries",
        ),
        (
            "path = \"/p\"\nfiles = [\"/home/al/a\"]\n[storage.users.al]\nfiles = [\"a\"]",
            "7:10: `/home/al/a` is kept twice: here and in line 5 | remove one of the two entries",
        ),
        (
            "path = \"/p\"\nfiles = [\"/a\", \"/a/b\"]",
            "5:16: `/a/b` lies below `/a`, which is kept as a file in line 5 | keep the parent \
             as a directory, or remove one of the two entries",
        ),
        (
            "path = \"/p\"\nfiles = [\"/p/b\"]",
            "5:10: the kept path `/p/b` lies in the storage `/p` (line 4) | remove it: what is in \
             a storage survives anyway",
        ),
        (
            "path = \"/p/q\"\ndirectories = [\"/p\"]",
            "5:16: the kept path `/p` contains the storage `/p/q` (line 4) | keep only what lies \
             beside the storage, or move the storage",
        ),
        (
            "path = \"/p\"\n[[storage]]\npath = \"/p/\"",
            "6:8: the storage `/p` is declared in line 4 already | put all its entries below one \
             [[storage]]",
        ),
        (
            "path = \"/p\"\ndirectories = [\"/q/a\"]\n[[storage]]\npath = \"/p/q\"\nfiles = [\"/a\"]",
            "8:10: `/a` has the same data as `/q/a` in line 5 | give each kept path data of its \
             own",
        ),
        (
            "path = \"/p\"\ndirectories = [\"/a\"]\n[forget]\npaths = [\"/a\"]",
            "7:10: `/a` is forgotten here and kept in line 5 | remove one of the two",
        ),
    ] {
        assert_eq!(after_root(&format!("[[storage]]\n{text}")), [expected], "{text}");
    }
}

#[test]
fn control_characters_neither_break_lines_nor_steer_the_terminal() {
    let shown = after_root("[\"a\\nb\\u001b[0m\"]");
    assert_eq!(
        shown,
        ["3:2: unknown key `a\\nb\\u{1b}[0m` in the configuration | remove it; the keys here \
             are `root`, `rollback`, `storage`, `forget`, `evidence`, `audit` and `catalogue`"]
    );
}

#[test]
fn a_text_that_is_not_utf8_is_refused_where_it_stops_being_that() {
    let error = Config::parse(Path::new(FILE), b"[root]\nbackend = \"\xff\"").expect_err("bytes");
    assert_eq!(
        error.to_string(),
        "cannot use /etc/blankroot.toml: 1 problem\n\
         /etc/blankroot.toml:2:12: this byte is not UTF-8 text\n  hint: save the file as UTF-8"
    );
}

#[test]
fn a_missing_file_names_the_command_that_makes_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("n\nl.toml");
    let shown = Config::load(&file).expect_err("missing").to_string();
    let expected = "n\\nl.toml: No such file or directory\n  hint: run `blankroot init` to make \
                    one, or name it with `--config FILE`";
    assert!(shown.starts_with("cannot read the configuration /"), "{shown}");
    assert!(shown.ends_with(expected), "{shown}");
}
