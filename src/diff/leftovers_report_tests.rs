use chrono::{DateTime, FixedOffset};
use dirfd::TreePath;
use dirfd::disk_usage::Weight;

use super::*;
use crate::diff::diff_fixture::{facts_of_type, file_facts, text_of};
use crate::diff::leftovers::DeclaredStorage;
use crate::ui::colours::Style;

const NOW: i64 = 1_795_359_549;

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

fn now() -> DateTime<FixedOffset> {
    DateTime::from_timestamp(NOW, 0).unwrap().fixed_offset()
}

fn one(
    storage: &str,
    below: &str,
    why: LeftoverReason,
    file_type: FileType,
    weight: Weight,
) -> Leftover {
    let facts = if file_type == FileType::File {
        file_facts(weight.bytes)
    } else {
        facts_of_type(file_type)
    };
    let (storage, path) = (path(storage), path(&format!("{storage}/{below}")));
    Leftover { path, storage, why, facts, weight }
}

fn weight(bytes: u64, files: u64, days: i64) -> Weight {
    let newest = Some((NOW - days * 86_400, 0));
    Weight { bytes, files, dirs: 1, newest, mounts: 0, subvolumes: 0 }
}

fn fixture() -> Leftovers {
    let looked =
        |text, enabled, there| DeclaredStorage { path: path(text), line: 4, enabled, there };
    let nested = Weight { mounts: 1, subvolumes: 2, ..weight(0, 0, 800) };
    let subvolume = Weight { subvolumes: 1, ..Weight::default() };
    let (set_aside, cut_off) = (b"machine-id".to_vec(), b"a\nb".to_vec());
    Leftovers {
        storages: vec![
            looked("/persist", true, true),
            looked("/clean", true, true),
            looked("/nix/dotfiles", false, true),
            looked("/away", true, false),
        ],
        found: vec![
            one(
                "/nix/dotfiles",
                "Emacs",
                LeftoverReason::NotEnabled { line: 14 },
                FileType::Dir,
                weight(1_300, 4, 23),
            ),
            one(
                "/persist",
                ".snapshots",
                LeftoverReason::Undeclared,
                FileType::Subvolume,
                subvolume,
            ),
            one(
                "/persist",
                "etc/.a\nb.tmp-0",
                LeftoverReason::Temporary { of: cut_off },
                FileType::File,
                weight(7, 1, 0),
            ),
            one(
                "/persist",
                "etc/.machine-id.before-1",
                LeftoverReason::SetAside { of: set_aside },
                FileType::File,
                weight(33, 1, 3),
            ),
            one("/persist", "link", LeftoverReason::Undeclared, FileType::Symlink, weight(0, 1, 1)),
            one("/persist", "srv", LeftoverReason::Undeclared, FileType::Dir, nested),
            one(
                "/persist",
                "var/lib/日本語",
                LeftoverReason::Undeclared,
                FileType::Dir,
                weight(18_300_000, 1_204, 90),
            ),
        ],
        mounted_over: vec![path("/persist/mnt")],
    }
}

#[test]
fn people_see_each_storage_in_columns() {
    let shown =
        text_of(|out| super::write_leftovers_text(&fixture(), &Style::default(), &now(), out));
    insta::assert_snapshot!(shown, @r#"
      /persist/
    ? ├─ .snapshots                  subvolume                      a subvolume, not looked into
    · ├─ etc/.a\nb.tmp-0                             7 B   moments  not whole: an interrupted run was writing `a\nb`
    · ├─ etc/.machine-id.before-1                   33 B    3 days  was `machine-id` until other data took its place
    ? ├─ link                          symlink               1 day
    ? ├─ srv/                                              2 years  has 2 subvolumes, not looked into; has something mounted in it, not looked into
    ? └─ var/lib/日本語/           1,204 files  17.5 MiB  3 months
      /nix/dotfiles/  is not enabled
    · └─ Emacs/                        4 files   1.3 KiB   3 weeks  declared but not enabled, line 14
      /away/  is not there
    note: /persist/mnt was not looked into: something is mounted there

    7 leftovers, 17.5 MiB. None of it is ever deleted.
    look at them: blankroot diff --storage -0 | xargs -0 ls -ld
    "#);
}

#[test]
fn one_line_each_in_columns() {
    let shown =
        text_of(|out| super::write_leftovers_flat(&fixture(), &Style::default(), &now(), out));
    insta::assert_snapshot!(shown, @r#"
    · dir           1.3 KiB        3 weeks  not-enabled  /nix/dotfiles/Emacs
    ? subvolume           -              -  undeclared   /persist/.snapshots
    · file              7 B        moments  temporary    /persist/etc/.a\nb.tmp-0
    · file             33 B         3 days  set-aside    /persist/etc/.machine-id.before-1
    ? symlink             -          1 day  undeclared   /persist/link
    ? dir               0 B        2 years  undeclared   /persist/srv
    ? dir          17.5 MiB       3 months  undeclared   /persist/var/lib/日本語
    "#);
}

#[test]
fn without_storages_or_leftovers_it_says_so() {
    let shown = |leftovers: &Leftovers| {
        text_of(|out| super::write_leftovers_text(leftovers, &Style::default(), &now(), out))
    };
    assert_eq!(shown(&Leftovers::default()), "No storage is declared.\n");
    let clean = Leftovers { storages: fixture().storages[1..2].to_vec(), ..Leftovers::default() };
    assert_eq!(shown(&clean), "Nothing is left over.\n");
}
