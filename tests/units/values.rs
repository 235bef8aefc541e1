//! Whatever is in a name, systemd reads the path that was meant.

use blankroot::systemd::generator::Generated;

use crate::root::Root;
use crate::systemd::Systemd;

/// Names that have a form in a unit file; `#` and `;` start comments there, `!` and `|` mean
/// something before the path of a condition, `%` and `$` are expanded, `=` and `[` are syntax.
const NASTY: [&str; 14] = [
    "/a b/100%/%n",
    "/\u{f6}/\u{1f47e}",
    "/q\"uo'te",
    "/back\\slash\\x2d\\n",
    "/.dot/.dot",
    "/!bang",
    "/|pipe",
    "/$HOME/${x}",
    "/x;y#z",
    "/[Mount]",
    "/What=x",
    "/@:-_.",
    "/*?{a,b}",
    "/ leading/-",
];

#[test]
fn nasty_names_are_read_as_they_are() {
    for storage in ["/persist", "/per sist/100%/\\q\"'"] {
        let paths: Vec<String> =
            NASTY.iter().map(|path| toml::Value::from(*path).to_string()).collect();
        let storage_text = toml::Value::from(storage);
        let root = Root::with(&format!(
            "[[storage]]\npath = {storage_text}\ndirectories = [{}]",
            paths.join(", ")
        ));
        let generated = root.generate().unwrap();
        assert_eq!(generated, Generated { units: NASTY.len() + 4, warnings: Vec::new() });
        let Some(systemd) = Systemd::with(root.units()) else { return };
        assert_eq!(systemd.complaints(&["blankroot", "Refusing", "/tmp/", "Kept"]), [""; 0]);
        let read = systemd.read();
        for path in NASTY {
            let found: Vec<_> =
                read.iter().filter(|(_, unit)| unit.of("Where") == [path]).collect();
            let [(name, unit)] = found[..] else { panic!("{path}: {found:?}") };
            let source = format!("{storage}{path}");
            assert_eq!(unit.of("What"), [source.as_str()]);
            let mut sides = unit.conditions("ConditionPathIsDirectory");
            sides.sort();
            let mut expected = [source.as_str(), path];
            expected.sort();
            assert_eq!(sides, expected);
            let held = format!("!/run/blankroot/held/{name}");
            assert_eq!(unit.conditions("ConditionPathExists"), [held.as_str()]);
            unit.names("RequiresMountsFor", storage);
            assert_eq!(unit.of("Description"), [format!("Kept directory {}", shown(path))]);
        }
    }
}

/// As everything is shown: backslashes are doubled.
fn shown(path: &str) -> String {
    path.replace('\\', "\\\\")
}
