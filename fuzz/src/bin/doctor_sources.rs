//! The small texts that `doctor` reads: other sources of accounts, keys, sizes, swap files, releases of
//! kernels. What is told of them prints on one line, and neither comments nor what follows a key's line
//! change it.
#![no_main]

use blankroot::boot::kernel_image::read_release;
use blankroot::boot::swap_files::{parse_fstab_swaps, parse_proc_swaps};
use blankroot::doctor::login_sources::{HEAD, is_private_key};
use blankroot::doctor::login_sources::{
    fstab_memory, has_keys, of_nsswitch, parse_tmpfs_size, parse_total_memory,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let sources = of_nsswitch(text);
    for source in &sources {
        assert!(!source.is_empty() && !source.contains(char::is_control), "{source:?}");
    }
    assert_eq!(of_nsswitch(&[b"# passwd: x\n", text].concat()), sources);
    assert_eq!(has_keys(&[b"# none\n\n", text].concat()), has_keys(text));
    if text.len() < HEAD {
        assert_eq!(is_private_key(&[text, b"\n"].concat()), is_private_key(text));
    }
    assert_eq!(
        parse_total_memory(text).map(|bytes| bytes % 1024),
        parse_total_memory(text).map(|_| 0)
    );
    let mounts = fstab_memory(text, Some(100));
    assert!(mounts.len() <= text.split(|&b| b == b'\n').count());
    for mount in &mounts {
        assert!(!mount.path.to_string().contains(char::is_control));
        assert_eq!(dirfd::TreePath::parse(mount.path.as_bytes()).as_ref(), Ok(&mount.path));
    }
    assert_eq!(fstab_memory(&[b"# x / tmpfs\n", text].concat(), Some(100)), mounts);
    assert!(
        parse_fstab_swaps(text)
            .iter()
            .all(|path| path.starts_with(b"/") && !path.starts_with(b"/dev/"))
    );
    assert!(parse_proc_swaps(text).len() <= text.split(|&b| b == b'\n').count());
    let read = |offset: u64, length: usize| {
        let rest = usize::try_from(offset).ok().and_then(|at| text.get(at..)).unwrap_or_default();
        Ok(rest[..length.min(rest.len())].to_vec())
    };
    if let Ok(Some(release)) = read_release(read) {
        assert!(release.starts_with(|c: char| c.is_ascii_digit()) && !release.contains('/'));
    }
    if let Some(bytes) = parse_tmpfs_size(text) {
        assert_eq!(parse_tmpfs_size(bytes.to_string().as_bytes()), Some(bytes));
    }
});
