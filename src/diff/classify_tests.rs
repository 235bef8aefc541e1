use std::path::Path;

use dirfd::Facts;
use dirfd::changes::ChangesWriter;

use super::*;

fn config(text: &str) -> Config {
    let text = format!("[root]\nbackend = \"tmpfs\"\n{text}");
    Config::parse(Path::new("/etc/blankroot.toml"), text.as_bytes()).unwrap()
}

fn facts(file_type: FileType) -> Facts {
    Facts { file_type, mode: 0o644, uid: 0, gid: 0, size: 1, mtime: 0, mtime_nanos: 0 }
}

/// Sorted paths; those that end in a slash are directories.
fn changes(kind: ChangeKind, paths: &[&[u8]]) -> Changes {
    let mut writer = ChangesWriter::new();
    let mut here: Vec<Vec<u8>> = Vec::new();
    for path in paths {
        let file_type = if path.ends_with(b"/") { FileType::Dir } else { FileType::File };
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let mut names: Vec<Vec<u8>> = path.split(|&b| b == b'/').map(<[u8]>::to_vec).collect();
        let name = names.pop().unwrap();
        if names.is_empty() && name.is_empty() {
            writer.record_root(kind, facts(file_type));
            continue;
        }
        let common = here.iter().zip(&names).take_while(|(a, b)| a == b).count();
        (common..here.len()).for_each(|_| writer.ascend());
        names[common..].iter().for_each(|name| writer.descend(name));
        here = names;
        writer.record(&name, kind, facts(file_type));
    }
    writer.finish()
}

fn verdicts(changes: &Changes, config: &Config) -> Vec<String> {
    let verdicts = classify(changes, config);
    assert_eq!(verdicts.iter().len(), changes.len());
    changes
        .iter()
        .zip(verdicts.iter())
        .map(|(change, (verdict, rule))| {
            format!("{} {} {}", change.path, verdict.word(), rule.unwrap_or("-"))
        })
        .collect()
}

const LISTS: &str = r#"
[[storage]]
path = "/mnt/persist"
directories = ["/var/lib/x", "/var/cache/keep"]
files = ["/etc/machine-id", "/etc/ssh/key"]
[storage.users.alice]
directories = [".ssh"]
[forget]
paths = ["/var/cache/**", "/root/.cache", "/home/alice", "/**/*.tmp"]
"#;

#[test]
fn every_change_is_kept_forgotten_or_stray_and_the_rule_says_why() {
    let paths: &[&[u8]] = &[
        b"/",
        b"etc/machine-id",
        b"etc/machine-id.old",
        b"etc/ssh/",
        b"etc/ssh/key",
        b"etc/ssh/key.pub",
        b"home/",
        b"home/alice/",
        b"home/alice/.ssh/",
        b"home/alice/.ssh/id",
        b"home/alice/\xff",
        b"home/bob/",
        b"mnt/",
        b"mnt/persist/",
        b"mnt/persist/below the mount",
        b"root/.cache/",
        b"root/.cache-2",
        b"root/.cache/a/b",
        b"root/n\nl \xfe.tmp",
        b"var/cache/",
        b"var/cache/a",
        b"var/cache/keep/x",
        b"var/lib/",
        b"var/lib/x-y",
        b"var/lib/x/a.tmp",
    ];
    let shown = verdicts(&changes(ChangeKind::Added, paths), &config(LISTS));
    let keep_ssh = "keep /etc/ssh/key (/etc/blankroot.toml:7)";
    let alice = "keep /home/alice/.ssh (/etc/blankroot.toml:9)";
    let storage = "storage /mnt/persist (/etc/blankroot.toml:5)";
    let forget = |pattern: &str| format!("forgotten forget {pattern} (/etc/blankroot.toml:11)");
    let expected = [
        "/ stray -".to_string(),
        "/etc/machine-id kept keep /etc/machine-id (/etc/blankroot.toml:7)".to_string(),
        "/etc/machine-id.old stray -".to_string(),
        format!("/etc/ssh kept {keep_ssh}"),
        format!("/etc/ssh/key kept {keep_ssh}"),
        "/etc/ssh/key.pub stray -".to_string(),
        format!("/home kept {alice}"),
        format!("/home/alice kept {alice}"),
        format!("/home/alice/.ssh kept {alice}"),
        format!("/home/alice/.ssh/id kept {alice}"),
        format!("/home/alice/\\xff {}", forget("/home/alice")),
        "/home/bob stray -".to_string(),
        format!("/mnt kept {storage}"),
        format!("/mnt/persist kept {storage}"),
        "/mnt/persist/below the mount stray -".to_string(),
        format!("/root/.cache {}", forget("/root/.cache")),
        "/root/.cache-2 stray -".to_string(),
        format!("/root/.cache/a/b {}", forget("/root/.cache")),
        format!("/root/n\\nl \\xfe.tmp {}", forget("/**/*.tmp")),
        "/var/cache kept keep /var/cache/keep (/etc/blankroot.toml:6)".to_string(),
        format!("/var/cache/a {}", forget("/var/cache/**")),
        "/var/cache/keep/x kept keep /var/cache/keep (/etc/blankroot.toml:6)".to_string(),
        "/var/lib kept keep /var/lib/x (/etc/blankroot.toml:6)".to_string(),
        "/var/lib/x-y stray -".to_string(),
        "/var/lib/x/a.tmp kept keep /var/lib/x (/etc/blankroot.toml:6)".to_string(),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn a_parent_that_changed_its_owner_is_stray_though_it_leads_to_kept_paths() {
    for kind in [ChangeKind::Metadata, ChangeKind::Removed, ChangeKind::Replaced] {
        let changes = changes(kind, &[b"etc/ssh/", b"etc/ssh/key", b"mnt/", b"mnt/persist/"]);
        let shown = verdicts(&changes, &config(LISTS));
        let words: Vec<_> = shown.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert_eq!(words, ["stray", "kept", "stray", "kept"], "{kind:?}");
    }
}

/// A way that looked at all of them for each would not end.
#[test]
fn half_a_million_changes_have_their_verdicts() {
    let mut writer = ChangesWriter::new();
    for top in [&b"home"[..], b"var"] {
        writer.descend(top);
        for dir in 0..1000 {
            writer.descend(format!("directory-{dir:04}").as_bytes());
            for file in 0..250 {
                let name = format!("file-{file:03}");
                writer.record(name.as_bytes(), ChangeKind::Added, facts(FileType::File));
            }
            writer.ascend();
        }
        writer.ascend();
    }
    let changes = writer.finish();
    let config = config(LISTS);
    let verdicts = classify(&changes, &config);
    assert_eq!(verdicts.iter().len(), 500_000);
}
