//! How long it takes on ZFS, told and not asserted: the machine is an emulated one.
//!
//! `BLANKROOT_FORMER` names a build of another commit (`cargo build --profile fast --bin blankroot
//! --no-default-features --features zfs`): its rollbacks take turns with ours, in the same guest.

use std::path::{Path, PathBuf};
use std::{env, fs};

use vm_tests::console::quoted;
use vm_tests::stories::{SUITE, is_skipped};
use vm_tests::zfs::{Guest, command};

/// What both scripts use: the time in microseconds, by tens of milliseconds, and so many directories
/// with a hundred files each.
const COMMON: &str = r#"
now() { read -r up rest </proc/uptime; echo "${up%.*}${up#*.}0000"; }
fill() {
    for d in $(seq $2); do
        dir=$1/part$((d % 10))/dir$d
        mkdir -p $dir
        for f in $(seq 100); do echo "$d $f content" >$dir/file$f; done
    done
}
"#;

/// 20,000 files in 200 directories, well before blank; then in each some changes, and then changes of all.
/// The two take turns.
const SIDE_BY_SIDE: &str = r#"
zfs create -o mountpoint=legacy -o xattr=sa tests/root
mkdir -p /live && mount -t zfs tests/root /live
fill /live 200
sync
date -s "@$(($(date +%s) + 120))" >/dev/null
zfs snapshot tests/root@blank
printf '[root]\nbackend = "zfs"\ndataset = "tests"\nlive = "root"\nblank = "root@blank"\nold = "old"\n' \
    >/etc/blankroot.toml
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
    for f in $(seq 100); do echo more >>/live/part$((d % 10))/dir$d/file$f; done
done
measure 20000
"#;

/// What the former build is called in the guest.
const FORMER: &str = "former";

/// Two roots, of 1,000 and of 20,000 files, that are rolled back in turns, and one more of 1,000 by a former build if
/// there is one; then the first one until it has a hundred old roots.
const ROLLBACKS: &str = r#"
mkdir -p /mnt /host/run /host/dev /host/etc /host/sys/class/block /host/proc/sys/kernel/random
echo quiet noresume >/host/proc/cmdline
make() {
    zfs create tests/$1
    zfs create -o mountpoint=legacy -o xattr=sa tests/$1/root
    mount -t zfs tests/$1/root /mnt
    fill /mnt $2
    printf '[root]\nbackend = "zfs"\ndataset = "tests/%s"\nlive = "root"\nblank = "root@blank"\nold = "old"\n' \
        $1 >/etc/$1.toml
    blankroot --config /etc/$1.toml init --root /mnt || exit 1
    umount /mnt
}
boots=0
roll_back() {
    boots=$((boots + 1))
    printf '%08x-7a01-4b6e-9d0a-000000000000\n' $boots >/host/proc/sys/kernel/random/boot_id
    rm -f /host/run/blankroot/rollback.json
    mount -t zfs tests/$1/root /mnt
    echo state >/mnt/state
    umount /mnt
    zpool sync tests
    a=$(now)
    ${3:-blankroot} --config /etc/$1.toml rollback --host /host >/run/said 2>&1 || { cat /run/said; exit 1; }
    b=$(now)
    echo "rollback: $2 $((b - a))"
}
make small 10
make large 200
# The first finds the programs not in memory.
roll_back small unmeasured
roll_back large unmeasured
# Of its own, since a copy has what the build that made it noted on it.
[ ! -e /bin/former ] || { make theirs 10; roll_back theirs unmeasured former; }
for round in 1 2 3 4 5 6; do
    [ $((round % 2)) = 0 ] || roll_back small small
    [ ! -e /bin/former ] || roll_back theirs former former
    [ $((round % 2)) = 1 ] || roll_back small small
    roll_back large large
done
while [ $(zfs list -Hr -d 1 -o name tests/small/old | wc -l) -lt 98 ]; do roll_back small unmeasured; done
for round in 1 2 3 4 5; do roll_back small hundred; done
echo "old roots: $(($(zfs list -Hr -d 1 -o name tests/small/old | wc -l) - 1))"
"#;

#[test]
fn how_long_diff_takes_beside_zfs_diff() {
    let Some(said) = run(SIDE_BY_SIDE) else { return };
    for changes in ["500", "20000"] {
        let [ours, theirs] = medians(&said, &format!("side by side: {changes}"), 3);
        println!(
            "{changes} changes in 20,000 files on ZFS: blankroot diff {ours:.2} s, zfs diff {theirs:.2} s, \
             ratio {:.2}",
            ours / theirs
        );
        // A changed file is a row of its own, and of directories none was changed.
        assert!(said.contains(&format!("rows: {changes} {changes} ")), "not all changes were told");
    }
}

#[test]
fn how_long_a_rollback_takes_on_zfs() {
    let former = env::var_os("BLANKROOT_FORMER").map(PathBuf::from);
    let Some(said) = run_beside(ROLLBACKS, former.as_deref()) else { return };
    let median = |of: &str, rounds| medians::<1>(&said, &format!("rollback: {of}"), rounds)[0];
    let [small, large] = ["small", "large"].map(|of| median(of, 6));
    let hundred = median("hundred", 5);
    println!(
        "rollback on ZFS: {small:.2} s with 1,000 files; with 20,000 files {large:.2} s, ratio {:.2}; with \
         1,000 files and 100 old roots {hundred:.2} s, ratio {:.2}",
        large / small,
        hundred / small
    );
    if former.is_some() {
        let former = median(FORMER, 6);
        println!("the former build: {former:.2} s with 1,000 files, ratio {:.2}", small / former);
    }
    assert!(said.contains("old roots: 10"), "there were not a hundred old roots");
}

/// Runs a script in a guest that has the command, and returns what it printed.
fn run(script: &str) -> Option<String> {
    run_beside(script, None)
}

/// The same with a former build of the command, if there is one.
fn run_beside(script: &str, former: Option<&Path>) -> Option<String> {
    if is_skipped() {
        return None;
    }
    let mut guest = Guest::of(SUITE, &command("fast"));
    let named = tempfile::tempdir().unwrap();
    if let Some(former) = former {
        let program = named.path().join(FORMER);
        fs::copy(former, &program).unwrap();
        guest = guest.with(&program);
    }
    let said = guest.run(&format!("{COMMON}{script}"));
    print!("{}", quoted(&said));
    Some(said)
}

/// The median of each column of the lines that begin with `label`, of which there are `rounds`, in seconds.
fn medians<const N: usize>(said: &str, label: &str, rounds: usize) -> [f64; N] {
    let mut columns = [(); N].map(|()| Vec::new());
    for line in said.lines().filter_map(|line| line.strip_prefix(label)?.strip_prefix(' ')) {
        let times: Vec<u64> = line.split_whitespace().map(|time| time.parse().unwrap()).collect();
        assert_eq!(times.len(), N, "{label} {line}");
        for (column, time) in columns.iter_mut().zip(times) {
            column.push(time);
        }
    }
    columns.map(|mut column| {
        assert_eq!(column.len(), rounds, "{label}");
        column.sort_unstable();
        column[column.len() / 2] as f64 / 1e6
    })
}
