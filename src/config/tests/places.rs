//! Where data is in storage: `data`, `storage` and what two entries may not share.

use dirfd::TreePath;

use crate::config::edit::add_entry;
use crate::config::entry::EntryKind;
use crate::config::tests::bad::after_root;
use crate::config::tests::*;
use crate::persist::list;

const DOTFILES: &str = r#"[root]
backend = "tmpfs"
[[storage]]
path = "/nix/dotfiles"
options = ["noexec"]
directories = [{ path = "/etc/nixos", data = "system/nixos" }, "/srv"]
[storage.users.alice]
data = "."
strip_prefix = true
directories = ["Firefox/.mozilla", { path = ".ssh", data = "keys", options = ["nodev"] }]
[storage.users.bob]
data = "people/bob/"
home = "/srv2/bob"
files = [".netrc", { path = "x", storage = "/persist" }]
[storage.users.root]
files = [".netrc"]
[[storage]]
path = "/persist"
"#;

fn shown(text: &str) -> Vec<String> {
    let config = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let line = |entry: &list::KeepEntry| {
        let options = entry.options.join(",");
        format!("{} <- {} {options}", entry.path, entry.source())
    };
    list::keep_list(&config).iter().map(line).collect()
}

#[test]
fn data_lies_where_it_is_said_to() {
    let expected = [
        "/etc/nixos <- /nix/dotfiles/system/nixos noexec",
        "/home/alice/.mozilla <- /nix/dotfiles/Firefox/.mozilla noexec",
        "/home/alice/.ssh <- /nix/dotfiles/keys noexec,nodev",
        "/root/.netrc <- /nix/dotfiles/root/.netrc noexec",
        "/srv <- /nix/dotfiles/srv noexec",
        "/srv2/bob/.netrc <- /nix/dotfiles/people/bob/.netrc noexec",
        "/srv2/bob/x <- /persist/people/bob/x noexec",
    ];
    assert_eq!(shown(DOTFILES), expected);
    let list = list::keep_list(&parse(DOTFILES).unwrap());
    let data = |at: usize| list[at].home.as_ref().map(|home| home.data.clone()).unwrap();
    assert_eq!(data(1), TreePath::root());
    assert_eq!(data(5), TreePath::parse(b"people/bob").unwrap());
    assert_eq!(data(3), TreePath::parse(b"root").unwrap());
}

#[test]
fn data_in_no_place_is_a_problem() {
    let user = |rest: &str| format!("[[storage]]\npath = \"/p\"\n[storage.users.al]\n{rest}");
    for (text, expected) in [
        (
            user("data = \"/home/al\""),
            "6:8: the data `/home/al` is not relative to the storage | write it as seen from the \
             storage, such as \"home/alice\", or \".\"",
        ),
        (user("data = \"\""), "6:8: the data `` is empty | write \".\" for the storage itself"),
        (
            user("data = \"../x\""),
            "6:8: the data `../x` has a component `..` | write the path without it",
        ),
        (
            user("files = [{ path = \"x\", data = \".\" }]"),
            "6:31: the data `.` is no entry's own | name a file or directory below it, such as \
             \"machine-id\"",
        ),
        (
            user("files = [{ path = \"x\", data = \"y\", strip_prefix = true }]"),
            "6:24: `data` and `strip_prefix` both say where the data is | remove one of the two",
        ),
        (
            user("files = [{ path = \"x\", storage = \"/q\" }]"),
            "6:34: the storage `/q` is declared nowhere | add a [[storage]] with the path `/q`, \
             or correct this one",
        ),
        (
            user(
                "files = [{ path = \"x\", storage = \"/q\" }]\n[[storage]]\npath = \"/q\"\nenable = false",
            ),
            "6:34: the storage `/q` is not enabled (line 8) | enable it, or keep the entry in \
             another storage",
        ),
        (
            user("files = [{ path = \"x\", persistentStoragePath = \"/q\" }]"),
            "6:24: unknown key `persistentStoragePath` in an entry of `files` | did you mean \
             `storage`?",
        ),
        (
            "[[storage]]\npath = \"/p\"\nallow_other = false".to_string(),
            "5:1: `allow_other` is always true: what is kept is bound, and only its mode decides \
             who may look | remove it, and give what others must not see a `mode`",
        ),
    ] {
        assert_eq!(after_root(&text), [expected], "{text}");
    }
}

#[test]
fn the_same_data_is_found_wherever_it_comes_from() {
    for (text, expected) in [
        (
            "[storage.users.al]\ndata = \".\"\nfiles = [\"x\"]\n[storage.users.bo]\ndata = \".\"\nfiles = [\"x\"]",
            "10:10: `/home/bo/x` has the same data as `/home/al/x` in line 7 | give each kept \
             path data of its own",
        ),
        (
            "directories = [\"/a\", { path = \"/b\", data = \"./a/\" }]",
            "5:31: `/b` has the same data as `/a` in line 5 | give each kept path data of its own",
        ),
        (
            "files = [{ path = \"/a\", storage = \"/p/q\" }, \"/q/a\"]\n[[storage]]\npath = \"/p/q\"",
            "5:45: `/q/a` has the same data as `/a` in line 5 | give each kept path data of its own",
        ),
        (
            "[storage.users.al]\ndata = \".\"\ndirectories = [\"x/.a\"]\nstrip_prefix = true\n\
             [[storage]]\npath = \"/p/x\"\n[storage.users.bo]\ndata = \".\"\ndirectories = [\".a\"]",
            "13:16: `/home/bo/.a` has the same data as `/home/al/.a` in line 7 | give each kept \
             path data of its own",
        ),
    ] {
        let text = format!("[[storage]]\npath = \"/p\"\n{text}");
        assert_eq!(after_root(&text), [expected], "{text}");
    }
}

#[test]
fn a_parent_that_two_entries_want_another_way_is_a_contradiction() {
    let storage = |list: &str| format!("[[storage]]\npath = \"/p\"\nfiles = [\n{list}\n]");
    let differing = "{ path = \"/a/x\", parent = { mode = \"0700\" } },\n\"/a/z\",\n\
                     { path = \"/a/y\", parent = { mode = \"0750\" } },";
    assert_eq!(
        after_root(&storage(differing)),
        [
            "8:10: `parent` wants `/a` another way than `/a/x` in line 6 does | say the same in both, \
          or declare the directory itself with its owner and mode"
        ]
    );
    // On the machine these have parents of their own; in storage they share one.
    let in_storage = "{ path = \"/a/x\", data = \"d/x\", parent = { mode = \"0700\" } },\n\
                      { path = \"/b/y\", data = \"d/y\", parent = { user = \"al\" } },";
    assert_eq!(
        after_root(&storage(in_storage)),
        ["7:10: `parent` wants `/p/d` another way than `/a/x` in line 6 does | say the same in \
          both, or declare the directory itself with its owner and mode"]
    );
    for fine in [
        "{ path = \"/a/x\", parent = { mode = \"0700\" } },\n\
         { path = \"/a/y\", parent = { mode = \"u=rwx,g=,o=\" } },",
        "{ path = \"/a/x\", parent = { mode = \"0700\" } },\n\
         { path = \"/a/b/y\", parent = { mode = \"0750\" } },",
        "{ path = \"/x\", parent = { mode = \"0700\" } },\n\
         { path = \"/y\", parent = { mode = \"0750\" } },",
    ] {
        let text = format!("[root]\nbackend = \"tmpfs\"\n{}", storage(fine));
        parse(&text).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn what_is_added_to_a_home_keeps_its_own_name() {
    let add = |path: &str| {
        let path = TreePath::parse(path.as_bytes()).unwrap();
        add_entry(DOTFILES, Path::new("/nix/dotfiles"), &path, EntryKind::File, None).unwrap()
    };
    let added = add("/home/alice/.config/kdeglobals");
    let line = "files = [\n  { path = \".config/kdeglobals\", strip_prefix = false },\n]\n";
    assert_eq!(
        added,
        DOTFILES.replace("[storage.users.bob]", &format!("{line}[storage.users.bob]"))
    );
    let source = "/home/alice/.config/kdeglobals <- /nix/dotfiles/.config/kdeglobals noexec";
    assert!(shown(&added).contains(&source.to_string()), "{added}");
    let source = "/srv2/bob/y <- /nix/dotfiles/people/bob/y noexec";
    assert!(shown(&add("/srv2/bob/y")).contains(&source.to_string()));
}
