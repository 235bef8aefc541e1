//! The backend for ZFS on a real pool: this machine's kernel has none, so its tests run in guests.

use std::thread;

use support::histories;
use vm_tests::qemu;
use vm_tests::stories::SUITE;
use vm_tests::zfs::{Guest, command, histories as histories_program, tests_of_backends};

/// Runs what each of these filters chooses in a guest of its own, all at once.
fn in_guests(filters: &[&str]) {
    if is_skipped() {
        return;
    }
    let guest = Guest::of(SUITE, &tests_of_backends());
    let ran: Vec<_> = thread::scope(|scope| {
        let guests: Vec<_> =
            filters.iter().map(|filter| scope.spawn(|| guest.run_tests(filter, ""))).collect();
        guests.into_iter().map(|guest| guest.join().unwrap()).collect()
    });
    for said in &ran {
        println!("{said}");
    }
    for (said, filter) in ran.iter().zip(filters) {
        assert!(said.contains("status 0"), "tests of {filter} failed");
        assert!(!said.contains("running 0 tests"), "no test is called {filter}");
    }
}

fn is_skipped() -> bool {
    let why = qemu::unavailable();
    if let Some(why) = &why {
        println!("SKIPPED: {why}");
    }
    why.is_some()
}

/// Plays `BLANKROOT_HISTORIES` random histories, or `count`; those of `BLANKROOT_SEED`, or of a seed that
/// is printed.
fn diff_is_exact_after_histories(count: u32) {
    if is_skipped() {
        return;
    }
    let (seed, count) = (histories::seed(), histories::count(count));
    let variables = format!("BLANKROOT_SEED={seed} BLANKROOT_HISTORIES={count}");
    println!("{variables}");
    let said = Guest::of(SUITE, &histories_program()).run_tests("histor", &variables);
    println!("{said}");
    assert!(said.contains("status 0"), "{variables} failed");
    assert!(!said.contains("running 0 tests"), "no history was played");
}

#[test]
fn every_promise_holds_on_zfs() {
    in_guests(&["zfs::tests::blank_of_live", "zfs::tests::own", "zfs::tests::diffing"]);
}

#[test]
fn every_promise_holds_on_zfs_where_blank_has_a_dataset_of_its_own() {
    in_guests(&["zfs::tests::blank_apart"]);
}

#[test]
fn diff_is_exact_after_any_history_on_zfs() {
    diff_is_exact_after_histories(300);
}

/// 20,000 files in 200 directories, well before blank; then in each some changes, and then changes of all.
/// The two take turns.
const SIDE_BY_SIDE: &str = r#"
zfs create -o mountpoint=legacy -o xattr=sa tests/root
mkdir -p /live && mount -t zfs tests/root /live
hundred=$(seq 100)
for d in $(seq 200); do
    dir=/live/part$((d % 10))/dir$d
    mkdir -p $dir
    for f in $hundred; do echo "$d $f content" >$dir/file$f; done
done
sync
date -s "@$(($(date +%s) + 120))" >/dev/null
zfs snapshot tests/root@blank
printf '[root]\nbackend = "zfs"\ndataset = "tests"\nlive = "root"\nblank = "root@blank"\nold = "old"\n' \
    >/etc/blankroot.toml
# Microseconds, by tens of milliseconds.
now() { read -r up rest </proc/uptime; echo "${up%.*}${up#*.}0000"; }
measure() {
    sync; zpool sync tests
    for round in 0 1 2 3; do
        a=$(now)
        blankroot --config /etc/blankroot.toml diff --flat --root /live >/run/ours 2>/run/ours.err || cat /run/ours.err
        b=$(now)
        zfs diff -FHt tests/root@blank tests/root >/run/theirs
        c=$(now)
        # The first finds the programs themselves not in memory.
        [ $round = 0 ] || echo "side by side: $1 $((b - a)) $((c - b))"
    done
    echo "rows: $1 $(wc -l </run/ours) $(wc -l </run/theirs)"
    cat /run/ours.err
}
for d in $(seq 200); do
    for f in 1 50 $((d % 2 ? 99 : 1)); do echo more >>/live/part$((d % 10))/dir$d/file$f; done
done
measure 500
for d in $(seq 200); do
    for f in $hundred; do echo more >>/live/part$((d % 10))/dir$d/file$f; done
done
measure 20000
"#;

/// A figure, and no limit: the machine is an emulated one.
#[test]
fn how_long_diff_takes_beside_zfs_diff() {
    if is_skipped() {
        return;
    }
    let said = Guest::of(SUITE, &command("fast")).run(SIDE_BY_SIDE);
    println!("{said}");
    for changes in ["500", "20000"] {
        let lines = said.lines().filter_map(|line| line.strip_prefix("side by side: "));
        let times: Vec<[u64; 2]> = lines
            .filter_map(|line| line.strip_prefix(changes)?.strip_prefix(' '))
            .map(|times| {
                let (ours, theirs) = times.split_once(' ').unwrap();
                [ours.parse().unwrap(), theirs.trim().parse().unwrap()]
            })
            .collect();
        assert_eq!(times.len(), 3, "{changes} changes");
        let [ours, theirs] = [0, 1].map(|side| {
            let mut side: Vec<u64> = times.iter().map(|times| times[side]).collect();
            side.sort_unstable();
            side[side.len() / 2] as f64 / 1e6
        });
        let ratio = ours / theirs;
        println!(
            "{changes} changes in 20,000 files on ZFS: blankroot diff {ours:.2} s, zfs diff {theirs:.2} s, \
             ratio {ratio:.2}"
        );
        // A changed file is a row of its own, and of directories none was changed.
        assert!(said.contains(&format!("rows: {changes} {changes} ")), "not all changes were told");
    }
}
