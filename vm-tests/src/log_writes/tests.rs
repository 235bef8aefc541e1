use proptest::prelude::*;

use super::*;

/// A log as QEMU writes it.
fn log(sector: usize, entries: &[(u64, u64, u64, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |numbers: &[u64], more: &[u8]| {
        let mut block: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        block.extend_from_slice(more);
        block.resize(block.len().next_multiple_of(sector), 0);
        bytes.extend(block);
    };
    put(&[MAGIC, VERSION, entries.len() as u64, sector as u64], &[]);
    for (at, count, flags, data) in entries {
        let text = if flags & MARK != 0 { data.len() as u64 } else { 0 };
        if text > 0 {
            put(&[*at, *count, *flags, text], data);
        } else {
            put(&[*at, *count, *flags, text], &[]);
            if !data.is_empty() {
                put(&[], data);
            }
        }
    }
    bytes
}

#[test]
fn what_was_written_comes_back_in_order() {
    let data = [7; 1024];
    let entries: [(u64, u64, u64, &[u8]); 5] = [
        (8, 2, 0, &data),
        (0, 0, FLUSH, &[]),
        (16, 1 << 20, DISCARD, &[]),
        (1, 1, FLUSH | FUA | METADATA, &data[..512]),
        (0, 0, MARK, b"now"),
    ];
    let bytes = log(512, &entries);
    let found = Log::parse(&bytes).unwrap();
    let plain = |change| Entry { flush: false, durable: false, change };
    let expected = [
        plain(Change::Write(4096, &data)),
        Entry { flush: true, ..plain(Change::Nothing) },
        plain(Change::Discard(8192, 512 << 20)),
        Entry { flush: true, durable: true, change: Change::Write(512, &data[..512]) },
        plain(Change::Mark(b"now")),
    ];
    assert_eq!(found, Log { sector: 512, entries: expected.to_vec() });
}

#[test]
fn sectors_may_be_larger() {
    let bytes = log(4096, &[(3, 1, 0, &[1; 4096])]);
    let [entry] = Log::parse(&bytes).unwrap().entries[..] else { panic!() };
    assert_eq!(entry.change, Change::Write(3 * 4096, &[1; 4096]));
}

#[test]
fn what_is_wrong_is_named() {
    let good = log(512, &[(8, 2, 0, &[7; 1024]), (0, 0, FLUSH, &[])]);
    let with = |at: usize, value: u64| {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    for (bytes, text) in [
        (Vec::new(), "cannot read the super block: it takes 32 bytes from byte 0 on"),
        (with(0, 1), "cannot read a log of writes: its magic number is 0x1, and not 0x6a73"),
        (with(8, 2), "its version is 0x2"),
        (with(24, 513), "its sectors have 513 bytes"),
        (with(24, 0), "its sectors have 0 bytes"),
        (with(16, 3), "entry 2: cannot read its description"),
        (with(16, u64::MAX), "entry 2: cannot read its description"),
        (with(512 + 8, 1 << 40), "entry 0: cannot read what it wrote"),
        (with(512 + 8, u64::MAX), "entry 0: it lies beyond any disk"),
        (with(512, u64::MAX / 512), "entry 0: it lies beyond any disk"),
        (with(512 + 16, 0x40), "entry 0: it has the flags 0x40, of which 0x40 are unknown"),
        (good[..good.len() - 1].to_vec(), "entry 1: cannot read its description"),
    ] {
        let error = Log::parse(&bytes).unwrap_err().to_string();
        assert!(error.contains(text), "no `{text}` in `{error}`");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = Log::parse(&bytes);
    }

    /// Most random bytes are no log at all, so a good one is damaged.
    #[test]
    fn no_damage_makes_it_panic_or_reach_beyond_its_end(
        damage in proptest::collection::vec((0usize..4096, any::<u8>()), 0..12),
        shortened in 0usize..4096,
    ) {
        let mut bytes = log(512, &[
            (8, 2, 0, &[7; 1024]), (0, 0, FLUSH, &[]), (9, 1, DISCARD, &[]), (0, 0, MARK, b"x"),
        ]);
        for (at, value) in damage {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        bytes.truncate(bytes.len() - shortened.min(bytes.len()) * usize::from(shortened % 3 == 0));
        if let Ok(log) = Log::parse(&bytes) {
            let written: usize = log.entries.iter().map(|entry| match entry.change {
                Change::Write(_, data) => log.sector + data.len(),
                _ => log.sector,
            }).sum();
            prop_assert!(log.sector + written <= bytes.len());
        }
    }

    #[test]
    fn every_log_comes_back(
        writes in proptest::collection::vec((0u64..1 << 40, 1u64..5, 0u64..4), 0..20),
    ) {
        let data = vec![3; 4 * 512];
        let entries: Vec<_> = writes
            .iter()
            .map(|(at, count, flags)| (*at, *count, *flags, &data[..*count as usize * 512]))
            .collect();
        let bytes = log(512, &entries);
        let found = Log::parse(&bytes).unwrap();
        prop_assert_eq!(found.entries.len(), entries.len());
        for (entry, (at, _, flags, data)) in found.entries.iter().zip(entries) {
            prop_assert_eq!(entry.change, Change::Write(at * 512, data));
            prop_assert_eq!((entry.flush, entry.durable), (flags & FLUSH != 0, flags & FUA != 0));
        }
    }
}
