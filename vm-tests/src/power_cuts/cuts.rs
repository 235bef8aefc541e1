//! Where the power goes: which entries of a log a disk still got. Pure.
//!
//! A flush makes durable what came before it. What was written since the last one may be there or not,
//! in any mixture: a plain prefix has all of it, a prefix with losses has some blocks of it.

use std::fmt;
use std::str::FromStr;

use crate::log_writes::{Change, Log};

/// What a disk writes whole or not at all, in bytes.
const BLOCK: usize = 4096;

/// One cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// So many entries were complete.
    pub prefix: usize,
    /// Of what was not flushed some blocks are lost: which, this number decides.
    pub losses: Option<u64>,
}

/// All cuts of one scenario that are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Each prefix that ends at a flush, the empty and the whole log.
    pub flushes: Vec<Cut>,
    /// Prefixes that end elsewhere.
    pub others: Vec<Cut>,
    /// Prefixes with losses.
    pub losses: Vec<Cut>,
}

impl Chosen {
    /// All of them, in the order of their prefixes.
    pub fn all(&self) -> Vec<Cut> {
        let lists = [&self.flushes, &self.others, &self.losses];
        let mut all: Vec<Cut> = lists.into_iter().flatten().copied().collect();
        all.sort();
        all
    }
}

/// All prefixes that end at a flush; of the other prefixes, and of those with losses, `most` at random,
/// or all if there are fewer.
pub fn choose(log: &Log<'_>, most: usize, seed: u64) -> Chosen {
    let mut random = Random(seed);
    let plain = |prefix| Cut { prefix, losses: None };
    let ends_at_flush =
        |prefix: usize| prefix == 0 || prefix == log.entries.len() || log.entries[prefix - 1].flush;
    // A prefix that ends just before a flush has the very disk of the one that ends at it.
    let changes = |prefix: &usize| {
        let changes = !matches!(log.entries[prefix - 1].change, Change::Nothing | Change::Mark(_));
        changes && !ends_at_flush(*prefix) && !log.entries[*prefix].flush
    };
    let flushes = (0..=log.entries.len()).filter(|prefix| ends_at_flush(*prefix)).map(plain);
    let mut others: Vec<usize> = (1..=log.entries.len()).filter(changes).collect();
    random.shuffle(&mut others);
    others.truncate(most);
    others.sort_unstable();
    let open: Vec<usize> =
        (1..=log.entries.len()).filter(|prefix| *prefix > flushed(log, *prefix)).collect();
    let losses = (0..if open.is_empty() { 0 } else { most }).map(|_| Cut {
        prefix: open[random.below(open.len())],
        losses: Some(random.next() % 1_000_000),
    });
    Chosen {
        flushes: flushes.collect(),
        others: others.into_iter().map(plain).collect(),
        losses: losses.collect(),
    }
}

/// How many of the first `prefix` entries are durable: those before its last flush.
pub fn flushed(log: &Log<'_>, prefix: usize) -> usize {
    let found = log.entries[..prefix].iter().rposition(|entry| entry.flush);
    // A flush that carries data is followed by it.
    found.map_or(0, |at| at + usize::from(log.entries[at].change == Change::Nothing))
}

/// What is to be written to a disk that has the durable entries, so that it is the disk of `cut`.
pub fn unflushed<'l>(log: &Log<'l>, cut: Cut) -> Vec<Change<'l>> {
    let entries = &log.entries[flushed(log, cut.prefix)..cut.prefix];
    let Some(losses) = cut.losses else {
        return entries.iter().map(|entry| entry.change).collect();
    };
    let mut random = Random(losses);
    // Sometimes nearly all is lost, sometimes nearly nothing.
    let kept = [1, 4, 7][random.below(3)];
    let mut changes = Vec::new();
    for entry in entries {
        match entry.change {
            Change::Write(at, data) if !entry.durable => {
                for (index, block) in data.chunks(BLOCK).enumerate() {
                    if random.below(8) < kept {
                        changes.push(Change::Write(at + (index * BLOCK) as u64, block));
                    }
                }
            }
            Change::Discard(..) if random.below(8) >= kept => {}
            change => changes.push(change),
        }
    }
    changes
}

impl fmt::Display for Cut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.prefix)?;
        self.losses.map_or(Ok(()), |losses| write!(out, "~{losses}"))
    }
}

impl FromStr for Cut {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (prefix, losses) = match text.split_once('~') {
            Some((prefix, losses)) => (prefix, Some(losses.parse()?)),
            None => (text, None),
        };
        Ok(Self { prefix: prefix.parse()?, losses })
    }
}

/// Numbers that look random and are the same for one seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn shuffle(&mut self, numbers: &mut [usize]) {
        for at in (1..numbers.len()).rev() {
            numbers.swap(at, self.below(at + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_writes::Entry;

    const DATA: [u8; 3 * BLOCK] = [1; 3 * BLOCK];

    /// W: a write of three blocks, F: a flush, D: a discard.
    fn log(text: &str) -> Log<'static> {
        let entry = |(index, letter): (usize, char)| Entry {
            flush: letter == 'F',
            durable: false,
            change: match letter {
                'W' => Change::Write(index as u64 * 65536, &DATA),
                'D' => Change::Discard(0, 4096),
                _ => Change::Nothing,
            },
        };
        Log { sector: 512, entries: text.chars().enumerate().map(entry).collect() }
    }

    fn prefixes(cuts: &[Cut]) -> Vec<usize> {
        cuts.iter().map(|cut| cut.prefix).collect()
    }

    #[test]
    fn every_flush_is_chosen_and_no_disk_twice() {
        let chosen = choose(&log("WWWFWFFWDW"), 100, 7);
        assert_eq!(prefixes(&chosen.flushes), [0, 4, 6, 7, 10]);
        assert_eq!(prefixes(&chosen.others), [1, 2, 8, 9]);
        assert_eq!(chosen.losses.len(), 100);
        let open = [1, 2, 3, 5, 8, 9, 10];
        assert!(prefixes(&chosen.losses).iter().all(|prefix| open.contains(prefix)));
        assert_eq!(chosen.all().len(), 109);
    }

    #[test]
    fn there_are_no_more_than_were_asked_for_and_the_seed_decides() {
        let log = log(&"W".repeat(500));
        let chosen = choose(&log, 20, 1);
        assert_eq!((chosen.others.len(), chosen.losses.len()), (20, 20));
        assert_eq!(choose(&log, 20, 1), chosen);
        assert_ne!(choose(&log, 20, 2), chosen);
    }

    #[test]
    fn what_was_flushed_is_never_lost_and_the_rest_may_be() {
        let log = log("WFWW");
        for losses in 0..200 {
            let changes = unflushed(&log, Cut { prefix: 4, losses: Some(losses) });
            for change in &changes {
                let Change::Write(at, data) = change else { panic!("{change:?}") };
                assert!(*at >= 2 * 65536 && data.len() == BLOCK);
            }
            assert!(changes.len() <= 6);
        }
        let count = |losses| unflushed(&log, Cut { prefix: 4, losses: Some(losses) }).len();
        let counts: Vec<usize> = (0..200).map(count).collect();
        assert!((0..=6).all(|number| counts.contains(&number)), "{counts:?}");
        assert_eq!(unflushed(&log, Cut { prefix: 4, losses: None }).len(), 2);
    }

    #[test]
    fn a_flush_that_carries_data_does_not_make_that_durable() {
        let mut log = log("WW");
        log.entries[1].flush = true;
        assert_eq!(flushed(&log, 2), 1);
        log.entries[1].durable = true;
        let all = (0..50).map(|losses| unflushed(&log, Cut { prefix: 2, losses: Some(losses) }));
        assert!(all.into_iter().all(|changes| changes == [log.entries[1].change]));
    }

    #[test]
    fn a_cut_is_known_by_its_text() {
        for cut in [Cut { prefix: 12, losses: None }, Cut { prefix: 0, losses: Some(9) }] {
            assert_eq!(cut.to_string().parse(), Ok(cut));
        }
        assert!("12~".parse::<Cut>().is_err());
    }
}
