//! Which inodes were written between two snapshots, as the kernel tells it: a pure function of its records.

use std::ops::RangeInclusive;

/// Bytes of `dmu_diff_record_t`, include/sys/zfs_ioctl.h: type, first and last object, each a `u64`.
const RECORD: usize = 24;
/// `DDR_INUSE`: these objects are there in the newer snapshot.
const IN_USE: u64 = 2;
/// `DDR_FREE`: and these are not.
const FREE: u64 = 4;

/// Numbers of objects, which are those of inodes. More than were changed: the kernel compares blocks of
/// dnodes, of which one has up to 32.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Ascending, with a gap between two.
    ranges: Vec<RangeInclusive<u64>>,
}

impl Written {
    /// Reads what the kernel wrote; the error says what is wrong with it.
    pub fn parse(records: &[u8]) -> Result<Self, &'static str> {
        let (records, rest) = records.as_chunks::<RECORD>();
        if !rest.is_empty() {
            return Err("a record is cut short");
        }
        let mut found = Vec::with_capacity(records.len());
        for record in records {
            let (fields, _) = record.as_chunks::<8>();
            let fields = fields.iter().map(|bytes| u64::from_ne_bytes(*bytes));
            let [kind, first, last] = fields.collect::<Vec<u64>>()[..] else {
                return Err("a record is cut short");
            };
            if ![IN_USE, FREE].contains(&kind) || first > last {
                return Err("a record makes no sense");
            }
            found.push((first, last));
        }
        found.sort_unstable();
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        for (first, last) in found {
            match ranges.last_mut() {
                Some(before) if first <= before.end().saturating_add(1) => {
                    *before = *before.start()..=last.max(*before.end());
                }
                _ => ranges.push(first..=last),
            }
        }
        Ok(Self { ranges })
    }

    /// Whether the object may have been written.
    pub fn contains(&self, object: u64) -> bool {
        let at = self.ranges.partition_point(|range| *range.end() < object);
        self.ranges.get(at).is_some_and(|range| range.contains(&object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u64, first: u64, last: u64) -> Vec<u8> {
        [kind, first, last].map(u64::to_ne_bytes).concat()
    }

    #[test]
    fn ranges_are_joined_and_their_ends_belong_to_them() {
        let records = [record(2, 64, 95), record(4, 96, 127), record(2, 0, 31)].concat();
        let written = Written::parse(&records).unwrap();
        assert_eq!(written.ranges, [0..=31, 64..=127]);
        let inside = [0, 31, 64, 96, 127].map(|object| written.contains(object));
        let outside = [32, 63, 128, u64::MAX].map(|object| written.contains(object));
        assert_eq!((inside, outside), ([true; 5], [false; 4]));
        assert!(!Written::default().contains(0));
    }

    #[test]
    fn records_that_make_no_sense_are_refused() {
        let whole = record(2, 1, 2);
        assert!(Written::parse(&whole[..23]).is_err());
        assert!(Written::parse(&record(1, 1, 2)).is_err());
        assert!(Written::parse(&record(2, 2, 1)).is_err());
        assert_eq!(Written::parse(b""), Ok(Written::default()));
    }
}
