use std::convert::Infallible;

use anstream::adapter::strip_str;
use dirfd::{ChangeKind, Facts, FileType, TreePath};
use lscolors::LsColors;
use proptest::prelude::*;

use super::*;
use crate::diff::diff_fixture::{
    ExampleChange, Fixture, example_change, facts_of_type, file_facts, text_of, week_of_changes,
};
use crate::diff::tree_fold;

fn plain(fixture: &Fixture) -> String {
    text_of(|out| write_diff_tree(&fixture.report(), &Style::default(), out))
}

fn coloured(fixture: &Fixture) -> String {
    let style = Style { color: true, ls_colors: Some(LsColors::from_string("*.pem=35")) };
    text_of(|out| write_diff_tree(&fixture.report(), &style, out))
}

#[test]
fn a_week_on_a_machine() {
    insta::assert_snapshot!(plain(&Fixture::new(week_of_changes())), @r#"
    m /                                                   stray
      /etc/
    + ├─ machine-id                                 33 B  kept
    - ├─ motd                                      286 B  stray
    ! ├─ mtab                                       12 B  stray
    ~ ├─ passwd                                  1.2 KiB  stray
    m ├─ shadow                                           stray
      └─ ssl/
    m    └─ private/                                      stray
    +       └─ host key.pem                      1.7 KiB  stray
      /home/alice/
    + ├─ bin/                         2 files    3.8 MiB  stray
    + ├─ caf\xe9.txt                                88 B  stray
    + ├─ empty/                         empty             stray
    + ├─ notes\nfor\u{1b}[31m me                 5.0 KiB  stray
    + └─ 日本語.md                              11.7 KiB  stray
    - /opt/                            1 file   68.4 KiB  stray
      /run/
    + ├─ control                         fifo             stray
    + └─ control.sock                  socket             stray
    + /srv/                                               stray
    + ├─ kept                                        1 B  kept
    + └─ www/                          1 file       17 B  stray
    + /srv-backup/                     1 file        1 B  stray
      /var/
      ├─ cache/
    + │  └─ apt/                  1,203 files   17.9 MiB  forgotten
      ├─ lib/
    ~ │  ├─ app/state/*              30 files    2.9 KiB  kept
    + │  ├─ machines                subvolume             stray
    ! │  └─ was-a-dir              had 1 file        9 B  stray
      └─ log/journal/
    +    ├─ 00.log                                   0 B  stray
    +    ├─ 01.log                                1000 B  stray
    +    ├─ 02.log                               2.0 KiB  stray
    +    ├─ 03.log                               2.9 KiB  stray
    +    ├─ 04.log                               3.9 KiB  stray
    +    ├─ 05.log                               4.9 KiB  stray
    +    ├─ 06.log                               5.9 KiB  stray
    +    ├─ 07.log                               6.8 KiB  stray
    +    ├─ 08.log                               7.8 KiB  stray
    +    ├─ 09.log                               8.8 KiB  stray
    +    └─ … and 25 more                      537.1 KiB  stray

    + 1,257 added, ~ 31 modified, m 3 metadata, ! 2 replaced, - 5 removed: 62 stray (4.4 MiB), 32 kept (3.0 KiB), 1,204 forgotten (17.9 MiB)
    --flat shows what is folded here
    "#);
}

#[test]
fn nothing_changed_is_one_line() {
    let mut fixture = Fixture::new(Vec::new());
    assert_eq!(plain(&fixture), "Nothing changed: root is the same as root-blank.\n");
    fixture.only = vec![TreePath::parse(b"/etc/a\nb").unwrap()];
    let expected = "Nothing changed in /etc/a\\nb: root is the same as root-blank there.\n";
    assert_eq!(plain(&fixture), expected);
}

#[test]
fn a_walk_says_why_it_was_needed() {
    let mut fixture =
        Fixture::new(vec![example_change("x", ChangeKind::Added, file_facts(1), Verdict::Stray)]);
    fixture.diff.method = DiffMethod::Walk("blank was made on another disk".to_string());
    insta::assert_snapshot!(plain(&fixture), @r#"
    + /x  1 B  stray

    + 1 added: 1 stray (1 B)
    note: walked both trees, because blank was made on another disk
    "#);
}

#[test]
fn a_narrowed_view_counts_only_what_it_shows() {
    let mut fixture = Fixture::new(week_of_changes());
    fixture.only =
        ["/etc/ssl", "/srv"].map(|path| TreePath::parse(path.as_bytes()).unwrap()).into();
    insta::assert_snapshot!(plain(&fixture), @r#"
      /etc/ssl/
    m └─ private/                          stray
    +    └─ host key.pem          1.7 KiB  stray
    + /srv/                                stray
    + ├─ kept                         1 B  kept
    + └─ www/             1 file     17 B  stray

    + 5 added, m 1 metadata: 5 stray (1.7 KiB), 1 kept (1 B)
    --flat shows what is folded here
    "#);
}

#[test]
fn few_decided_changes_are_all_named_and_a_lone_new_directory_keeps_its_name() {
    let kept =
        |n| example_change(format!("etc/nix/{n}"), ChangeKind::Added, file_facts(1), Verdict::Kept);
    let mut items: Vec<ExampleChange> = (0..3).map(kept).collect();
    let forgotten =
        |path: String, facts| example_change(path, ChangeKind::Added, facts, Verdict::Forgotten);
    items.push(forgotten("var/cache/apt".to_string(), facts_of_type(FileType::Dir)));
    items.extend((0..50).map(|n| forgotten(format!("var/cache/apt/{n:02}"), file_facts(2))));
    insta::assert_snapshot!(plain(&Fixture::new(items)), @r#"
      /etc/nix/
    + ├─ 0                 1 B  kept
    + ├─ 1                 1 B  kept
    + └─ 2                 1 B  kept
      /var/cache/
    + └─ apt/  50 files  100 B  forgotten

    + 54 added: 3 kept (3 B), 51 forgotten (100 B)
    --flat shows what is folded here
    "#);
}

#[test]
fn colour_adds_nothing_but_colour() {
    let fixture = Fixture::new(week_of_changes());
    assert_eq!(strip_str(&coloured(&fixture)).to_string(), plain(&fixture));
    assert!(!plain(&fixture).contains('\x1b'));
}

#[test]
fn strays_stand_out_and_the_rest_stands_back() {
    let fixture = Fixture::new(vec![
        example_change("etc/key.pem", ChangeKind::Added, file_facts(1), Verdict::Stray),
        example_change("etc/kept.pem", ChangeKind::Added, file_facts(1), Verdict::Kept),
        example_change("etc/gone.pem", ChangeKind::Removed, file_facts(1), Verdict::Forgotten),
    ]);
    insta::assert_snapshot!(coloured(&fixture).replace('\x1b', "^"), @r#"
      ^[1m^[34m/etc/^[0m
    ^[2m-^[0m ^[2m├─ ^[0m^[2mgone.pem^[0m  ^[2m1 B^[0m  ^[2mforgotten^[0m
    ^[2m^[32m+^[0m ^[2m├─ ^[0m^[2mkept.pem^[0m  ^[2m1 B^[0m  ^[2m^[32mkept^[0m
    ^[31m+^[0m ^[2m└─ ^[0m^[35mkey.pem^[0m   1 B  ^[31mstray^[0m

    ^[1m+^[0m 2 added, ^[1m-^[0m 1 removed: ^[31m1 stray (1 B)^[0m, 1 kept (1 B), 1 forgotten
    "#);
}

fn any_items() -> impl Strategy<Value = Vec<ExampleChange>> {
    let name = prop_oneof![
        3 => prop::sample::select(vec![&b"a"[..], b"a-b", b"a b", b"b", b"\xff", b"\n"])
            .prop_map(<[u8]>::to_vec),
        1 => (0..60_u8).prop_map(|n| n.to_string().into_bytes()),
    ];
    let path = prop::collection::vec(name, 0..5).prop_map(|names| names.join(&b'/'));
    let kind = prop_oneof![
        6 => Just(ChangeKind::Added),
        1 => prop::sample::select(ChangeKind::ALL.to_vec()),
    ];
    let verdict = prop_oneof![
        4 => Just(Verdict::Forgotten),
        1 => prop::sample::select(VERDICTS.to_vec()),
    ];
    let facts = prop_oneof![
        Just(file_facts(10)),
        Just(facts_of_type(FileType::Dir)),
        Just(facts_of_type(FileType::Fifo))
    ];
    let rows = prop::collection::btree_map(path, (kind, facts, verdict), 0..200);
    rows.prop_map(|rows| {
        let items = rows.into_iter();
        items
            .map(|(path, (kind, facts, verdict))| example_change(path, kind, facts, verdict))
            .collect()
    })
}

fn view(items: Vec<ExampleChange>) -> (u64, Vec<tree_fold::FoldedLine>) {
    let fixture = Fixture::new(items);
    let mut builder = tree_fold::ChangeTreeBuilder::new();
    let mut rows = 0;
    let Ok(()) = fixture.report().for_each::<Infallible>(|row| {
        rows += 1;
        builder.add(row);
        Ok(())
    });
    (rows, tree_fold::fold_tree(&builder.finish()))
}

proptest! {
    #[test]
    fn every_change_is_on_exactly_one_line(items in any_items()) {
        let (rows, lines) = view(items);
        prop_assert_eq!(lines.iter().map(tree_fold::FoldedLine::covers).sum::<u64>(), rows);
    }

    #[test]
    fn a_name_never_breaks_its_line(items in any_items()) {
        let (_, lines) = view(items.clone());
        let fixture = Fixture::new(items);
        let shown = plain(&fixture);
        // The summary is one line after an empty one, and the hint may be another.
        let tree = shown.lines().take_while(|line| !line.is_empty()).count();
        prop_assert!(lines.is_empty() || tree == lines.len(), "{}", shown);
    }
}

#[test]
fn ten_thousand_nested_directories_do_not_overflow_the_stack() {
    let names = vec!["d"; 2_000];
    let dirs = (1..=names.len()).step_by(500).map(|depth| {
        let facts = Facts { mode: 0o700, ..facts_of_type(FileType::Dir) };
        example_change(names[..depth].join("/"), ChangeKind::Metadata, facts, Verdict::Stray)
    });
    let deepest = example_change(
        ["d/"; 10_000].concat() + "x",
        ChangeKind::Added,
        file_facts(1),
        Verdict::Stray,
    );
    let (rows, lines) = view(dirs.chain([deepest]).collect());
    assert_eq!((rows, lines.iter().map(tree_fold::FoldedLine::covers).sum::<u64>()), (5, 5));
}

#[test]
fn a_nested_subvolume_is_never_folded_away() {
    let added = |path: &str, facts| example_change(path, ChangeKind::Added, facts, Verdict::Stray);
    let fixture = Fixture::new(vec![
        added("var/lib", facts_of_type(FileType::Dir)),
        added("var/lib/a", file_facts(1)),
        added("var/lib/machines", facts_of_type(FileType::Subvolume)),
    ]);
    insta::assert_snapshot!(plain(&fixture), @r"
      /var/
    + └─ lib/                         stray
    +    ├─ a                    1 B  stray
    +    └─ machines  subvolume       stray

    + 3 added: 3 stray (1 B)
    ");
}
