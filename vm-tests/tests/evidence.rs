//! What old roots, owners and the catalogue make of the boots of a server on which nothing is kept: few groups, each
//! with its owner, and among what they show all that somebody would miss. Systemd, the services and their packages
//! are real, and so is each rollback.

use std::collections::BTreeSet;

use serde_json::Value;

use vm_tests::console::quoted;
use vm_tests::namespaces::Namespaces;
use vm_tests::server_lives::{DAY_OF_WORK, NEWCOMER};
use vm_tests::stories;
use vm_tests::system::System;

mod server {
    mod ci {
        #[test]
        fn few_groups_with_owners_tell_of_all_that_would_be_missed() {
            crate::few_groups_with_owners_tell_of_all_that_would_be_missed();
        }
    }
}

/// Tells in which file of the cluster the rows are.
const FILE_OF_ROWS: &str =
    "cd /tmp; echo \"select pg_relation_filepath('sold')\" | su postgres -c 'psql -At orders'";

/// What `diff` tells of a boot.
struct Told {
    /// The titles of the groups of strays.
    groups: Vec<String>,
    /// The same with what is told of each group.
    by_owner: String,
    /// Strays, and what is kept or forgotten: all that is not hidden, each by its name.
    shown: BTreeSet<String>,
}

impl Told {
    fn of(system: &mut Namespaces, life: &str) -> Self {
        let by_owner = system.run("blankroot diff --by owner");
        let groups = by_owner.lines().filter(|line| !line.starts_with(' ') && !line.is_empty());
        let groups: Vec<_> = groups.map(str::to_string).collect();
        let shown = system.run("blankroot diff -0").split('\0').map(str::to_string).collect();
        print!("{life}: {} groups\n{}", groups.len(), quoted(&by_owner));
        print_row(system, life, groups.len());
        Self { groups, by_owner, shown }
    }

    fn expect_groups(&self, most: usize) {
        let count = self.groups.len();
        assert!(count <= most, "{count} groups are more than {most}:\n{}", self.by_owner);
        let nobodys = self.groups.iter().find(|group| group.starts_with("of nobody"));
        assert_eq!(nobodys, None, "a path has no owner:\n{}", self.by_owner);
    }

    fn expect_group(&self, title: &str) {
        let found = self.groups.iter().any(|group| group.starts_with(title));
        assert!(found, "no group is `{title}`:\n{}", self.by_owner);
    }

    fn expect_shown<'a>(&self, paths: impl IntoIterator<Item = &'a str>) {
        let hidden: Vec<_> = paths.into_iter().filter(|path| !self.shown.contains(*path)).collect();
        assert!(hidden.is_empty(), "{hidden:?} is hidden, and this is shown: {:#?}", self.shown);
    }
}

/// A row of the table in docs/explanation/evidence.md.
fn print_row(system: &mut Namespaces, life: &str, groups: usize) {
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let diff = parse(&system.run("blankroot diff --format json"));
    let audit = parse(&system.try_run("blankroot audit --dry-run --format json").text);
    let count = |verdict: &str| diff["summary"]["verdicts"][verdict]["count"].to_string();
    let changes = diff["changes"].as_array().unwrap().len();
    let (strays, regenerated) = (count("stray"), count("regenerated"));
    let fails = &audit["event"]["audit"]["fails"]["count"];
    let decided = diff["changes"].as_array().unwrap().iter();
    let decided = decided.filter(|row| row["verdict"] == "kept" || row["verdict"] == "forgotten");
    let decided: Vec<_> = decided.map(|row| &row["path"]["text"]).collect();
    println!("kept or forgotten: {decided:?}");
    println!("row: | {life} | {changes} | {regenerated} | {strays} | {groups} | {fails} |");
}

/// Waits until it is written down that this boot came and who has what open, and each old root has its digest.
fn settle(system: &mut Namespaces) {
    assert_eq!(system.run("systemctl --failed --no-legend --plain"), "");
    system.wait_for_command(
        "systemctl show -p ActiveState --value blankroot-expire.service | grep -qE 'inactive|failed'",
    );
    let result = system.run("systemctl show -p Result --value blankroot-expire.service");
    let said = system.run("journalctl -b -u blankroot-expire.service -o cat -g digest || true");
    assert_eq!(result, "success\n", "{said}");
    print!("{}", quoted(&said));
    // What the digest is of takes room, too: the first, of the installed system, has no path at all.
    let made = said.lines().filter_map(paths_and_bytes).filter(|(paths, _)| *paths > 50);
    made.for_each(|(paths, bytes)| {
        assert!(bytes <= 30 * paths, "a path takes more than 30 bytes: {said}");
    });
    let plan = system.run("blankroot expire --dry-run");
    assert!(!plan.contains("the digest of"), "{plan}");
}

/// `done: make the digest of …: 89 paths, 2600 bytes`
fn paths_and_bytes(line: &str) -> Option<(usize, usize)> {
    let (paths, bytes) = line.strip_suffix(" bytes")?.rsplit_once(" paths, ")?;
    Some((paths.rsplit_once(' ')?.1.parse().ok()?, bytes.parse().ok()?))
}

/// Boots, with a rollback.
fn begin_boot(system: &mut Namespaces) {
    system.boot();
    system.run("blankroot status --boot");
    settle(system);
}

fn end_boot(system: &mut Namespaces) {
    system.shut_down();
}

/// Whose a path is, as `explain` has it.
fn owner_of(system: &mut Namespaces, path: &str) -> String {
    let told = system.run(&format!("blankroot explain {path}"));
    let owner = told.lines().find_map(|line| line.strip_prefix("  owner "));
    owner.unwrap_or_else(|| panic!("{told}")).trim().to_string()
}

fn few_groups_with_owners_tell_of_all_that_would_be_missed() {
    let Some(mut system) = stories::server() else { return };
    // As many old roots as are asked by default.
    for _ in 0..5 {
        begin_boot(&mut system);
        end_boot(&mut system);
    }
    begin_boot(&mut system);
    expect_plain(&mut system, "a plain boot");
    end_boot(&mut system);

    begin_boot(&mut system);
    system.run(DAY_OF_WORK);
    expect_day_of_work(&mut system);
    end_boot(&mut system);

    begin_boot(&mut system);
    system.run(NEWCOMER);
    expect_newcomer(&mut system);
    end_boot(&mut system);

    // What was done in one boot of five makes no noise in the next.
    begin_boot(&mut system);
    expect_plain(&mut system, "a plain boot after these");
    end_boot(&mut system);
}

fn expect_plain(system: &mut Namespaces, life: &str) {
    let told = Told::of(system, life);
    told.expect_groups(10);
    let audit = system.try_run("blankroot audit --dry-run");
    print!("{life}, audited:\n{}", quoted(&audit.text));
    // What was the same in five boots by chance may be another one in the sixth; nothing is of a new path.
    let news = audit.text.lines().skip(2).find(|line| line.contains(" new"));
    assert!(audit.status <= 1 && news.is_none(), "an audit of {life}:\n{}", audit.text);
    // They come back, but not as they are: whoever does without them decides so.
    told.expect_shown([
        "/etc/machine-id",
        "/var/lib/docker/engine-id",
        "/var/lib/docker/network/files/local-kv.db",
        "/var/lib/postgresql/17/main/global/pg_control",
        "/var/lib/systemd/timers/stamp-logrotate.timer",
    ]);
    // The database removes what it finds when it starts, and has files open around it.
    let removed = owner_of(system, "/var/lib/postgresql/17/main/pg_stat/pgstat.stat");
    assert!(removed.starts_with("unit postgresql@17-main.service "), "{removed}");
}

fn expect_day_of_work(system: &mut Namespaces) {
    let told = Told::of(system, "a day of work");
    told.expect_groups(20);
    let rows = format!("/var/lib/postgresql/17/main/{}", system.run(FILE_OF_ROWS).trim());
    let (database, _) = rows.rsplit_once('/').unwrap();
    told.expect_shown([
        database,
        &rows,
        "/etc/NetworkManager/system-connections/office.nmconnection",
        "/etc/hostname",
        "/etc/hosts",
        "/etc/nginx/sites-available/default",
        "/etc/systemd/system/multi-user.target.wants/cups.path",
    ]);
    // No package lists the cluster, and no unit names it: who had its files open when the boot was written down
    // tells of a database that came later.
    for path in [database, &rows] {
        let owner = owner_of(system, path);
        assert!(owner.starts_with("unit postgresql@17-main.service (directory"), "{owner}");
        assert!(owner.contains("has files that its processes had open"), "{owner}");
    }
    for (path, expected) in [
        ("/etc/NetworkManager/system-connections/office.nmconnection", "package network-manager "),
        ("/etc/nginx/sites-available/default", "package nginx-common "),
        // The link is gone.
        ("/etc/systemd/system/multi-user.target.wants/cups.path", "package cups-daemon "),
    ] {
        let owner = owner_of(system, path);
        assert!(owner.starts_with(expected), "{path}: {owner}");
    }
}

fn expect_newcomer(system: &mut Namespaces) {
    let told = Told::of(system, "a new user and new packages");
    told.expect_groups(20);
    let installed =
        told.groups.iter().find(|group| group.contains(" packages installed: ")).unwrap();
    for package in ["redis-server", "tree"] {
        assert!(installed.contains(package), "{installed}");
    }
    told.expect_group("user carol ");
    told.expect_shown([
        "/etc/passwd",
        "/etc/shadow",
        "/etc/group",
        "/etc/subuid",
        "/home/carol",
        "/home/carol/thesis",
        "/usr/bin/tree",
        "/var/lib/dpkg/status",
        "/var/lib/redis/dump.rdb",
    ]);
    // What a new package has written since does not come again with it. Scripts of redis-tools make the directory.
    told.expect_group("package redis-tools ");
    assert!(told.by_owner.contains("\n  /var/lib/redis and 1 below\n"), "{}", told.by_owner);
}
