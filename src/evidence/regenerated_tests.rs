use super::*;
use crate::evidence::evidence_fixture::{Made, changes_of, content_of, digest_of};
use dirfd::fingerprint::Content;

/// The paths that are regenerated after these boots, and those that were to be read for that. The changes of live
/// at the places `kept` are no strays, and of `stamp` the time counts.
fn regenerated(
    live: &[Made<'_>],
    kept: &[usize],
    boots: &[&[Made<'_>]],
) -> (Vec<String>, Vec<String>) {
    let changes = changes_of(live);
    let mut classes = Classes::new(&changes);
    for boot in boots {
        classes.add(&changes, &digest_of(boot).unwrap());
    }
    classes.regard_mtimes(&changes, |path| path.ends_with(b"stamp"));
    let candidates = find_candidates(&changes, &classes, |at| !kept.contains(&at));
    let is_same = |one: &&Candidate| {
        let made = live.iter().find(|(name, _)| name.as_bytes() == one.file.path);
        let content = made.map_or(Content::Nothing, |(_, number)| content_of(*number));
        one.is_regenerated(&FileContent { content, target: Vec::new() })
    };
    let path = |one: &Candidate| String::from_utf8_lossy(&one.file.path).into_owned();
    let found = candidates.iter().filter(is_same).map(|one| format!("/{}", path(one)));
    (found.collect(), candidates.iter().map(path).collect())
}

#[test]
fn what_all_made_and_live_has_the_same_is_regenerated_and_nothing_else_is_read() {
    let made: &[Made<'_>] = &[("-etc/motd", 0), ("etc/a", 1), ("etc/b", 1), ("var/stamp", 1)];
    let live: &[Made<'_>] =
        &[("-etc/motd", 0), ("etc/a", 1), ("etc/b", 2), ("etc/c", 3), ("var/stamp", 1)];
    let (found, read) = regenerated(live, &[], &[made, made]);
    assert_eq!(found, ["/etc/a", "/etc/motd"]);
    assert_eq!(read, ["etc/a", "etc/b", "etc/motd"]);
    let (found, read) = regenerated(live, &[1], &[made, made]);
    assert_eq!((found, read.len()), (vec!["/etc/a".to_string(), "/etc/motd".to_string()], 2));
}

#[test]
fn without_old_roots_nothing_is_regenerated() {
    assert_eq!(regenerated(&[("etc/a", 1)], &[], &[]).0, [""; 0]);
}

#[test]
fn an_added_directory_that_holds_something_new_is_told_as_a_whole() {
    let made: &[Made<'_>] =
        &[("db/", 0), ("db-log/", 0), ("db-log/x", 1), ("db/base/", 0), ("db/base/1", 1)];
    let (found, _) = regenerated(made, &[], &[made]);
    assert_eq!(found, ["/db", "/db-log", "/db-log/x", "/db/base", "/db/base/1"]);
    let mut live = made.to_vec();
    live.push(("db/base/2", 2));
    let (found, _) = regenerated(&live, &[], &[made]);
    assert_eq!(found, ["/db-log", "/db-log/x"]);
    // Unless what is new is kept: then nothing of it is lost.
    let (found, _) = regenerated(&live, &[5], &[made]);
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn a_directory_that_all_share_is_no_whole_where_blank_is_empty() {
    let made: &[Made<'_>] = &[
        ("var/", 0),
        ("var/lib/", 0),
        ("var/lib/db/", 0),
        ("var/lib/db/1", 1),
        ("var/lib/seed", 1),
    ];
    let live = [made, &[("var/lib/db/2", 2)]].concat();
    let (found, _) = regenerated(&live, &[], &[made]);
    assert_eq!(found, ["/var", "/var/lib", "/var/lib/seed"]);
}

#[test]
fn a_new_file_in_a_home_says_nothing_of_the_other_files_there() {
    let made: &[Made<'_>] = &[
        ("home/", 0),
        ("home/alice/", 0),
        ("home/alice/.bashrc", 1),
        ("home/alice/.config/", 0),
        ("home/alice/.config/mail/", 0),
        ("home/alice/.config/mail/rules", 1),
        ("root/", 0),
        ("root/.profile", 1),
    ];
    let new: &[Made<'_>] =
        &[("home/alice/.config/mail/account", 2), ("home/alice/thesis", 2), ("root/mine", 2)];
    let (found, _) = regenerated(&[made, new].concat(), &[], &[made]);
    let expected = [
        "/home",
        "/home/alice",
        "/home/alice/.bashrc",
        "/home/alice/.config",
        "/root",
        "/root/.profile",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_directory_of_blank_is_no_whole() {
    let made: &[Made<'_>] = &[("etc/a", 1)];
    let live: &[Made<'_>] = &[("etc/a", 1), ("etc/new", 2)];
    assert_eq!(regenerated(live, &[], &[made]).0, ["/etc/a"]);
}
