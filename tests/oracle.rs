//! The judge is judged: the oracle against cases worked out by hand and against rsync, and the
//! histories for whether they do anything.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;

use dirfd::ChangeKind::{self, Added, Metadata, Modified, Removed, Replaced};
use dirfd::FileType::{self, Char, Dir, Fifo, File, Subvolume, Symlink};
use dirfd::path::Escaped;
use dirfd::process::Program;
use rustix::fs::{CWD, Mode, RenameFlags, makedev, mknodat, renameat_with};
use support::apply::set_xattr;
use support::histories::{self, BLANK, LIVE, Stage};
use support::kernel::{create_subvolume, delete_subvolume, snapshot};
use support::op::table;
use support::sandbox::{on_btrfs, skip};
use support::{names, oracle};

type Make = fn(&Path);
type Expected<'a> = &'a [(&'a str, ChangeKind, FileType)];

fn write(path: std::path::PathBuf, content: &str) {
    fs::write(path, content).unwrap();
}

fn char_device(path: &Path, minor: u32) {
    let kind = rustix::fs::FileType::CharacterDevice;
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), makedev(1, minor)).unwrap();
}

/// What every case starts from.
fn start(root: &Path) {
    write(root.join("file"), "one");
    fs::create_dir(root.join("dir")).unwrap();
    write(root.join("dir/inside"), "x");
    symlink("file", root.join("link")).unwrap();
    char_device(&root.join("device"), 3);
    set_xattr(&root.join("file"), "user.one", b"1").unwrap();
    create_subvolume(&root.join("nested")).unwrap();
    write(root.join("nested/inside"), "x");
}

fn check(top: &Path, since: Make, expected: Expected<'_>) {
    let [origin, blank, live] = ["origin", "blank", "live"].map(|name| top.join(name));
    create_subvolume(&origin).unwrap();
    start(&origin);
    snapshot(&origin, &blank, true).unwrap();
    snapshot(&blank, &live, false).unwrap();
    since(&live);
    let rows = oracle::changes(&oracle::walk(&blank), &oracle::walk(&live));
    let found: Vec<_> = rows
        .iter()
        .map(|row| (std::str::from_utf8(&row.path).unwrap(), row.kind, row.facts.file_type))
        .collect();
    assert_eq!(found, expected);
    for tree in [origin.join("nested"), origin, blank, live] {
        delete_subvolume(&tree).unwrap();
    }
}

#[test]
fn each_kind_of_change_is_told_as_the_design_says() {
    on_btrfs(|sandbox| {
        let top = sandbox.top();
        let case = |since: Make, expected: Expected<'_>| check(top, since, expected);
        case(|_| {}, &[]);
        case(|live| write(live.join("new\n"), "x"), &[("new\n", Added, File)]);
        case(|live| fs::remove_file(live.join("file")).unwrap(), &[("file", Removed, File)]);
        case(|live| write(live.join("file"), "two"), &[("file", Modified, File)]);
        case(|live| write(live.join("file"), "one"), &[]);
        case(
            |live| {
                fs::create_dir_all(live.join("a/b")).unwrap();
                write(live.join("a-b"), "x");
            },
            &[("a", Added, Dir), ("a-b", Added, File), ("a/b", Added, Dir)],
        );
        case(
            |live| fs::hard_link(live.join("dir/inside"), live.join("dir/twin")).unwrap(),
            &[("dir/twin", Added, File)],
        );
        case(
            |live| {
                renameat_with(CWD, live.join("dir"), CWD, live.join("moved"), RenameFlags::empty())
                    .unwrap()
            },
            &[
                ("dir", Removed, Dir),
                ("dir/inside", Removed, File),
                ("moved", Added, Dir),
                ("moved/inside", Added, File),
            ],
        );
        case(
            |live| {
                fs::remove_file(live.join("dir/inside")).unwrap();
                fs::remove_dir(live.join("dir")).unwrap();
                write(live.join("dir"), "x");
            },
            &[("dir", Replaced, File), ("dir/inside", Removed, File)],
        );
        case(
            |live| {
                fs::remove_file(live.join("file")).unwrap();
                fs::create_dir(live.join("file")).unwrap();
                write(live.join("file/inside"), "x");
            },
            &[("file", Replaced, Dir), ("file/inside", Added, File)],
        );
        case(
            |live| {
                fs::remove_file(live.join("link")).unwrap();
                symlink("elsewhere", live.join("link")).unwrap();
            },
            &[("link", Modified, Symlink)],
        );
        case(
            |live| {
                fs::remove_file(live.join("device")).unwrap();
                char_device(&live.join("device"), 5);
            },
            &[("device", Modified, Char)],
        );
        case(
            |live| {
                fs::remove_file(live.join("device")).unwrap();
                let mode = Mode::from_raw_mode(0o600);
                mknodat(CWD, live.join("device"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
            },
            &[("device", Replaced, Fifo)],
        );
    });
}

#[test]
fn what_is_written_beside_a_file_is_metadata_and_times_are_nothing() {
    on_btrfs(|sandbox| {
        let top = sandbox.top();
        let case = |since: Make, expected: Expected<'_>| check(top, since, expected);
        let chmod: Make = |live| {
            for path in [live, &live.join("dir")] {
                fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
            }
        };
        case(chmod, &[("", Metadata, Dir), ("dir", Metadata, Dir)]);
        let chown: Make = |live| lchown(live.join("link"), Some(7), None).unwrap();
        case(chown, &[("link", Metadata, Symlink)]);
        let xattr: Make = |live| set_xattr(&live.join("file"), "user.one", b"2").unwrap();
        case(xattr, &[("file", Metadata, File)]);
        case(
            |live| rustix::fs::lremovexattr(live.join("file"), "user.one").unwrap(),
            &[("file", Metadata, File)],
        );
        let acl: Make = |live| {
            let acl = names::acl(7, 6);
            set_xattr(&live.join("dir"), "system.posix_acl_default", &acl).unwrap();
        };
        case(acl, &[("dir", Metadata, Dir)]);
        let capability: Make = |live| {
            set_xattr(&live.join("file"), "security.capability", &names::capability(4)).unwrap();
        };
        case(capability, &[("file", Metadata, File)]);
        let flags: Make = |live| {
            use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
            for (name, flag) in [("file", IFlags::IMMUTABLE), ("dir", IFlags::NOCOW)] {
                let opened = fs::File::open(live.join(name)).unwrap();
                ioctl_setflags(&opened, ioctl_getflags(&opened).unwrap() | flag).unwrap();
            }
        };
        case(flags, &[("dir", Metadata, Dir), ("file", Metadata, File)]);
        let touch: Make = |live| {
            let file = fs::File::options().write(true).open(live.join("file")).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        };
        case(touch, &[]);
    });
}

#[test]
fn a_nested_subvolume_and_its_stub_are_one_thing() {
    on_btrfs(|sandbox| {
        let top = sandbox.top();
        let case = |since: Make, expected: Expected<'_>| check(top, since, expected);
        let remove_stub: Make = |live| fs::remove_dir(live.join("nested")).unwrap();
        case(remove_stub, &[("nested", Removed, Subvolume)]);
        case(
            |live| {
                fs::remove_dir(live.join("nested")).unwrap();
                fs::create_dir(live.join("nested")).unwrap();
                write(live.join("nested/inside"), "x");
            },
            &[("nested", Replaced, Dir), ("nested/inside", Added, File)],
        );

        let [blank, live] = ["blank", "live"].map(|name| top.join(name));
        create_subvolume(&live).unwrap();
        start(&live);
        snapshot(&live, &blank, true).unwrap();
        write(live.join("nested/more"), "what is inside belongs to it");
        let told = || oracle::changes(&oracle::walk(&blank), &oracle::walk(&live));
        // One that holds something is told where the other tree has its stub.
        let rows = told();
        let row = rows.first().unwrap();
        assert_eq!((rows.len(), row.path.as_slice(), row.kind), (1, &b"nested"[..], Modified));
        create_subvolume(&live.join("dir/new")).unwrap();
        write(live.join("dir/new/inside"), "x");
        let rows = told();
        let row = rows.first().unwrap();
        assert_eq!((rows.len(), row.kind, row.facts.size), (2, Added, 0));
        assert_eq!((row.path.as_slice(), row.facts.file_type), (&b"dir/new"[..], Subvolume));
    });
}

#[test]
fn every_operation_takes_effect_and_quiet_ones_do_not_show() {
    on_btrfs(|sandbox| {
        let mut stage = Stage::new(sandbox);
        let live = stage.sandbox().top().join(LIVE);
        let (mut done, mut shown) = (BTreeSet::new(), BTreeSet::new());
        let visible: BTreeMap<_, _> = table().into_iter().map(|op| (op.name, op.visible)).collect();
        for history in histories::sample(1, 300) {
            stage.set_up(&history);
            let mut before = oracle::walk(&live);
            for op in &history.since {
                if !stage.apply_to_live(*op) {
                    continue;
                }
                let after = oracle::walk(&live);
                let mut rows = oracle::changes(&before, &after);
                let name = op.name();
                if name == "RewriteSame" {
                    // Every write takes a file capability away.
                    rows.retain(|row| row.kind != Metadata);
                }
                if !visible[name.as_str()] {
                    assert_eq!(rows, [], "{op:?} showed");
                } else if !rows.is_empty() {
                    shown.insert(name.clone());
                }
                done.insert(name);
                before = after;
            }
        }
        for (name, visible) in visible {
            assert!(done.contains(name), "{name} never took effect");
            assert!(!visible || shown.contains(name), "{name} never showed");
        }
    });
}

#[test]
fn the_oracle_agrees_with_rsync() {
    const RSYNC: Program = Program::new("rsync", "rsync");
    if RSYNC.find().is_none() {
        return skip("rsync is not installed");
    }
    on_btrfs(|sandbox| {
        histories::run(sandbox, 2, 100, |outcome| {
            let [blank, live] = [BLANK, LIVE].map(|name| outcome.top.join(name).join(""));
            let args = OPTIONS.iter().map(std::ffi::OsStr::new);
            let printed = match RSYNC.run(args.chain([live.as_os_str(), blank.as_os_str()])) {
                Ok(printed) => printed,
                // It has no way to name what lies deeper than PATH_MAX.
                Err(error) if error.to_string().contains("too long") => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            let subvolume =
                |path: &[u8]| [&live, &blank].iter().any(|tree| is_below_subvolume(tree, path));
            let rows = oracle::changes(&without_flags(&blank), &without_flags(&live));
            let expected = rows.into_iter().map(|row| {
                (
                    row.path,
                    match row.kind {
                        Added => "new",
                        Removed => "gone",
                        Modified | Metadata | Replaced => "other",
                    },
                )
            });
            let expected: Verdicts = expected.filter(|(path, _)| !subvolume(path)).collect();
            let found: Verdicts =
                rsync_rows(&printed).into_iter().filter(|(path, _)| !subvolume(path)).collect();
            let same = expected.keys().eq(found.keys())
                && expected.values().zip(found.values()).all(|(a, b)| a == b || *a == "other");
            if same { Ok(()) } else { Err(disagreement(&expected, &found)) }
        });
    });
}

/// A tree as rsync sees it: it knows nothing of chattr(1).
fn without_flags(root: &Path) -> oracle::Tree {
    let mut tree = oracle::walk(root);
    tree.values_mut().for_each(|entry| entry.flags = 0);
    tree
}

/// Neither times nor links are a change, and a nested subvolume is not entered.
const OPTIONS: [&str; 6] =
    ["-rlpgoDXAnx", "--checksum", "--delete", "-8", "--out-format=%i %n", "--"];

type Verdicts = BTreeMap<Vec<u8>, &'static str>;

fn rsync_rows(printed: &[u8]) -> Verdicts {
    let mut rows = Verdicts::new();
    for line in printed.split(|&byte| byte == b'\n').filter(|line| line.len() > 12) {
        // It keeps its hands off a directory with another subvolume's stub in it.
        if let Some(path) = line.strip_prefix(b"cannot delete non-empty directory: ") {
            rows.insert(unescape(path), "gone");
            continue;
        }
        let (flags, path) = line.split_at(12);
        let path = unescape(path.strip_suffix(b"/").unwrap_or(path));
        let verdict = match flags {
            _ if flags.starts_with(b"*deleting") => "gone",
            _ if flags.ends_with(b"+++++++++ ") => "new",
            _ => "other",
        };
        // What has another type now is deleted and made new.
        let path = if path == b"." { Vec::new() } else { path };
        rows.entry(path).and_modify(|old| *old = "other").or_insert(verdict);
    }
    rows
}

/// Rsync prints control characters and its own escapes as `\#` and three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let octal = rest.strip_prefix(b"\\#").and_then(|digits| digits.get(..3));
        let byte = octal.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &rest[5..] } else { after };
    }
    bytes
}

fn is_below_subvolume(tree: &Path, path: &[u8]) -> bool {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    path.ancestors().filter(|part| !part.as_os_str().is_empty()).any(|part| {
        let found = fs::symlink_metadata(tree.join(part));
        found.is_ok_and(|meta| meta.is_dir() && matches!(meta.ino(), 2 | 256))
    })
}

fn disagreement(expected: &Verdicts, found: &Verdicts) -> String {
    let show = |set: &Verdicts, other: &Verdicts| -> Vec<String> {
        let only = set.iter().filter(|(path, verdict)| other.get(*path) != Some(verdict));
        only.map(|(path, verdict)| format!("{verdict} /{}", Escaped(path))).collect()
    };
    format!("oracle: {:#?}\nrsync: {:#?}", show(expected, found), show(found, expected))
}
