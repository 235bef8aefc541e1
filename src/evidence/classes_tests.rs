use super::*;
use crate::evidence::evidence_fixture::{Made, changes_of, digest_of};
use dirfd::fingerprint::FileContent;

/// The class of each change of `live` after these boots, the youngest first, with `%` for identifiers.
fn classes_of(live: &[Made<'_>], boots: &[&[Made<'_>]]) -> Vec<(String, Option<Class>)> {
    let changes = changes_of(live);
    let mut classes = Classes::new(&changes);
    for boot in boots {
        classes.add(&changes, &digest_of(boot).unwrap());
    }
    let rows = changes.iter().enumerate();
    rows.map(|(at, change)| (change.path.to_string(), classes.class(at))).collect()
}

fn class_of(live: Made<'_>, boots: &[&[Made<'_>]]) -> Option<Class> {
    classes_of(&[live], boots)[0].1
}

#[test]
fn without_old_roots_nothing_is_known() {
    assert_eq!(class_of(("etc/a", 1), &[]), None);
}

#[test]
fn a_path_is_new_until_a_boot_had_it_and_same_when_all_made_the_same() {
    let had: &[Made<'_>] = &[("etc/a", 1)];
    let not: &[Made<'_>] = &[("etc/b", 1)];
    let other: &[Made<'_>] = &[("etc/a", 2)];
    let a = ("etc/a", 9);
    assert_eq!(class_of(a, &[not, not]), Some(Class::New));
    assert_eq!(class_of(a, &[had, not]), Some(Class::Some(1)));
    assert_eq!(class_of(a, &[not, other, had]), Some(Class::Some(2)));
    assert_eq!(class_of(a, &[had, had, had]), Some(Class::Same));
    assert_eq!(class_of(a, &[had, had, other]), Some(Class::Changing));
}

#[test]
fn what_could_not_be_read_is_never_the_same_be_it_in_one_boot_alone() {
    let unread: &[Made<'_>] = &[("etc/a", 0)];
    let had: &[Made<'_>] = &[("etc/a", 1)];
    for boots in [&[unread][..], &[unread, unread], &[had, unread], &[unread, had]] {
        assert_eq!(class_of(("etc/a", 1), boots), Some(Class::Changing), "{boots:?}");
    }
}

#[test]
fn removed_paths_have_evidence_like_added_ones() {
    let removed: &[Made<'_>] = &[("-etc/a", 0)];
    let made: &[Made<'_>] = &[("etc/a", 1)];
    assert_eq!(class_of(("-etc/a", 0), &[removed, removed]), Some(Class::Same));
    assert_eq!(class_of(("-etc/a", 0), &[removed, made]), Some(Class::Changing));
    assert_eq!(class_of(("-etc/a", 0), &[&[], &[]]), Some(Class::New));
}

#[test]
fn an_identifier_in_the_path_is_the_same_path_in_each_boot() {
    let [one, two, three] = ["1", "2", "3"].map(|digit| digit.repeat(32));
    let dir = |id: &str| format!("var/log/journal/{id}/");
    let file = |id: &str| format!("var/log/journal/{id}/system.journal");
    let boot = |id: &str, number| vec![(dir(id), 0), (file(id), number)];
    let boots = [boot(&one, 1), boot(&two, 2)];
    let made: Vec<Vec<Made<'_>>> = boots
        .iter()
        .map(|boot| boot.iter().map(|(path, number)| (path.as_str(), *number)).collect())
        .collect();
    let made: Vec<&[Made<'_>]> = made.iter().map(Vec::as_slice).collect();
    let (dir, file) = (dir(&three), file(&three));
    let classes = classes_of(&[(&dir, 0), (&file, 3)], &made);
    assert_eq!((classes[0].1, classes[1].1), (Some(Class::Same), Some(Class::Changing)));
}

#[test]
fn two_paths_of_one_template_are_not_the_same_as_one() {
    let [one, two] = ["1", "2"].map(|digit| format!("var/x/{}", digit.repeat(32)));
    let both: &[Made<'_>] = &[(&one, 1), (&two, 1)];
    let third = format!("var/x/{}", "3".repeat(32));
    assert_eq!(class_of((&third, 1), &[both, both]), Some(Class::Changing));
    // By its own name it is compared with itself.
    assert_eq!(class_of((&one, 1), &[both, both]), Some(Class::Same));
}

#[test]
fn where_the_time_counts_the_same_bytes_of_another_time_are_another_version() {
    let changes = changes_of(&[("var/stamp", 1)]);
    let mut classes = Classes::new(&changes);
    for mtime in [5, 6] {
        let mut writer = dirfd::changes::ChangesWriter::new();
        let facts = Facts { mtime, ..crate::evidence::evidence_fixture::facts_of(FileType::File) };
        writer.record_path(b"var/stamp", ChangeKind::Added, facts);
        let header = digest_of(&[("var/stamp", 1)]).unwrap().header().clone();
        let held = FileContent { content: Content::Whole([1; 16]), target: Vec::new() };
        let digest = Digest::new(header, &writer.finish(), [held]);
        classes.add(&changes, &digest.unwrap());
    }
    assert_eq!(classes.class(0), Some(Class::Same));
    classes.regard_mtimes(&changes, |path| path == b"var/stamp");
    assert_eq!(classes.class(0), Some(Class::Changing));
}

#[test]
fn many_paths_meet_their_rows() {
    let live: Vec<String> = (0..300).map(|number| format!("d{}/f{number}", number % 7)).collect();
    let live: Vec<Made<'_>> = live.iter().map(|path| (path.as_str(), 1)).collect();
    let odd: Vec<Made<'_>> = live.iter().copied().skip(1).step_by(2).collect();
    let classes = classes_of(&live, &[&live, &odd]);
    let same = classes.iter().filter(|(_, class)| *class == Some(Class::Same)).count();
    let some = classes.iter().filter(|(_, class)| *class == Some(Class::Some(1))).count();
    assert_eq!((same, some), (150, 150));
}
