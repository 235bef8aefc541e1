//! Audits of a server by themselves: at boot, before it goes down, after apt and dpkg, and what a login tells of them.
//! All that is told of an audit has the same counts. Systemd, journald, sshd, apt and PAM are real.

use serde_json::Value;

use vm_tests::console::quoted;
use vm_tests::namespaces::Namespaces;
use vm_tests::server_lives::{DAY_OF_WORK, NEWCOMER};
use vm_tests::stories;
use vm_tests::system::System;

mod server {
    mod ci {
        #[test]
        fn every_event_has_its_audit_and_all_that_is_told_of_one_agrees() {
            crate::every_event_has_its_audit_and_all_that_is_told_of_one_agrees();
        }
    }
}

const DNF_HOOK: &str = include_str!("../../hooks/dnf.action");
const PACMAN_HOOK: &str = include_str!("../../hooks/pacman.hook");

const DNF_INSTALLS: &str = "set -ex
cd /tmp
cat >hello.spec <<'END'
Name: hello-dnf
Version: 1
Release: 1
Summary: A package
License: MIT
BuildArch: noarch
%description
A package.
%install
install -D /etc/hostname %{buildroot}/opt/hello-dnf/file
%files
/opt/hello-dnf
END
rpmbuild --quiet --define '_topdir /tmp/rpmbuild' -bb hello.spec
# Its plugin `local` wants createrepo.
dnf --assumeyes --disableplugin=local --disablerepo='*' install rpmbuild/RPMS/noarch/hello-dnf-1-1.noarch.rpm";

const PACMAN_INSTALLS: &str = "set -ex
mkdir -p /tmp/hello-pacman/opt/hello-pacman
cd /tmp/hello-pacman
echo hello >opt/hello-pacman/file
printf 'pkgname = hello-pacman\\npkgbase = hello-pacman\\npkgver = 1-1\\npkgdesc = A package\\nsize = 6\\narch = any\\n' >.PKGINFO
tar -cf /tmp/hello-pacman-1-1-any.pkg.tar .PKGINFO opt
pacman --noconfirm -U /tmp/hello-pacman-1-1-any.pkg.tar";

const AUDIT: &str = "9acc9bd4b3364b64897470d9a4b5e61b";

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("{why}: {text}"))
}

fn records(system: &mut Namespaces) -> Vec<Value> {
    system.run("blankroot audit --records --format json").lines().map(parse).collect()
}

/// The records of audits that were taken at an event.
fn audits_at(records: &[Value], event: &str) -> usize {
    records.iter().filter(|record| record["event"]["audit"]["at"] == event).count()
}

/// Boots, and waits until the audit of the boot is done.
fn begin_boot(system: &mut Namespaces) {
    system.boot();
    system.run("blankroot status --boot");
    system.wait_for_command(
        "systemctl show -p ActiveState --value blankroot-expire.service | grep -qE 'inactive|failed'",
    );
    system.wait_for_command(
        "test $(systemctl show -p ExecMainExitTimestampMonotonic --value blankroot-audit.service) != 0",
    );
    let told = system.run("journalctl -b -u blankroot-audit.service -o cat");
    assert_eq!(system.run("systemctl --failed --no-legend --plain"), "", "{told}");
}

fn every_event_has_its_audit_and_all_that_is_told_of_one_agrees() {
    let Some(mut system) = stories::server() else { return };
    for boot in 1..=3 {
        begin_boot(&mut system);
        let records = records(&mut system);
        // The first root is the one that blank was made of.
        assert_eq!(audits_at(&records, "boot"), boot, "{records:#?}");
        assert_eq!(audits_at(&records, "shutdown"), boot - 1, "{records:#?}");
        let lost: Vec<_> = records
            .iter()
            .map(|record| &record["event"]["lost"])
            .filter(|lost| !lost.is_null())
            .collect();
        assert_eq!(lost.len(), boot, "{records:#?}");
        let audit = &records.last().unwrap()["event"]["audit"];
        // Before the first rollback nothing tells what a boot makes by itself.
        assert_eq!(audit["result"], if boot == 1 { "found" } else { "clean" }, "{audit}");
        system.shut_down();
    }

    begin_boot(&mut system);
    expect_packages_told_once(&mut system);
    system.run(DAY_OF_WORK);
    let record = expect_agreement(&mut system);
    expect_logins(&mut system);
    system.shut_down();

    begin_boot(&mut system);
    expect_lost(&mut system, &record);
    expect_other_managers_tell(&mut system);
    system.shut_down();
}

/// apt tells once at its end, and dpkg by itself once, too; neither fails.
fn expect_packages_told_once(system: &mut Namespaces) {
    let installed = system.run(NEWCOMER);
    print!("{}", quoted(&installed));
    let told: Vec<_> = installed.lines().filter(|line| line.starts_with("blankroot: ")).collect();
    let [line] = told[..] else { panic!("{installed}") };
    assert!(line.contains(" packages installed: ") && line.contains("redis-server"), "{line}");
    assert!(line.ends_with(": the next boot undoes this"), "{line}");
    let again = system.run("dpkg -i /persist/packages/tree_*.deb");
    assert_eq!(again.matches("the next boot undoes this").count(), 1, "{again}");
    let records = records(system);
    assert_eq!(audits_at(&records, "packages"), 2, "{records:#?}");
}

/// So do dnf and pacman, with the hooks that their own systems get, of a package that the root's own database has too.
fn expect_other_managers_tell(system: &mut Namespaces) {
    let hooks = [
        ("/etc/dnf/plugins/post-transaction-actions.d/blankroot.action", DNF_HOOK),
        ("/usr/share/libalpm/hooks/blankroot.hook", PACMAN_HOOK),
    ];
    system.run("set -ex\napt-get --yes --no-install-recommends install /persist/managers/*.deb");
    for (place, hook) in hooks {
        system.run(&format!("mkdir -p $(dirname {place})\ncat >{place} <<'END'\n{hook}END"));
    }
    for (manager, install) in [("dnf", DNF_INSTALLS), ("pacman", PACMAN_INSTALLS)] {
        let said = system.run(install);
        print!("{}", quoted(&said));
        // It names the first of all packages that blank has not.
        let told = said.matches(": the next boot undoes this").count();
        assert_eq!(told, 1, "{manager}: {said}");
        let found = system.run(&format!("blankroot explain /opt/hello-{manager}/file"));
        assert!(found.contains(&format!("package hello-{manager} (exact")), "{found}");
    }
}

/// The text, the record, the journal, the metrics, the page and the login message have the same counts.
fn expect_agreement(system: &mut Namespaces) -> Value {
    let answer =
        system.try_run("blankroot audit --format json --textfile /run/blankroot.prom 2>/dev/null");
    assert_eq!(answer.status, 1, "{}", answer.text);
    let record = parse(&answer.text);
    assert_eq!(records(system).last(), Some(&record));
    let audit = &record["event"]["audit"];
    let (fails, new) = (&audit["fails"]["count"], &audit["classes"]["new"]);
    println!("an audit of a day of work and a newcomer: {audit}");
    assert_eq!((record["host"].as_str(), fails.as_u64().unwrap() > 300), (Some("counter"), true));

    let boot = system.run("cat /proc/sys/kernel/random/boot_id");
    assert_eq!(record["boot"], boot.trim());
    system.run("journalctl --sync");
    let entry = parse(&system.run(&format!("journalctl -o json -n 1 MESSAGE_ID={AUDIT}")));
    assert_eq!(
        (&entry["BLANKROOT_FAILS"], &entry["BLANKROOT_NEW"]),
        (&fails.to_string().into(), &new.to_string().into())
    );
    for group in record["groups"].as_array().unwrap() {
        let Some(owner) = group["owner"]["name"].as_str() else { continue };
        let told = system.run(&format!(
            "journalctl -b -o json -n 1 BLANKROOT_EVENT=audit BLANKROOT_OWNER='{owner}'"
        ));
        assert_eq!(parse(&told)["BLANKROOT_PATHS"], group["paths"].to_string(), "{owner}");
    }
    let explained = system.run(&format!("journalctl -x -n 1 MESSAGE_ID={AUDIT}"));
    assert!(explained.contains(&format!("{fails} fail the audit by the rules")), "{explained}");

    let metrics = system.run("cat /run/blankroot.prom");
    assert!(metrics.contains(&format!("\nblankroot_audit_fails {fails}\n")), "{metrics}");
    assert!(metrics.contains(&format!("{{class=\"new\"}} {new}\n")), "{metrics}");
    let text = system.try_run("blankroot audit --dry-run").text;
    assert!(text.starts_with(&format!("Found: {fails} strays ")), "{text}");
    let page = system.run("blankroot report --html -");
    let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
    let page = parse(data);
    for counts in ["fails", "told", "classes", "old_roots"] {
        assert_eq!(page["audit"][counts], audit[counts], "{counts}");
    }
    let things: u64 = record["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| match group["of"].as_str().unwrap() {
            "owner" | "nobody" => {
                let more = group["topmost_left_out"].as_u64().unwrap();
                group["topmost"].as_array().unwrap().len() as u64 + more
            }
            _ => 1,
        })
        .sum();
    let motd = system.run("cat /run/motd.d/blankroot");
    assert!(motd.starts_with(&format!("{things} things will be lost at the next boot.")), "{motd}");
    record
}

/// Who logs in by ssh reads the message for all, whose shell is one of a login his own; a command's output has neither.
fn expect_logins(system: &mut Namespaces) {
    system.run(
        "set -e; ssh-keygen -q -t ed25519 -N '' -f /root/key; mkdir -m 700 /home/carol/.ssh
         cp /root/key.pub /home/carol/.ssh/authorized_keys; chown -R carol: /home/carol/.ssh
         systemctl start ssh",
    );
    let ssh = "ssh -q -i /root/key -o StrictHostKeyChecking=no";
    let login = system.run(&format!(
        "{ssh} -tt carol@localhost 'exit 0' </dev/null; \
        echo exit | {ssh} -tt carol@localhost"
    ));
    print!("{}", quoted(&login));
    assert!(login.contains(" things will be lost at the next boot. `sudo"), "{login}");
    assert!(login.contains(" of yours will be lost at the next boot: /home/carol"), "{login}");
    assert_eq!(system.run(&format!("{ssh} carol@localhost cat thesis")), "once upon a time\n");
    let hidden = system.try_run("su carol -c 'cat /run/blankroot/login/0'");
    assert!(hidden.status != 0 && hidden.text.contains("Permission denied"), "{}", hidden.text);
    let others = system.run("su - postgres -c 'bash -lic true' 2>/dev/null || true");
    assert!(!others.contains("carol"), "{others}");
    system.run("test $(stat -c %U:%a /run/blankroot/login/$(id -u carol)) = carol:400");
    // Off by its key.
    system
        .run("echo '[audit]' >>/etc/blankroot.toml; echo 'at_login = false' >>/etc/blankroot.toml");
    system.try_run("blankroot audit");
    assert_eq!(
        system.run("ls /run/blankroot/login /run/motd.d"),
        "/run/blankroot/login:\n\n/run/motd.d:\n"
    );
}

/// What the former root lost is in the record, in the journal and in `history`, with the same counts.
fn expect_lost(system: &mut Namespaces, audit: &Value) {
    let records = records(system);
    let lost = records.iter().rev().find_map(|record| record["event"].get("lost")).unwrap();
    println!("what the next boot lost: {lost}");
    let history = parse(&system.run("blankroot history --format json"));
    let roots = history["roots"].as_array().unwrap();
    let root = roots.iter().find(|root| root["name"] == lost["root"]).unwrap();
    assert_eq!(lost["strays"]["count"], root["lost"]["paths"]);
    assert_eq!(lost["new"], root["lost"]["new"]);
    // Nothing of what was found then is missing; more may have come before the machine was down.
    let found = audit["event"]["audit"]["fails"]["count"].as_u64().unwrap();
    assert!(lost["new"].as_u64().unwrap() >= found, "{lost} {audit}");
    let name = lost["root"].as_str().unwrap();
    let entry =
        parse(&system.run(&format!(
            "journalctl -o json -n 1 BLANKROOT_OLD_ROOT={name} BLANKROOT_EVENT=lost"
        )));
    assert_eq!(entry["BLANKROOT_STRAYS"], lost["strays"]["count"].to_string());
    let shutdown = records.iter().rev().find(|record| record["event"]["audit"]["at"] == "shutdown");
    let shutdown = &shutdown.unwrap()["event"]["audit"];
    println!("the audit before that boot: {shutdown}");
    assert!(shutdown["fails"]["count"].as_u64().unwrap() >= found, "{shutdown}");
}
