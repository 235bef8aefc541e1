//! Units of any keep list, and those of an initrd for it: whatever is in a name, a file has the
//! settings that are written in the code and no others, and a name that a file can have.
#![no_main]

use std::path::Path;

use blankroot::config::Config;
use blankroot::systemd::initrd_units::InInitrd;
use blankroot::systemd::unit_set::Units;
use dirfd::TreePath;
use libfuzzer_sys::fuzz_target;

const SETTINGS: [&str; 27] = [
    "Description",
    "Documentation",
    "SourcePath",
    "DefaultDependencies",
    "RequiresMountsFor",
    "Wants",
    "After",
    "Before",
    "Conflicts",
    "ConditionPathIsDirectory",
    "ConditionPathExists",
    "ConditionPathIsSymbolicLink",
    "ConditionFileNotEmpty",
    "What",
    "Where",
    "Options",
    "RemainAfterExit",
    "ExecStart",
    "ExecStop",
    "SuccessExitStatus",
    "TimeoutStopSec",
    "TimeoutStartSec",
    "OnFailure",
    "OnFailureJobMode",
    "StandardError",
    "LimitCORE",
    "ConditionPathIsMountPoint",
];

fuzz_target!(|bytes: &[u8]| {
    check_initrd(bytes);
    let text = [b"[root]\nbackend = \"tmpfs\"\n[[storage]]\n", bytes].concat();
    let Ok(config) = Config::parse(Path::new("f"), &text) else { return };
    let Ok(origin) = TreePath::parse(b"f") else { return };
    let Ok(units) = Units::of(&config, "blankroot", &origin, &[]) else { return };
    check(&units);
    for left in &units.left {
        assert!(!left.path.to_string().contains(char::is_control));
    }
});

/// The input is all of the configuration: the name of the device is what matters.
fn check_initrd(bytes: &[u8]) {
    let Ok(config) = Config::parse(Path::new("f"), bytes) else { return };
    let known = InInitrd { config: Some(&config), asked: None };
    let (units, warning) = known.units("blankroot").expect("the command can be named");
    assert!(warning.is_none_or(|warning| !warning.contains(char::is_control)));
    check(&units);
}

fn check(units: &Units) {
    for unit in &units.files {
        let (dir, name) = unit.name.rsplit_once('/').unwrap_or(("", &unit.name));
        assert!(matches!(dir, "" | "systemd-machine-id-commit.service.d"), "{unit:?}");
        assert!(!name.starts_with('.') && name.len() <= 255, "{unit:?}");
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'), "{unit:?}");
        let mut wheres = 0;
        for line in unit.text.lines() {
            assert!(!line.ends_with(['\\', ' ']) && !line.contains(char::is_control), "{unit:?}");
            let syntax = ["", "[Unit]", "[Mount]", "[Service]", "Type=none", "Type=oneshot"];
            if line.starts_with("# Made by ") || syntax.contains(&line) {
                continue;
            }
            let key = line.split('=').next().unwrap_or_default();
            assert!(SETTINGS.contains(&key), "{key:?} in {unit:?}");
            wheres += usize::from(key == "Where");
        }
        assert_eq!(wheres, usize::from(name.ends_with(".mount")), "{unit:?}");
    }
}
