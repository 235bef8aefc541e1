//! An fstab, and the lines to write where it names the root by number. The first line of the input
//! is live's name. A corrected line is one line, mounts the root by name and keeps its other fields.
//! What is mounted in the initrd is told on one line, lies below the root, and has none of the options
//! that are for programs.
#![no_main]

use blankroot::boot::fstab::{RootEntry, parse_entries, root_entries};
use blankroot::boot::next_root::correct_fstab_line;
use blankroot::persist::early_plan::{MountSource, StorageMount};
use dirfd::TreeName;
use dirfd::mountinfo::unescape;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let split = input.iter().position(|&b| b == b'\n').unwrap_or(input.len());
    let name = TreeName::new(&input[..split]);
    let text = input.get(split + 1..).unwrap_or_default();
    check_mounts(text);
    let roots = root_entries(text);
    assert!(roots.is_sorted_by(|a, b| a.line < b.line));
    for entry in roots {
        let line =
            text.split(|&b| b == b'\n').nth(entry.line - 1).expect("its line is in the text");
        assert_eq!(entry.text, line.strip_suffix(b"\r").unwrap_or(line));
        let alone = RootEntry { line: 1, ..entry.clone() };
        // Of two carriage returns at its end the line keeps one.
        assert_eq!(root_entries(&[&entry.text, b"\r".as_slice()].concat()), [alone]);
        match (entry.subvolid(), &name) {
            (Some(number), Ok(live)) => {
                assert!(!number.contains(&b','));
                check_correction(&entry, live);
            }
            _ => continue,
        }
    }
});

fn check_correction(entry: &RootEntry, live: &TreeName) {
    let corrected = correct_fstab_line(&entry.text, live);
    assert!(!corrected.contains(|c: char| c.is_control() && c != '\t'), "{corrected:?}");
    let again = root_entries(corrected.as_bytes());
    let [again] = again.as_slice() else { panic!("no entry: {corrected:?}") };
    let field = |text: &[u8], at: usize| {
        let mut fields = text.split(|b| b" \t".contains(b)).filter(|field| !field.is_empty());
        fields.nth(at).map(|field| unescape(field).into_owned())
    };
    for at in [0, 1, 2, 4, 5, 6] {
        assert_eq!(field(corrected.as_bytes(), at), field(&entry.text, at), "{corrected:?}");
    }
    // A comma in a name cannot be written.
    if live.as_bytes().contains(&b',') {
        return;
    }
    assert_eq!(again.subvolid(), None, "{corrected:?}");
    let named = |options: &[u8]| -> Option<Vec<u8>> {
        let mut options = options.split(|&b| b == b',');
        options.find_map(|option| option.strip_prefix(b"subvol=")).map(<[u8]>::to_vec)
    };
    let name = named(&entry.options).unwrap_or(live.as_bytes().to_vec());
    assert_eq!(named(&again.options), Some(name), "{corrected:?}");
    assert_eq!(correct_fstab_line(corrected.as_bytes(), live), corrected);
}

fn check_mounts(text: &[u8]) {
    let all = parse_entries(text);
    assert!(all.is_sorted_by(|a, b| a.line < b.line));
    for root in root_entries(text) {
        let entry = all.iter().find(|entry| entry.line == root.line).expect("it is an entry");
        assert!(entry.point.depth() == 0 && entry.options == root.options);
    }
    for entry in &all {
        let mount = match StorageMount::of(entry) {
            Ok(mount) => mount,
            Err((why, hint)) => {
                assert!(![why, hint].concat().contains(char::is_control));
                continue;
            }
        };
        assert!(!mount.to_string().contains(char::is_control));
        assert!(mount.attributes <= u64::from(u32::MAX));
        if let MountSource::Device(path) = &mount.source {
            assert!(path.as_bytes().split(|&b| b == b'/').all(|part| part != b".."));
        }
        for (key, _) in &mount.options {
            assert!(!key.is_empty() && !key.contains('='));
            let program = ["nofail", "noauto", "_netdev", "bind", "rbind", "remount", "loop"];
            assert!(!program.contains(&key.as_str()) && !key.to_lowercase().starts_with("x-"));
        }
    }
}
