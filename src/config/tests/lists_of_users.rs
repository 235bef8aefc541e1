//! A user's own file.

use dirfd::TreePath;

use crate::config::entry::PlacementMethod;
use crate::config::tests::*;
use crate::config::users_list;
use crate::persist::list::KeepEntry;

const OWN: &str = "/home/alice/.config/blankroot.toml";

fn home() -> TreePath {
    TreePath::parse(b"/home/alice").unwrap()
}

fn parse_own(text: &str) -> Result<Vec<KeepEntry>, ConfigError> {
    users_list::parse_users_list(Path::new(OWN), text.as_bytes(), &home(), "alice")
}

fn problems(text: &str) -> Vec<String> {
    list_problems(&parse_own(text).expect_err(text))
}

#[test]
fn paths_are_relative_to_the_home_and_all_is_linked() {
    let text = r#"
        [[storage]]
        path = "/nix/dotfiles"
        strip_prefix = true
        directories = ["Firefox/.mozilla", { path = ".kde", data = "kde", mode = "0700" }]
        [[storage]]
        path = "~/.dotfiles//here/"
        files = [".netrc", { path = ".config/x", create = true, how = "symlink" }]
        [[storage]]
        path = "/elsewhere"
        enable = false
        files = [".netrc"]
    "#;
    let list = parse_own(text).unwrap_or_else(|error| panic!("{error}"));
    let shown: Vec<String> =
        list.iter().map(|entry| format!("{} <- {}", entry.path, entry.source())).collect();
    assert_eq!(
        shown,
        [
            "/home/alice/.config/x <- /home/alice/.dotfiles/here/.config/x",
            "/home/alice/.kde <- /nix/dotfiles/kde",
            "/home/alice/.mozilla <- /nix/dotfiles/Firefox/.mozilla",
            "/home/alice/.netrc <- /home/alice/.dotfiles/here/.netrc",
        ]
    );
    for entry in &list {
        assert_eq!(entry.how, Some(PlacementMethod::Symlink));
        let home = entry.home.as_ref().unwrap();
        assert_eq!((home.user.as_str(), &home.path), ("alice", &self::home()));
    }
    assert_eq!(parse_own("").unwrap(), []);
}

#[test]
fn what_needs_root_is_refused_by_name() {
    let storage = |rest: &str| format!("[[storage]]\npath = \"~/d\"\n{rest}");
    let remove = "remove it, or declare it in /etc/blankroot.toml";
    for (text, expected) in [
        (
            "[root]\nbackend = \"tmpfs\"".to_string(),
            "1:2: [root] needs root, and this is a user's own file | remove it; its place is \
             /etc/blankroot.toml"
                .to_string(),
        ),
        (
            storage("hide_mounts = true"),
            format!(
                "3:1: `hide_mounts` in [[storage]] needs root, and this is a user's own file | {remove}"
            ),
        ),
        (
            storage("[storage.users.bob]\nfiles = [\"x\"]"),
            format!(
                "3:10: `users` in [[storage]] needs root, and this is a user's own file | {remove}"
            ),
        ),
        (
            storage("files = [{ path = \"x\", user = \"bob\" }]"),
            format!(
                "3:24: `user` in an entry of `files` needs root, and this is a user's own file | {remove}"
            ),
        ),
        (
            storage("files = [{ path = \"x\", parent = { group = \"g\" } }]"),
            format!(
                "3:35: `group` in `parent` of an entry needs root, and this is a user's own file | {remove}"
            ),
        ),
        (
            storage("files = [{ path = \"x\", options = [\"noexec\"] }]"),
            format!(
                "3:24: `options` in an entry of `files` needs root, and this is a user's own file | {remove}"
            ),
        ),
        (
            storage("files = [{ path = \"x\", how = \"bind\" }]"),
            "3:24: `how = \"bind\"` needs root, and this is a user's own file | remove it, since \
             what is kept here is linked, or declare it in /etc/blankroot.toml"
                .to_string(),
        ),
    ] {
        assert_eq!(problems(&text), [expected], "{text}");
    }
}

#[test]
fn the_other_problems_are_as_good_as_in_the_systems_file() {
    let storage = |rest: &str| format!("[[storage]]\npath = \"/d\"\n{rest}");
    for (text, expected) in [
        (
            "[[storage]]".to_string(),
            "1:1: [[storage]] does not say its `path` | add `path = \"~/dotfiles\"`",
        ),
        (
            "[[storage]]\npath = \"dotfiles\"".to_string(),
            "2:8: the storage `dotfiles` is not an absolute path | write it from `/` or from `~/` \
             on",
        ),
        (
            "[[storage]]\npath = \"~/.\"".to_string(),
            "2:8: the storage `~/.` is the whole home | write a directory below it",
        ),
        (
            storage("files = [\"/x\"]"),
            "3:10: the path `/x` is not relative to the user's home | write it as seen from there, \
             such as \".ssh\"; other paths are for root to keep, in /etc/blankroot.toml",
        ),
        (
            storage("directories = [\".\"]"),
            "3:16: the path `.` is the whole home | keep what is below it, by name",
        ),
        (
            storage("directorys = [\"x\"]"),
            "3:1: unknown key `directorys` in [[storage]] | did you mean `directories`?",
        ),
        (
            storage("files = [\"x\"]\ndirectories = [\"x/\"]"),
            "4:16: `/home/alice/x` is kept as a directory here and as a file in line 3 | remove \
             one of the two entries",
        ),
        (
            "[[storage]]\npath = \"~/d\"\ndirectories = [\"d/e\"]".to_string(),
            "3:16: the kept path `/home/alice/d/e` lies in the storage `/home/alice/d` (line 2) | \
             remove it: what is in a storage survives anyway",
        ),
        (
            "keep = 1".to_string(),
            "1:1: unknown key `keep` in a user's own file | remove it; the keys here are `storage`",
        ),
    ] {
        assert_eq!(problems(&text), [expected], "{text}");
    }
}

#[test]
fn the_file_is_where_the_desktop_keeps_such_files() {
    let file =
        |xdg: Option<&str>| users_list::default_file(Path::new("/h"), xdg.map(AsRef::as_ref));
    assert_eq!(file(None), Path::new("/h/.config/blankroot.toml"));
    assert_eq!(file(Some("/x y")), Path::new("/x y/blankroot.toml"));
    for invalid in ["", "relative"] {
        assert_eq!(file(Some(invalid)), file(None));
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("blankroot.toml");
    let missing =
        users_list::load_users_list(&file, &home(), "alice").expect_err("missing").to_string();
    assert!(missing.contains("No such file") && missing.contains("hint: write one"), "{missing}");
    std::fs::write(&file, "[[storage]]\npath = \"/d\"\nfiles = [\"x\"]\n").unwrap();
    assert_eq!(users_list::load_users_list(&file, &home(), "alice").unwrap().len(), 1);
}
