//! What the kernel packs of delegations: what is cut out for a dataset is a part of it, and is nothing but a
//! list in which this is found again.
#![no_main]

use backends::zfs::delegations::cut_out;
use libfuzzer_sys::fuzz_target;

/// The header, version and flags, and the end of a list.
const LEAST: usize = 16;

fuzz_target!(|packed: &[u8]| {
    for dataset in ["tank/root", "tank", ""] {
        let Ok(Some(list)) = cut_out(packed, dataset) else { continue };
        assert!(list.len() >= LEAST && list.len() <= packed.len());
        assert_eq!(list[..12], packed[..12]);
        assert!(packed.windows(list.len() - 12).any(|part| *part == list[12..]));
        // It can be read by itself.
        assert!(cut_out(&list, "").is_ok());
    }
});
