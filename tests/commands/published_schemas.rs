//! What `diff`, `explain`, `history` and `audit` write for programs is what the schemas in `docs/reference/` say.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use jsonschema::Validator;
use serde_json::Value;
use support::kernel::create_subvolume;

use crate::machine::{Machine, on_initialised};

const CONFIG: &str = r#"
[forget]
paths = ["/var/cache/**"]
[[storage]]
path = "/persist"
directories = ["/var/lib/orders"]
"#;

/// Tells `story` of a machine that has lived two boots, and in the third has changes of every kind.
fn on_lived_in_machine(story: impl FnOnce(&mut Machine<'_>) + Send) {
    on_initialised(|machine| {
        machine.mount();
        for number in 1..=2 {
            machine.boot(&format!("3f2a1c9e-7a01-4b6e-9d0a-{number:012}"));
            ordinary_life(machine, number);
            machine.run(&["expire"]).expect(0);
            machine.roll_back().expect(0);
        }
        machine.run(&["expire"]).expect(0);
        ordinary_life(machine, 3);
        let config = machine.live().join("etc/blankroot.toml");
        let text = fs::read_to_string(machine.config()).unwrap();
        fs::write(config, text + CONFIG).unwrap();
        machine.write("home/alice/thesis", "precious");
        machine.write("root/.cache/x", "a cache");
        machine.write("var/lib/postgresql/17/main/base", "new");
        story(machine);
    });
}

fn ordinary_life(machine: &Machine<'_>, number: u32) {
    machine.write("var/lib/made/always", "the same\n");
    machine.write("var/lib/seed", &format!("seed {number}\n"));
    machine.write("var/lib/growing", &"x".repeat(70_000 * number as usize));
    if number != 2 {
        machine.write("var/lib/sometimes", "now\n");
    }
    machine.write("var/lib/orders/1.db", "an order");
    machine.write("var/cache/x", "a cache");
    machine.write("var/lib/postgresql/17/main/PG_VERSION", "17\n");
    machine.write("etc/systemd/system/orders.service", "[Service]\nStateDirectory=orders\n");
    machine.install_jq();
    let live = machine.live();
    fs::write(live.join("etc/a \"b\"\n\x1b"), "awkward").unwrap();
    fs::write(live.join(OsStr::from_bytes(b"etc/\xff")), "not UTF-8").unwrap();
    symlink(OsStr::from_bytes(b"\xff"), live.join("etc/to it")).unwrap();
    fs::remove_file(live.join("etc/conf.d/07.conf")).unwrap();
    fs::write(live.join("etc/conf.d/08.conf"), format!("modified {number}")).unwrap();
    fs::set_permissions(live.join("etc/conf.d/09.conf"), fs::Permissions::from_mode(0o4711))
        .unwrap();
    fs::remove_file(live.join("etc/conf.d/10.conf")).unwrap();
    fs::create_dir(live.join("etc/conf.d/10.conf")).unwrap();
    // Two years that RFC 3339 cannot tell, and one before 1970.
    for (name, years) in [("late", 9_000), ("early", -3_000), ("before 1970", -60)] {
        machine.write(&format!("var/times/{name}"), "");
        set_mtime(&live.join(format!("var/times/{name}")), years * 31_556_952);
    }
}

fn set_mtime(path: &Path, seconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty()).unwrap();
}

fn published(name: &str) -> Validator {
    let file = format!("docs/reference/{name}.schema.json");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

/// What the command writes, once it is found to be valid.
#[track_caller]
fn document<S: AsRef<OsStr>>(machine: &Machine<'_>, schema: &Validator, args: &[S]) -> Value {
    document_with_code(machine, schema, args, 0)
}

#[track_caller]
fn document_with_code<S: AsRef<OsStr>>(
    machine: &Machine<'_>,
    schema: &Validator,
    args: &[S],
    code: i32,
) -> Value {
    let format = ["--format", "json"].map(OsString::from);
    let args: Vec<OsString> =
        args.iter().map(|arg| arg.as_ref().to_os_string()).chain(format).collect();
    let ran = machine.run(&args).expect(code);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    let wrong: Vec<String> = schema
        .iter_errors(&document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{args:?}: {wrong:#?}\n{}", ran.out);
    document
}

/// All values of a key in a list of objects.
fn values(rows: &Value, key: &str) -> BTreeSet<String> {
    let word = |row: &Value| row[key].as_str().unwrap_or("-").to_string();
    rows.as_array().unwrap().iter().map(word).collect()
}

fn set(words: &str) -> BTreeSet<String> {
    words.split(' ').map(str::to_string).collect()
}

#[test]
fn diff_writes_what_its_schema_says() {
    on_lived_in_machine(|machine| {
        let schema = published("diff");
        for args in [&["diff"][..], &["diff", "--all"], &["diff", "/etc"], &["diff", "/empty"]] {
            document(machine, &schema, args);
        }
        let by_owner = document(machine, &schema, &["diff", "--by", "owner"]);
        let of_jq = |row: &&Value| row["owner"]["name"] == "jq";
        let first = by_owner["changes"].as_array().unwrap().iter().find(of_jq).unwrap();
        assert_eq!(first["owner"]["since_blank"], "installed");
        let changes = &document(machine, &schema, &["diff"])["changes"];
        let kinds = set("added modified metadata replaced removed");
        assert_eq!(values(changes, "change"), kinds, "{changes:#}");
        assert_eq!(values(changes, "verdict"), set("stray kept forgotten regenerated"));
        assert_eq!(values(changes, "class"), set("new some changing same"));
        let rows = changes.as_array().unwrap();
        assert!(rows.iter().any(|row| row["path"]["bytes"] == "L2V0Yy//"), "{changes:#}");
        assert_eq!(rows.iter().filter(|row| row["mtime"].is_null()).count(), 2, "{changes:#}");
    });
}

#[test]
fn diff_of_the_storages_writes_what_its_schema_says() {
    on_lived_in_machine(|machine| {
        machine.write("persist/var/lib/orders/1.db", "an order");
        machine.write("persist/left/over", "?");
        machine.write("persist/left/\u{1b}", "?");
        let args = ["diff", "--storage"];
        let document = document(machine, &published("diff-storage"), &args);
        assert_eq!(values(&document["leftovers"], "why"), set("undeclared"), "{document:#}");
    });
}

#[test]
fn explain_writes_what_its_schema_says() {
    on_lived_in_machine(|machine| {
        let known = ["/var/lib/postgresql/17/main/base", "/usr/bin/jq", "/etc/inline", "/nowhere"];
        let decided = ["/var/lib/orders/1.db", "/var/cache/x", "/var/cache/none", "/var/lib/made"];
        let others =
            ["/home/alice/thesis", "/etc/to it", "/etc/conf.d/07.conf", "/root/.cache/x", "/"];
        let strange = OsStr::from_bytes(b"/etc/\xff");
        let paths = known.iter().chain(&decided).chain(&others).map(OsStr::new).chain([strange]);
        let args: Vec<&OsStr> = [OsStr::new("explain")].into_iter().chain(paths).collect();
        let document = document(machine, &published("explain"), &args);
        let paths = &document["paths"];
        assert_eq!(values(paths, "is"), set("changed same nowhere"), "{paths:#}");
        assert_eq!(values(paths, "verdict"), set("stray kept forgotten regenerated -"));
        let steps = Value::from_iter(paths.as_array().unwrap().iter().map(|p| p["advice"].clone()));
        assert_eq!(values(&steps, "do"), set("nothing keep forget decide"), "{paths:#}");
        let of = |at: usize, key: &str| &document["paths"][at][key];
        assert_eq!(of(0, "known")["what"], "the databases of PostgreSQL");
        assert_eq!(
            (&of(1, "owner")["kind"], &of(1, "owner")["name"]),
            (&"package".into(), &"jq".into())
        );
        assert_eq!(of(9, "roots")[0]["state"]["target"]["bytes"], "/w==");
    });
}

#[test]
fn history_writes_what_its_schema_says() {
    on_lived_in_machine(|machine| {
        let schema = published("history");
        let lives = document(machine, &schema, &["history"]);
        let roots = lives["roots"].as_array().unwrap();
        assert_eq!(
            (roots.len(), &roots[0]["lost"]["new"], &roots[2]["name"]),
            (3, &Value::Null, &Value::Null)
        );
        assert!(!roots[1]["lost"]["grew"].as_array().unwrap().is_empty(), "{lives:#}");
        let strange = OsStr::from_bytes(b"/etc/\xff");
        let paths = ["/var/lib", "/etc/to it", "/etc/conf.d/07.conf", "/nowhere"].map(OsStr::new);
        let args: Vec<&OsStr> =
            [OsStr::new("history")].into_iter().chain(paths).chain([strange]).collect();
        let versions = document(machine, &schema, &args);
        assert_eq!(versions["paths"].as_array().unwrap().len(), 5, "{versions:#}");
    });
}

#[test]
fn audit_writes_what_its_schema_says() {
    on_lived_in_machine(|machine| {
        let schema = published("audit");
        create_subvolume(&machine.top().join("storage")).unwrap();
        let persist = machine.live().join("persist");
        fs::create_dir_all(&persist).unwrap();
        let _storage = machine.mount_at("storage", &persist);
        let found = document_with_code(machine, &schema, &["audit"], 1);
        let paths = found["groups"].as_array().unwrap().iter().flat_map(|group| {
            group["topmost"].as_array().unwrap().iter().map(|top| top["path"].clone())
        });
        assert!(paths.clone().any(|path| path["text"] == "/home/alice"), "{found:#}");
        let since =
            document_with_code(machine, &schema, &["audit", "--dry-run", "--since", "1"], 1);
        assert_eq!(since["event"]["audit"]["since"], "000001-3f2a1c9e");
        let records = document(machine, &schema, &["audit", "--records"]);
        assert_eq!(records["event"]["audit"]["result"], "found");
        // As `expire` writes it: a former root.
        let text = fs::read_to_string(machine.config()).unwrap();
        fs::write(machine.config(), text + CONFIG).unwrap();
        fs::create_dir_all(machine.host().join("persist")).unwrap();
        machine.run(&["expire"]).expect(0);
        let ledger = machine.host().join("persist/.blankroot/records.jsonl");
        let lost: Value = serde_json::from_str(&fs::read_to_string(ledger).unwrap()).unwrap();
        let wrong: Vec<String> = schema.iter_errors(&lost).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty() && lost["event"]["lost"]["new"].is_u64(), "{wrong:#?} {lost:#}");
    });
}
