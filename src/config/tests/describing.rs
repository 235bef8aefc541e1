//! `[[catalogue]]`: what the owner knows of state.

use crate::catalogue::catalogue_entry::Advice;
use crate::config::tests::bad::after_root;
use crate::config::tests::*;

const SHOP: &str = r#"[root]
backend = "tmpfs"

[[catalogue]]
path = "/var/lib/shop"
what = "the orders of the shop"
advice = "keep"

[[catalogue]]
path = "~/.config/shop/{token,*.key}"
what = " the shop's keys "
advice = "secret"
source = "shop(1)"
example = "/home/alice/.config/shop/a.key"

[[catalogue]]
path = "/var/lib/systemd/rfkill"
what = "what our unit made of it"
advice = "never"
mtime = true
"#;

#[test]
fn an_entry_says_what_state_is() {
    let config = parse(SHOP).unwrap_or_else(|error| panic!("{error}"));
    let [shop, keys, rfkill] = config.catalogue_entries.as_slice() else { panic!("three") };
    assert_eq!(
        (shop.path.as_ref(), shop.what.as_ref()),
        ("/var/lib/shop", "the orders of the shop")
    );
    assert_eq!((shop.advice, shop.line, shop.mtime), (Advice::Keep, Some(5), false));
    assert_eq!((keys.what.as_ref(), keys.is_secret()), ("the shop's keys", true));
    assert_eq!(keys.source.as_deref(), Some("shop(1)"));
    assert_eq!((rfkill.advice, rfkill.mtime), (Advice::Never, true));

    let catalogue = config.catalogue();
    for (path, line) in [
        ("var/lib/shop/orders.db", Some(5)),
        ("root/.config/shop/token", Some(10)),
        ("var/lib/systemd/rfkill/x", Some(17)),
        ("var/lib/systemd/backlight", None),
    ] {
        assert_eq!(catalogue.find(path.as_bytes()).unwrap().entry.line, line, "{path}");
    }
}

#[test]
fn a_configuration_without_entries_has_the_catalogue_of_the_program() {
    let catalogue = parse(EXAMPLE).unwrap().catalogue();
    assert!(matches!(catalogue, std::borrow::Cow::Borrowed(_)));
}

#[test]
fn a_problem_names_what_is_wrong_with_an_entry() {
    let entry = |path: &str, more: &str| {
        format!("[[catalogue]]\npath = {path}\nwhat = \"it\"\nadvice = \"keep\"\n{more}")
    };
    for (text, expected) in [
        (
            "[catalogue]\npath = \"/a\"".to_string(),
            "3:1: `catalogue` must be a list of tables, but is a table | write `[[catalogue]]`, in \
             two pairs of brackets",
        ),
        (
            entry("\"var/lib\"", ""),
            "4:8: the pattern `var/lib` is neither absolute nor below `~/` | write `/…` on the \
             machine, or `~/…` in a home: `/var/lib`",
        ),
        (
            entry("\"~\"", ""),
            "4:8: the pattern `~` is the whole home | describe what is below it, by name",
        ),
        (
            entry("\"/\"", ""),
            "4:8: the pattern `/` is the whole root | describe what is below it, by name",
        ),
        (
            entry("\"/a/../b\"", ""),
            "4:8: the pattern `/a/../b` has a component `.` or `..` | write the path without it",
        ),
        (
            entry("\"~/a[\"", ""),
            "4:8: the pattern `~/a[` has a bracket that is not closed | put `\\\\` (in TOML's \
             double quotes) before a special character that is meant literally, or write several \
             patterns",
        ),
        (
            entry("\"/a[b/]c\"", ""),
            "4:8: the pattern `/a[b/]c` has a slash in brackets | put `\\\\` (in TOML's \
             double quotes) before a special character that is meant literally, or write several \
             patterns",
        ),
        (
            entry("7", ""),
            "4:8: `path` in [[catalogue]] must be a string, but is a whole number | put quotes \
             around it",
        ),
        (
            entry("\"/a\"", "mtime = \"true\""),
            "7:9: `mtime` in [[catalogue]] must be true or false, but is a string | write it \
             without quotes",
        ),
        (
            entry("\"/a\"", "sourse = \"a(1)\""),
            "7:1: unknown key `sourse` in [[catalogue]] | did you mean `source`?",
        ),
        (
            entry("\"/a\"", "source = \" \""),
            "7:10: `source` in [[catalogue]] is empty | write a few words on one line",
        ),
        (
            entry("\"/a*\"", "example = \"/b\""),
            "7:11: the example `/b` is none of `/a*` | write an absolute path that `path` names, \
             as in /home/alice/… for `~/…`",
        ),
        (
            entry("\"/a*\"", "example = \"/ab/c\""),
            "7:11: the example `/ab/c` is none of `/a*` | write an absolute path that `path` \
             names, as in /home/alice/… for `~/…`",
        ),
        (
            format!("{}{}", entry("\"/a\"", ""), entry("\"/a/\"", "")),
            "8:8: `/a` is described twice: here and in line 4 | remove one of the two entries",
        ),
        (
            "[[catalogue]]\npath = \"/a\"\nwhat = \"a\\nb\"\nadvice = \"never\"".to_string(),
            "5:8: `what` in [[catalogue]] has a line break or a control character | write a few \
             words on one line",
        ),
        (
            "[[catalogue]]\npath = \"/a\"\nwhat = \"it\"\nadvice = \"drop\"".to_string(),
            "6:10: `advice` in [[catalogue]] cannot be `drop` | write \"keep\", \"forget\", \
             \"secret\", \"never\" or \"link\"",
        ),
    ] {
        assert_eq!(after_root(&text), [expected], "{text}");
    }
}

#[test]
fn what_an_entry_must_say_is_asked_for_all_at_once() {
    assert_eq!(
        after_root("[[catalogue]]"),
        [
            "3:1: [[catalogue]] does not say its `advice` | add `advice = \"keep\"`",
            "3:1: [[catalogue]] does not say its `path` | add `path = \"/var/lib/shop\"`",
            "3:1: [[catalogue]] does not say its `what` | add `what = \"the orders of the shop\"`",
        ]
    );
}
