//! The kernel's mount table: each mount survives being written down again, and what shows a
//! subvolume is among the mounts.
#![no_main]

use backends::live_mounts::{Tri, mounts_of_subvolumes};
use dirfd::mount_tables::{MountTable, MountTables};
use dirfd::mountinfo::{Mount, parse_mountinfo, unescape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|table: &[u8]| {
    assert!(unescape(table).len() <= table.len());
    assert_eq!(&*unescape(&escape(table)), table);
    let mounts = match parse_mountinfo(table) {
        Ok(mounts) => mounts,
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("cannot read line ") && !text.contains(char::is_control));
            return;
        }
    };
    let lines = table.strip_suffix(b"\n").unwrap_or(table).split(|&b| b == b'\n');
    assert_eq!(mounts.len(), if mounts.is_empty() { 0 } else { lines.clone().count() });
    for (mount, line) in mounts.iter().zip(lines) {
        let again = parse_mountinfo(&write(mount, line)).expect("a mount can be written down");
        assert_eq!(again.as_slice(), std::slice::from_ref(mount));
        assert!(mount.users_own().is_none_or(|why| !why.contains(char::is_control)));
    }
    check_subvolume(mounts);
});

/// The line of a mount, with its options as they stand in `line`.
fn write(mount: &Mount, line: &[u8]) -> Vec<u8> {
    let hyphen = line.split(|&b| b == b' ').skip(6).position(|field| field == b"-");
    let at = 6 + hyphen.expect("a mount has a hyphen");
    let field = |at| line.split(|&b: &u8| b == b' ').nth(at);
    let own = field(5).expect("a mount has options of its own");
    let options = field(at + 3).expect("a mount has options");
    let Mount { id, parent, dev: (major, minor), .. } = mount;
    let mut written = format!("{id} {parent} {major}:{minor} ").into_bytes();
    for field in [&mount.root, &mount.mount_point] {
        written.extend(escape(field));
        written.push(b' ');
    }
    written.extend(own);
    written.extend(b" - ");
    for field in [&mount.fs_type, &mount.source] {
        written.extend(escape(field));
        written.push(b' ');
    }
    written.extend(options);
    written
}

/// As the kernel does (`mangle` in fs/proc_namespace.c).
fn escape(field: &[u8]) -> Vec<u8> {
    let escaped = field.iter().flat_map(|&b| match b {
        b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{b:03o}").into_bytes(),
        _ => vec![b],
    });
    escaped.collect()
}

fn check_subvolume(mounts: Vec<Mount>) {
    let btrfs = mounts.iter().filter(|mount| mount.fs_type == b"btrfs").cloned();
    let btrfs: Vec<Mount> = btrfs.collect();
    let tables = vec![MountTable { seen_by: Some(7), mounts }];
    let all = MountTables { tables, unreadable: 0, more: false };
    assert_eq!(mounts_of_subvolumes(&all, |_| Tri::No, &[256].into()), []);
    let mut found = mounts_of_subvolumes(&all, |_| Tri::Yes, &[256].into()).into_iter();
    for mount in btrfs {
        let shown = mount.option(b"subvolid");
        // A number that cannot be read may be any.
        let number = shown.and_then(|id| std::str::from_utf8(&id).ok()?.parse::<u64>().ok());
        if number.is_none_or(|number| number == 256) {
            let found = found.next().expect("a mount was overlooked");
            assert_eq!((found.mount_point, found.certain), (mount.mount_point, number.is_some()));
        }
    }
    assert_eq!(found.next(), None);
}
