//! Directories of a unit: the first line of the input is its name. Each path is clean, below a directory that the
//! setting is for, and an empty value takes all of a setting back.
#![no_main]

use blankroot::owners::How;
use blankroot::owners::unit_directories::UnitSettings;
use libfuzzer_sys::fuzz_target;

const RESET: &[u8] = b"\n[Service]\nStateDirectory=\nCacheDirectory=\nLogsDirectory=\n\
    ConfigurationDirectory=\nRuntimeDirectory=\nReadWritePaths=\n[Unit]\nRequiresMountsFor=\n";

fuzz_target!(|input: &[u8]| {
    let split = input.iter().position(|&b| b == b'\n').unwrap_or(input.len());
    let (unit, text) = (&input[..split], input.get(split..).unwrap_or_default());
    let mut settings = UnitSettings::default();
    settings.read(text);
    for found in settings.paths(unit) {
        let clean = dirfd::TreePath::parse(&found.path).expect("it is a path");
        assert!(clean.as_bytes() == found.path && clean.depth() > 0);
        let base: &[u8] = match found.how {
            How::StateDirectory => b"var/lib/",
            How::CacheDirectory => b"var/cache/",
            How::LogsDirectory => b"var/log/",
            How::ConfigurationDirectory => b"etc/",
            How::RuntimeDirectory => b"run/",
            How::ReadWritePaths | How::RequiresMountsFor => b"",
            other => panic!("no setting of a unit: {other:?}"),
        };
        assert!(found.path.starts_with(base), "{found:?}");
    }
    settings.read(RESET);
    assert_eq!(settings.paths(unit), []);
});
