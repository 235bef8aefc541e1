//! A stray of one machine of a fleet is found from another: by an alert of Prometheus, and in the journal that is
//! collected there. Both machines are set up by the commands of `docs/how-to/fleet.md`, and node_exporter, Prometheus,
//! systemd-journal-upload and systemd-journal-remote are Debian's, run by their own units. They are two guests in
//! namespaces, with nothing but a cable between them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use vm_tests::console::quoted;
use vm_tests::guest::FLEET_GUIDE;
use vm_tests::namespaces::Namespaces;
use vm_tests::system::System;
use vm_tests::{readme, stories};

mod fleet {
    mod ci {
        #[test]
        fn a_stray_of_one_machine_is_found_from_another() {
            crate::a_stray_of_one_machine_is_found_from_another();
        }
    }
}

/// What an administrator copies to the machine that watches the others.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/how-to/fleet");
/// The addresses that the guide has for the two.
const ADDRESSES: [&str; 2] = ["192.0.2.10", "192.0.2.11"];

/// Somebody changes what a package brought, and a user leaves something where nothing is kept.
const LIFE: &str = "set -ex
echo 'ARGS=\"--collector.systemd\"' >/etc/default/prometheus-node-exporter
install -d -o alice /srv/orders
su alice -c 'echo one cat >/srv/orders/today'";

/// What Prometheus answers at this path of its API.
fn ask_prometheus(system: &mut Namespaces, path: &str) -> Value {
    let get = "curl --silent --show-error --get http://127.0.0.1:9090/api/v1";
    let answer: Value = serde_json::from_str(&system.run(&format!("{get}/{path}"))).unwrap();
    assert_eq!(answer["status"], "success", "{path}: {answer:#}");
    answer["data"].clone()
}

/// What an expression is now.
fn query(system: &mut Namespaces, expression: &str) -> Vec<Value> {
    let quoted = expression.replace('\'', r"'\''");
    let found = ask_prometheus(system, &format!("query --data-urlencode 'query={quoted}'"));
    found["result"].as_array().unwrap().clone()
}

/// Waits until an expression has a value.
fn wait_for_value(system: &mut Namespaces, expression: &str) {
    let ask = "promtool query instant http://127.0.0.1:9090";
    system.wait_for_command(&format!("{ask} '{expression}' | grep ."));
}

/// Each sample that node_exporter has and whose name begins like this, by its name and labels.
fn scrape(system: &mut Namespaces, name: &str) -> BTreeMap<String, f64> {
    let said = system.run("curl --silent --show-error --fail http://127.0.0.1:9100/metrics");
    let lines = said.lines().filter(|line| line.starts_with(name));
    let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
    samples.map(|(name, value)| (name.to_string(), value.parse().unwrap())).collect()
}

/// The samples that tell what the document of an audit tells, but for its time.
fn expected_samples(document: &Value) -> BTreeMap<String, f64> {
    let audit = &document["event"]["audit"];
    let mut samples = BTreeMap::from([
        ("blankroot_audit_fails".to_string(), &audit["fails"]["count"]),
        ("blankroot_audit_fails_bytes".to_string(), &audit["fails"]["bytes"]),
        ("blankroot_audit_told".to_string(), &audit["told"]["count"]),
        ("blankroot_audit_told_bytes".to_string(), &audit["told"]["bytes"]),
        ("blankroot_audit_old_roots".to_string(), &audit["old_roots"]),
    ]);
    for (class, count) in audit["classes"].as_object().unwrap() {
        samples.insert(format!("blankroot_audit_strays{{class=\"{class}\"}}"), count);
    }
    for group in document["groups"].as_array().unwrap() {
        let owner = &group["owner"];
        let kind = owner["kind"].as_str().or(group["of"].as_str()).unwrap();
        let name = owner["name"].as_str().unwrap_or_default();
        let sample = format!("blankroot_audit_owner_fails{{kind=\"{kind}\",owner=\"{name}\"}}");
        samples.insert(sample, &group["paths"]);
    }
    samples.into_iter().map(|(name, value)| (name, value.as_f64().unwrap())).collect()
}

/// Boots, and waits until it is written down that this boot came and each old root has its digest.
fn boot(system: &mut Namespaces) {
    let started = Instant::now();
    system.boot();
    system.run("blankroot status --boot");
    system.wait_for_command(
        "systemctl show -p ActiveState --value blankroot-expire.service | grep -qE 'inactive|failed'",
    );
    println!("fleet: a boot with its digests took {} s", started.elapsed().as_secs());
}

/// The commands of the guide under this name, without the last, which ends the boot.
fn commands(name: &str) -> String {
    let guide = std::fs::read_to_string(FLEET_GUIDE).unwrap();
    let commands = readme::commands(&guide, name);
    commands.split_last().unwrap().1.join("\n")
}

/// Sets up the machine that watches the others, by the guide's commands; but what waits there for minutes waits for a
/// second.
fn set_up_monitor(monitor: &mut Namespaces) {
    for file in ["blankroot.rules.yml", "blankroot.rules.test.yml"] {
        monitor.put(&Path::new(FILES).join(file), &format!("/root/{file}"));
    }
    let commands = commands("monitor").replace("_interval: 1m", "_interval: 1s");
    print!("{}", quoted(&monitor.run(&format!("cd /root && set -ex\n{commands}"))));
    print!("{}", quoted(&monitor.run("cd /root && promtool check rules blankroot.rules.yml")));
    print!("{}", quoted(&monitor.run("cd /root && promtool test rules blankroot.rules.test.yml")));
}

fn a_stray_of_one_machine_is_found_from_another() {
    let Some([mut monitor, mut shop]) = stories::fleet() else { return };
    let started = Instant::now();
    boot(&mut monitor);
    set_up_monitor(&mut monitor);
    monitor.shut_down();
    for system in [&mut monitor, &mut shop] {
        boot(system);
        system.shut_down();
        boot(system);
    }
    println!("fleet: both are up after {} s", started.elapsed().as_secs());
    monitor.connect(ADDRESSES[0], &shop, ADDRESSES[1]);
    shop.run(LIFE);
    for system in [&mut monitor, &mut shop] {
        // It waits longer after each time that it found no network.
        system.run("systemctl restart systemd-journal-upload.service");
        system.run("systemctl is-active blankroot-audit.timer");
        system.run("systemctl start --wait blankroot-audit.service");
    }
    print!("{}", quoted(&shop.try_run("blankroot audit --dry-run").text));
    expect_metrics(&mut shop);
    expect_alert(&mut monitor);
    expect_dashboard(&mut monitor);
    expect_journal(&mut monitor);
    // Where it goes on after the next boot is in storage.
    shop.wait_for_command("test -s /persist/var/lib/private/systemd/journal-upload/state");
    println!("fleet: took {} s", started.elapsed().as_secs());
}

/// node_exporter has each gauge, and its count is that of the document.
fn expect_metrics(shop: &mut Namespaces) {
    let document = shop.try_run("blankroot audit --dry-run --format json");
    assert_eq!(document.status, 1, "{}", document.text);
    let document: Value = serde_json::from_str(&document.text).unwrap();
    let mut scraped = scrape(shop, "blankroot_");
    let shown = "grep -e ^blankroot_ -e ^node_textfile_scrape_error";
    print!("{}", quoted(&shop.run(&format!("curl -s http://127.0.0.1:9100/metrics | {shown}"))));
    let time = scraped.remove("blankroot_audit_time_seconds").expect("it has the time");
    let now: f64 = shop.run("date +%s").trim().parse().unwrap();
    assert!((now - 300.0..=now).contains(&time), "{time} is not just before {now}");
    assert_eq!(scraped, expected_samples(&document), "{document:#}");
    let refused = scrape(shop, "node_textfile_scrape_error");
    assert_eq!(refused.values().collect::<Vec<_>>(), [&0.0], "{refused:?}");
    let file = "/var/lib/prometheus/node-exporter/blankroot.prom";
    assert_eq!(shop.run(&format!("promtool check metrics <{file}")), "");
}

/// The alert of the one machine whose audit fails, and no other, comes as soon as its condition does.
fn expect_alert(monitor: &mut Namespaces) {
    let rules = "/etc/prometheus/blankroot.rules.yml";
    monitor.run(&format!("sed -i 's/for: .*/for: 0s/' {rules} && promtool check rules {rules}"));
    monitor.run("systemctl reload prometheus.service");
    wait_for_value(monitor, r#"ALERTS{alertname="BlankrootAuditFails",alertstate="firing"}"#);
    // Each has been scraped by then, and no rule waits any more.
    wait_for_value(monitor, "count(blankroot_audit_fails) == 2");
    wait_for_value(monitor, "count(ALERTS) == 1");
    let alerts = ask_prometheus(monitor, "alerts");
    print!("{}", quoted(&format!("{alerts:#}")));
    for shown in [r#"ALERTS{alertstate="firing"}"#, "blankroot_audit_owner_fails > 0"] {
        let ask = "promtool query instant http://127.0.0.1:9090";
        print!("{}", quoted(&monitor.run(&format!("{ask} '{shown}'"))));
    }
    let [alert] = alerts["alerts"].as_array().unwrap().as_slice() else { panic!("{alerts:#}") };
    assert_eq!(alert["labels"]["instance"], "shop:9100");
    assert_eq!(alert["annotations"]["summary"], "shop:9100: 3 strays fail the audit");
    let description = alert["annotations"]["description"].as_str().unwrap();
    let owners = "package prometheus-node-exporter: 1; user alice: 2;";
    assert!(description.contains(owners), "{description}");
}

/// Each panel of the dashboard shows something of both machines' metrics.
fn expect_dashboard(monitor: &mut Namespaces) {
    let text = std::fs::read_to_string(Path::new(FILES).join("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap().replace("$machine", ".*");
            assert!(!expression.contains('$'), "{expression}");
            assert_ne!(query(monitor, &expression), [] as [Value; 0], "{expression}");
        }
    }
}

/// The machine with this stray is found by a field of the collected journal.
fn expect_journal(monitor: &mut Namespaces) {
    let values = |monitor: &mut Namespaces, field: &str, entries: &str| -> BTreeSet<String> {
        let journalctl = "journalctl --directory /var/log/journal/remote --output json";
        let said = monitor.run(&format!("{journalctl} {entries}"));
        let entries = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries.map(|entry| entry[field].as_str().unwrap().to_string()).collect()
    };
    let hosts = |monitor: &mut Namespaces, entries| values(monitor, "_HOSTNAME", entries);
    let found = "journalctl --directory /var/log/journal/remote --quiet";
    monitor.wait_for_command(&format!("{found} BLANKROOT_OWNER=alice | grep ."));
    monitor.wait_for_command(&format!("{found} _HOSTNAME=monitor BLANKROOT_EVENT=audit | grep ."));
    assert_eq!(hosts(monitor, "BLANKROOT_OWNER=alice"), BTreeSet::from(["shop".to_string()]));
    let all = BTreeSet::from(["monitor", "shop"].map(str::to_string));
    assert_eq!(hosts(monitor, "BLANKROOT_EVENT=audit"), all);
    // The network came in the second boot, and what the first one said arrived all the same.
    assert_eq!(values(monitor, "_BOOT_ID", "_HOSTNAME=shop").len(), 2);
    print!("{}", quoted(&monitor.run(&format!("{found} BLANKROOT_OWNER=alice"))));
}
