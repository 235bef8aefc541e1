//! Edits of a text, which keep comments, order and layout.

use dirfd::TreePath;
use proptest::prelude::*;

use crate::config::edit::{add_entry, add_forget, remove_entry};
use crate::config::entry::{EntryKind, PlacementMethod};
use crate::config::tests::*;
use crate::persist::list;

fn dir(text: &str, path: &str) -> String {
    entry(text, path, EntryKind::Dir)
}

fn entry(text: &str, path: &str, kind: EntryKind) -> String {
    let path = TreePath::parse(path.as_bytes()).unwrap();
    let edited = add_entry(text, Path::new("/persist"), &path, kind, None)
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    let again = add_entry(&edited, Path::new("/persist/"), &path, kind, None).unwrap();
    assert_eq!(again, edited, "a second time changes nothing");
    edited
}

const ROOT: &str = "[root]\nbackend = \"tmpfs\"\n";

/// The text around a list of directories.
fn with(list: &str) -> String {
    format!(
        "{ROOT}\n[[storage]] # first\npath = \"/persist\" # here\ndirectories = {list} # end\nfiles = []\n"
    )
}

#[test]
fn an_entry_is_added_as_the_list_is_laid_out() {
    for (list, expected) in [
        ("[]", "[\"/new\"]"),
        ("[\"/a\"]", "[\"/a\", \"/new\"]"),
        ("[\"/a\",]", "[\"/a\", \"/new\",]"),
        ("[ \"/a\", '/b' ]", "[ \"/a\", '/b', \"/new\" ]"),
        ("[\n    \"/a\",\n]", "[\n    \"/a\",\n    \"/new\",\n]"),
        ("[\n\t\"/a\"\n]", "[\n\t\"/a\",\n\t\"/new\",\n]"),
        ("[\n  # why\n  \"/a\", # because\n]", "[\n  # why\n  \"/a\", # because\n  \"/new\",\n]"),
        ("[\n  \"/a\" # because\n]", "[\n  \"/a\", # because\n  \"/new\",\n]"),
        ("[\n  # none yet\n]", "[\n  # none yet\n  \"/new\",\n]"),
        ("[\n  \"/a\",\n  # last words\n  ]", "[\n  \"/a\",\n  # last words\n  \"/new\",\n  ]"),
        ("[\n  { path = \"/a\" },\n]", "[\n  { path = \"/a\" },\n  \"/new\",\n]"),
    ] {
        assert_eq!(dir(&with(list), "/new"), with(expected), "{list}");
    }
}

#[test]
fn what_is_kept_already_is_not_added_again() {
    for path in ["/var/log", "/var/lib/colord", "/home/alice/.ssh", "/home/alice/.mozilla"] {
        assert_eq!(dir(EXAMPLE, path), EXAMPLE, "{path}");
    }
    assert_eq!(entry(EXAMPLE, "/etc/machine-id", EntryKind::File), EXAMPLE);
}

#[test]
fn how_it_comes_to_its_place_is_written_down_in_a_system_list_and_in_a_home() {
    for (path, line) in [
        ("/new", "{ path = \"/new\", how = \"symlink\" }"),
        ("/home/alice/x", "{ path = \"x\", how = \"symlink\" }"),
    ] {
        let tree_path = TreePath::parse(path.as_bytes()).unwrap();
        let add = |how| {
            add_entry(EXAMPLE, Path::new("/persist"), &tree_path, EntryKind::Dir, how).unwrap()
        };
        let edited = add(Some(PlacementMethod::Symlink));
        assert!(edited.contains(line), "{edited}");
        let list = list::keep_list(&parse(&edited).unwrap());
        let entry = list.iter().find(|entry| entry.path == tree_path).unwrap();
        assert_eq!(entry.how, Some(PlacementMethod::Symlink));
        let shortest = line.replace("{ path = ", "").replace(", how = \"symlink\" }", "");
        assert_eq!(edited.replace(line, &shortest), add(None));
    }
}

#[test]
fn a_storage_and_a_list_that_are_not_there_are_made() {
    let commented = format!("{ROOT}# last words\n");
    let edited = entry(&dir(&commented, "/var/log"), "/etc/a b\"\n", EntryKind::File);
    assert!(edited.starts_with(&commented), "{edited}");
    let edited = add_forget(&edited, &["/var/cache/**"]).unwrap();
    let config = parse(&edited).unwrap();
    let kept: Vec<_> =
        list::keep_list(&config).iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(kept, ["/etc/a b\"\\n", "/var/log"]);
    let simple = dir(&commented, "/var/log");
    assert_eq!(
        simple,
        format!(
            "{commented}\n[[storage]]\npath = \"/persist\"\ndirectories = [\n  \"/var/log\",\n]\n"
        )
    );
    assert_eq!(
        add_forget(&simple, &["/x"]).unwrap(),
        format!("{simple}\n[forget]\npaths = [\n  \"/x\",\n]\n")
    );
}

#[test]
fn a_second_storage_goes_to_the_end_and_keeps_the_first_one_whole() {
    let path = TreePath::parse(b"/srv").unwrap();
    let edited = add_entry(EXAMPLE, Path::new("/more"), &path, EntryKind::Dir, None).unwrap();
    let expected = "\n[[storage]]\npath = \"/more\"\ndirectories = [\n  \"/srv\",\n]\n";
    assert_eq!(edited, format!("{EXAMPLE}{expected}"));
}

#[test]
fn what_lies_in_the_home_of_a_named_user_is_added_there() {
    let edited = entry(EXAMPLE, "/home/alice/.netrc", EntryKind::File);
    let expected = EXAMPLE.replace("kdeglobals\"]", "kdeglobals\", \".netrc\"]");
    assert_eq!(edited, expected);
    for outside in ["/home/alice2/x", "/home/bob/x", "/home/alice/~x"] {
        let line = format!("  \"{outside}\",\n");
        assert!(dir(EXAMPLE, outside).contains(&line), "{outside}");
    }
}

#[test]
fn a_pattern_is_added_once() {
    let edited = add_forget(EXAMPLE, &["/tmp/*.x"]).unwrap();
    let expected = EXAMPLE.replace("\"/root/.cache\"]", "\"/root/.cache\", \"/tmp/*.x\"]");
    assert_eq!(edited, expected);
    assert_eq!(add_forget(&edited, &["/tmp/*.x"]).unwrap(), edited);
}

#[test]
fn an_edit_that_would_not_be_valid_is_refused() {
    let path = TreePath::parse(b"/etc/machine-id").unwrap();
    let error = add_entry(EXAMPLE, Path::new("/persist"), &path, EntryKind::Dir, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot add `/etc/machine-id` to the directories of /persist: line 21 would not be valid: \
         `/etc/machine-id` is kept as a file here and as a directory in line 18\n  hint: remove \
         one of the two entries"
    );
    let error = add_forget(EXAMPLE, &["/a["]).unwrap_err();
    assert!(error.to_string().contains("has a bracket that is not closed"), "{error}");
    let path = TreePath::parse(b"/a/\xff").unwrap();
    let error = add_entry(EXAMPLE, Path::new("/persist"), &path, EntryKind::Dir, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot add `/a/\\xff` to the directories of /persist: `/a/\\xff` is not UTF-8, as TOML \
         must be\n  hint: keep the directory that holds it"
    );
}

fn removed(text: &str, path: &str) -> String {
    let path = TreePath::parse(path.as_bytes()).unwrap();
    let edited = remove_entry(text, &path).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(remove_entry(&edited, &path).unwrap(), edited, "a second time changes nothing");
    edited
}

#[test]
fn an_entry_is_taken_out_with_the_comment_on_its_line_alone() {
    for (list, expected) in [
        ("[\"/x\"]", "[]"),
        ("[ \"/x\" ]", "[]"),
        ("[\"/a\", \"/x\"]", "[\"/a\"]"),
        ("[\"/x\", \"/a\"]", "[\"/a\"]"),
        ("[ \"/a\", \"/x\", '/b' ]", "[ \"/a\", '/b' ]"),
        ("[\n  \"/x\",\n]", "[]"),
        ("[\n  \"/a\",\n  \"/x\",\n]", "[\n  \"/a\",\n]"),
        ("[\n  \"/x\",\n  \"/a\",\n]", "[\n  \"/a\",\n]"),
        ("[\n  \"/a\", # a\n  \"/x\" # x\n]", "[\n  \"/a\" # a\n]"),
        ("[\n  \"/a\", # a\n  \"/x\", # x\n  \"/b\", # b\n]", "[\n  \"/a\", # a\n  \"/b\", # b\n]"),
        (
            "[ # all\n  # these\n  \"/x\", # x\n  # those\n  \"/a\"\n]",
            "[ # all\n  # these\n  # those\n  \"/a\"\n]",
        ),
        ("[\n  # none now\n  \"/x\",\n]", "[\n  # none now\n]"),
        ("[\n  \"/a\", # a\n  \"/x\"]", "[\n  \"/a\" # a\n]"),
        ("[\n  \"/a\", \"/x\",\n  \"/b\",\n]", "[\n  \"/a\",\n  \"/b\",\n]"),
        ("[\n  \"/x\", \"/a\",\n]", "[\n  \"/a\",\n]"),
        ("[{ path = \"/x\", mode = \"0700\" }, \"/a\"]", "[\"/a\"]"),
    ] {
        assert_eq!(removed(&with(list), "/x"), with(expected), "{list}");
    }
}

#[test]
fn entries_of_users_and_of_the_second_storage_are_taken_out() {
    let edited = removed(EXAMPLE, "/home/alice/.mozilla");
    assert!(!edited.contains("Firefox") && edited.contains("\".ssh\""), "{edited}");
    assert_eq!(removed(EXAMPLE, "/home/alice/.config/kdeglobals").matches("kdeglobals").count(), 0);
    let path = TreePath::parse(b"/srv").unwrap();
    let two = add_entry(EXAMPLE, Path::new("/more"), &path, EntryKind::Dir, None).unwrap();
    let edited = removed(&two, "/srv");
    assert!(edited.starts_with(EXAMPLE) && edited.ends_with("directories = []\n"), "{edited}");
    assert_eq!(removed(EXAMPLE, "/not/kept"), EXAMPLE);
}

proptest! {
    #[test]
    fn what_was_added_is_taken_out_without_a_trace(name in "[^\0/]{1,60}", file in any::<bool>()) {
        prop_assume!(name != "." && name != "..");
        let kind = if file { EntryKind::File } else { EntryKind::Dir };
        for text in [EXAMPLE.to_string(), with("[]"), with("[\"/a\"]"), with("[\n  # a\n  \"/a\", # b\n]")] {
            let path = format!("/srv/{name}");
            prop_assert_eq!(removed(&entry(&text, &path, kind), &path), text);
        }
    }

    #[test]
    fn any_name_can_be_added(name in "[^\0/]{1,60}", in_file in any::<bool>()) {
        prop_assume!(name != "." && name != "..");
        let old: Vec<&str> = EXAMPLE.lines().filter(|line| line.contains('#')).collect();
        // A line of the name would pass for one of these, such as `#`.
        prop_assume!(!name.lines().any(|line| line.contains('#') && EXAMPLE.contains(line)));
        let kind = if in_file { EntryKind::File } else { EntryKind::Dir };
        let edited = entry(EXAMPLE, &format!("/srv/{name}"), kind);
        let new: Vec<&str> =
            edited.lines().filter(|line| line.contains('#') && EXAMPLE.contains(*line)).collect();
        prop_assert_eq!(old, new);
    }
}
