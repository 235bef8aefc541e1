use backends::{Obstacle, OldRoot, Space, TreeId};
use chrono::DateTime;

use super::*;
use crate::boot::command_line::CommandLine;
use crate::boot::stamp::Stamp;

const BOOT: &str = "3f2a1c9e-7a01-4b6e-9d0a-000000000000";

fn name(text: &str) -> TreeName {
    TreeName::new(text).unwrap()
}

fn layout() -> Layout {
    Layout { live: name("root"), blank: name("root-blank"), old: name("old-roots") }
}

fn tree(id: &str, at: &str) -> Tree {
    Tree {
        id: TreeId::new(id),
        name: name(at),
        read_only: false,
        created: None,
        copy_of: None,
        pristine: Some(false),
    }
}

fn copy(id: &str, at: &str) -> Tree {
    Tree { copy_of: Some(TreeId::new("blank")), pristine: Some(true), ..tree(id, at) }
}

fn record(at: &str, live: &str, blank: &str) -> Record {
    let (live, blank) = (TreeId::new(live), TreeId::new(blank));
    let clock = DateTime::from_timestamp(0, 0).unwrap();
    Record { name: at.into(), ..Record::next(&[], BOOT, clock, live, blank) }
}

/// A used live and a blank to roll back to.
fn survey() -> Survey {
    let blank = Tree { read_only: true, pristine: Some(true), ..tree("blank", "root-blank") };
    Survey {
        has_old_dir: true,
        space: Some(Space { available: 1 << 30, needed: 1 << 20 }),
        ..Survey::new("c0ffee", Slot::Present(tree("live", "root")), Slot::Present(blank))
    }
}

fn facts(line: &str) -> BootFacts {
    BootFacts {
        boot_id: BOOT.into(),
        clock: DateTime::from_timestamp(0, 0).unwrap(),
        command_line: CommandLine::parse(line.as_bytes()),
        resume: Resume::RuledOut,
        fstab_roots: Vec::new(),
        soft_reboots: None,
        up_since: None,
        stamp: Ok(None),
    }
}

fn fresh_copy(number: u32) -> Unfinished {
    let at = format!("{number:06}-aaaaaaaa");
    Unfinished::FreshCopy {
        tree: copy("copy", &format!("old-roots/{at}")),
        record: record(&at, "live", "blank"),
    }
}

fn left_behind() -> Unfinished {
    let tree = tree("old", "old-roots/000001-aaaaaaaa");
    Unfinished::DefaultLeftBehind(OldRoot::new(tree, record("000001-aaaaaaaa", "old", "blank")))
}

fn mount(at: &str, seen_by: Option<i32>, certain: bool) -> LiveMount {
    LiveMount { mount_point: at.into(), seen_by: seen_by.into(), certain }
}

/// Whether the plan changes the file system, and not only the stamp.
fn changes_disk(plan: &RollbackPlan) -> bool {
    plan.steps.iter().any(|step| *step != RollbackStep::Stamp)
}

fn planned(survey: &Survey, facts: &BootFacts) -> String {
    plan_rollback(Strategy::SetAside, survey, facts, &layout()).unwrap().to_string()
}

/// What is printed for a disk and a boot that differ from a good one by `change`.
fn refused(line: &str, change: impl FnOnce(&mut Survey, &mut BootFacts)) -> Vec<String> {
    let (mut survey, mut facts) = (survey(), facts(line));
    change(&mut survey, &mut facts);
    let refusals = plan_rollback(Strategy::SetAside, &survey, &facts, &layout()).unwrap_err();
    refusals.iter().map(ToString::to_string).collect()
}

#[test]
fn a_used_live_is_replaced_by_a_fresh_copy() {
    let expected = "\
1. make a fresh copy of `root-blank` as `old-roots/000001-3f2a1c9e`
2. exchange `root` and `old-roots/000001-3f2a1c9e`: the copy becomes live, and live the old root
3. write the stamp of this boot
";
    assert_eq!(planned(&survey(), &facts("quiet")), expected);
    let plan = plan_rollback(Strategy::SetAside, &survey(), &facts(""), &layout()).unwrap();
    let RollbackStep::Prepare { record, .. } = &plan.steps[0] else { panic!("{plan}") };
    assert_eq!((record.live.as_str(), record.blank.as_str()), ("live", "blank"));
    assert!(changes_disk(&plan));
}

#[test]
fn a_mount_without_a_name_follows_live() {
    let default = Survey { live_is_default: true, ..survey() };
    let left = Survey { unfinished: vec![left_behind()], ..survey() };
    for survey in [default, left] {
        let text = planned(&survey, &facts(""));
        assert!(text.contains("3. let mounts that name no tree lead to `root`\n4. "), "{text}");
    }
}

#[test]
fn no_name_that_is_taken_is_used_again() {
    let unreadable = name("old-roots/000007-aaaaaaaa.json");
    let mut survey = survey();
    for unfinished in [
        Unfinished::RecordOnly(record("000003-aaaaaaaa", "live", "blank")),
        Unfinished::Foreign(name("old-roots/000005-mine")),
        Unfinished::UnreadableRecord { name: unreadable, why: "it is empty".into() },
        Unfinished::FreshCopy {
            tree: copy("copy", "old-roots/000009-aaaaaaaa"),
            record: record("000009-aaaaaaaa", "another live", "blank"),
        },
    ] {
        let last = unfinished.clone();
        survey.unfinished.push(unfinished);
        let highest = taken_names(&survey).into_iter().max().unwrap();
        let next: u32 = highest.to_str().unwrap()[..6].parse::<u32>().unwrap() + 1;
        let text = planned(&survey, &facts(""));
        assert!(text.contains(&format!("as `old-roots/{next:06}-3f2a1c9e`")), "{last:?}: {text}");
    }
}

#[test]
fn a_copy_that_an_interrupted_run_left_is_used() {
    let survey = Survey { unfinished: vec![fresh_copy(2), fresh_copy(1)], ..survey() };
    let expected = "\
1. exchange `root` and `old-roots/000002-aaaaaaaa`: the copy becomes live, and live the old root
2. write the stamp of this boot
";
    assert_eq!(planned(&survey, &facts("")), expected);
    let full = Survey { space: Some(Space { available: 0, needed: 1 }), ..survey };
    assert_eq!(planned(&full, &facts("")), expected);
}

#[test]
fn a_copy_that_may_differ_from_blank_or_is_for_another_live_is_not_used() {
    let changes: [fn(&mut Tree, &mut Record, &mut Survey); 7] = [
        |tree, _, _| tree.pristine = Some(false),
        |tree, _, _| tree.pristine = None,
        |tree, _, _| tree.copy_of = Some(TreeId::new("another")),
        |tree, _, _| tree.read_only = true,
        |_, record, _| record.live = TreeId::new("another"),
        |_, record, _| record.blank = TreeId::new("another"),
        |_, _, survey| {
            let Slot::Present(blank) = &mut survey.blank else { panic!() };
            blank.pristine = Some(false);
        },
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut survey = survey();
        let Unfinished::FreshCopy { mut tree, mut record } = fresh_copy(1) else { panic!() };
        change(&mut tree, &mut record, &mut survey);
        survey.unfinished = vec![Unfinished::FreshCopy { tree, record }];
        let text = planned(&survey, &facts(""));
        assert!(text.starts_with("1. make a fresh copy"), "change {at}: {text}");
    }
}

#[test]
fn a_live_that_is_fresh_is_left_alone_even_where_it_is_mounted() {
    let fresh = Survey {
        live: Slot::Present(copy("copy", "root")),
        live_mounts: vec![mount("/sysroot", None, true)],
        space: Some(Space { available: 0, needed: 1 }),
        ..survey()
    };
    let mut facts = facts("");
    let first = "live is a fresh copy of blank already\n1. write the stamp of this boot\n";
    assert_eq!(planned(&fresh, &facts), first);
    assert!(!changes_disk(&plan_rollback(Strategy::SetAside, &fresh, &facts, &layout()).unwrap()));

    facts.stamp = Ok(Some(Stamp::new(BOOT, facts.clock, RollbackOutcome::RolledBack)));
    assert_eq!(planned(&fresh, &facts), "live is a fresh copy of blank already\n");
    facts.stamp = Ok(Some(Stamp::new("another boot", facts.clock, RollbackOutcome::RolledBack)));
    assert_eq!(planned(&fresh, &facts), first);

    let unfinished = Survey { unfinished: vec![left_behind()], ..fresh };
    let expected = "\
live is a fresh copy of blank already
1. let mounts that name no tree lead to `root`
2. write the stamp of this boot
";
    assert_eq!(planned(&unfinished, &facts), expected);
}

#[test]
fn a_fresh_live_is_replaced_where_blank_was_written_to_since() {
    let mut survey = Survey { live: Slot::Present(copy("copy", "root")), ..survey() };
    let Slot::Present(blank) = &mut survey.blank else { panic!() };
    blank.pristine = Some(false);
    assert!(planned(&survey, &facts("")).starts_with("1. make a fresh copy"));
}

#[test]
fn a_skip_is_the_only_reason_that_is_named() {
    let all = refused("blankroot=skip rootflags=subvolid=256", |survey, _| {
        survey.live = Slot::Missing;
    });
    assert_eq!(all, ["not rolled back: `blankroot=skip` is on the kernel command line"]);
}

#[test]
fn the_boot_is_a_reason() {
    let cases = [
        (
            refused("blankroot=Skip", |_, _| {}),
            "`blankroot=Skip` on the kernel command line is none of `skip`, `halt` and `boot`\n  \
             hint: correct it or leave it out",
        ),
        (
            refused("", |_, facts| {
                facts.resume = Resume::Pending { place: "in the swap area of dev/sda2".into() };
            }),
            "a hibernation image is waiting: in the swap area of dev/sda2\n  \
             hint: resume it, or give it up by booting once with `noresume`",
        ),
        (
            refused("", |_, facts| {
                let what = "resume=UUID=12ab".into();
                facts.resume = Resume::CannotTell { what, why: "No such file".into() };
            }),
            "a hibernation image may be waiting: cannot look at resume=UUID=12ab: No such file\n  \
             hint: make it available before the rollback, correct or leave out `resume=`, or boot \
             with `noresume`",
        ),
        (
            refused("rootflags=ro,subvolid=256", |_, _| {}),
            "the kernel command line mounts the root by its number (`subvolid=256`), which stays \
             with the old root\n  hint: write `rootflags=ro,subvol=root` instead",
        ),
        (
            refused("", |_, facts| {
                let text = b"# x\nLABEL=os / btrfs subvolid=256 0 0\n";
                *facts = facts.clone().with_fstab(text);
            }),
            "line 2 of blank's fstab mounts the root by its number (`subvolid=256`), which stays \
             with the old root\n  hint: write this line instead: LABEL=os / btrfs subvol=root 0 0 (in \
             /etc/fstab); then make blank anew, which has the old line: give `root-blank` another \
             name, and run `blankroot init`",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, [format!("cannot roll back: {expected}")]);
    }
}

#[test]
fn live_is_a_reason() {
    let named = "hint: set `live` in the configuration to the name of the tree that is the root";
    let cases = [
        (
            refused("", |survey, _| survey.live = Slot::Missing),
            format!("live, `root`, is missing\n  {named}"),
        ),
        (
            refused("", |s, _| s.live = Slot::NotATree("a plain directory".into())),
            format!("live, `root`, is a plain directory\n  {named}"),
        ),
        (
            refused("", |survey, _| {
                survey.live = Slot::Present(Tree { read_only: true, ..tree("live", "root") });
            }),
            "live, `root`, is read-only and cannot be set aside\n  hint: make it writable".into(),
        ),
        (
            refused("", |survey, _| {
                survey.live_mounts = vec![mount("/a\nb", None, true), mount("/c", Some(7), true)];
            }),
            "live, `root`, is mounted at /a\\nb, /c (in the mount namespace of process 7)\n  \
             hint: run the rollback before live is mounted, or unmount it; the top level and other \
             trees of the file system may stay mounted"
                .into(),
        ),
        (
            refused("", |survey, _| survey.live_mounts = vec![mount("/a", None, false)]),
            "live, `root`, may be mounted at /a (could not be told apart from live)\n  \
             hint: unmount these, or run the rollback before they are mounted"
                .into(),
        ),
        (
            refused("", |survey, _| survey.more_live_mounts = true),
            "whether live, `root`, is mounted could not be told: other mount namespaces have more \
             mounts than can be looked at in a second\n  \
             hint: reboot: the initrd has no such namespaces; `lsns -t mnt` lists them with their \
             processes"
                .into(),
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, [format!("cannot roll back: {expected}")]);
    }
}

#[test]
fn blank_and_the_place_for_old_roots_are_reasons() {
    let cases = [
        (
            refused("", |survey, _| survey.blank = Slot::Missing),
            "blank, `root-blank`, is missing\n  hint: make it with `blankroot init`",
        ),
        (
            refused("", |survey, _| survey.blank = Slot::NotATree("a plain file".into())),
            "blank, `root-blank`, is a plain file\n  \
             hint: move it away, then run `blankroot init`",
        ),
        (
            refused("", |s, _| s.blank = Slot::Present(tree("blank", "root-blank"))),
            "blank, `root-blank`, is not read-only\n  \
             hint: make it read-only, or make a new one with `blankroot init --adopt`",
        ),
        (
            refused("", |survey, _| {
                survey.space = Some(Space { available: 512 << 10, needed: 16 << 20 });
            }),
            "a fresh copy may need 16.0 MiB, and 512.0 KiB are left\n  \
             hint: delete old roots with `blankroot expire`, or make room otherwise",
        ),
        (
            refused("", |survey, _| {
                let reason = "`old-roots` is a plain file".into();
                let hint = Some("move it away".into());
                survey.obstacles = vec![Obstacle { reason, hint }];
            }),
            "`old-roots` is a plain file\n  hint: move it away",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, [format!("cannot roll back: {expected}")]);
    }
}

#[test]
fn all_reasons_are_named_together() {
    let all = refused("blankroot=x rootflags=subvolid=256", |survey, facts| {
        facts.resume = Resume::Pending { place: "in the swap area of dev/sda2".into() };
        *facts = facts.clone().with_fstab(b"x / btrfs subvolid=256");
        survey.blank = Slot::Present(tree("blank", "root-blank"));
        survey.live_mounts = vec![mount("/a", None, true), mount("/b", None, false)];
        survey.space = Some(Space { available: 0, needed: 1 });
    });
    assert_eq!(all.len(), 8, "{all:#?}");
    let both = refused("", |survey, _| {
        survey.live = Slot::Missing;
        survey.blank = Slot::Missing;
    });
    assert_eq!(both.len(), 2, "{both:#?}");
}

#[test]
fn in_place_live_stays_the_tree_that_it_is_and_every_refusal_holds() {
    let plan_in_place = |survey: &Survey| {
        plan_rollback(Strategy::Rollback, survey, &facts(""), &layout())
            .map(|plan| plan.to_string())
    };
    let expected = "\
1. put `root` back to `root-blank` in place: nothing that was written since is left
2. write the stamp of this boot
";
    assert_eq!(plan_in_place(&survey()).unwrap(), expected);
    let full = Survey { space: Some(Space { available: 0, needed: 1 }), ..survey() };
    assert_eq!(plan_in_place(&full).unwrap(), expected);
    let mounted = Survey { live_mounts: vec![mount("/mnt", None, true)], ..survey() };
    assert_eq!(plan_in_place(&mounted).unwrap_err().len(), 1);
}
