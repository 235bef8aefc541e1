use super::*;
use crate::audit::audit_record::RecordedEvent;
use crate::audit::audit_record::record_fixture::audit_of_nginx;
use dirfd::fault::{Fault, run_with};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const MOST: u64 = 1 << 20;
/// ENOSPC, EIO.
const ERRNOS: [i32; 2] = [28, 5];

struct Ledger {
    dir: tempfile::TempDir,
    host: HostRoot,
    storage: TreePath,
}

impl Ledger {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("persist")).unwrap();
        let host = HostRoot::open(dir.path()).unwrap();
        Self { dir, host, storage: TreePath::parse(b"/persist").unwrap() }
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("persist/.blankroot").join(NAME)
    }

    fn add(&self, number: u64) -> Result<()> {
        self.add_bounded(number, MOST)
    }

    fn add_bounded(&self, number: u64, most: u64) -> Result<()> {
        let line = audit_of_nginx(number).to_line().unwrap();
        append(&self.host, &self.storage, &line, most, Durability::AtOnce)
    }

    /// The numbers that the records were made of.
    fn numbers(&self) -> Vec<u64> {
        let records = read_records(&self.host, &self.storage).unwrap();
        let numbers = records.iter().map(|record| match &record.event {
            RecordedEvent::Audit(summary) => summary.told.count,
            RecordedEvent::Lost(_) => panic!("{record:?}"),
        });
        numbers.collect()
    }
}

#[test]
fn records_are_read_in_the_order_in_which_they_were_added() {
    let ledger = Ledger::new();
    assert_eq!(ledger.numbers(), [0; 0]);
    (1..=3).for_each(|number| ledger.add(number).unwrap());
    assert_eq!(ledger.numbers(), [1, 2, 3]);
    let mode = std::fs::metadata(ledger.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn cut_at_any_byte_every_whole_record_is_read_and_the_next_one_is_added() {
    let ledger = Ledger::new();
    (1..=2).for_each(|number| ledger.add(number).unwrap());
    let whole = std::fs::read(ledger.file()).unwrap();
    let first = whole.iter().position(|&b| b == b'\n').unwrap();
    for length in 0..=whole.len() {
        std::fs::write(ledger.file(), &whole[..length]).unwrap();
        let mut expected = Vec::new();
        // A line without its end is whole already.
        expected.extend((length >= first).then_some(1));
        expected.extend((length >= whole.len() - 1).then_some(2));
        assert_eq!(ledger.numbers(), expected, "cut at {length}");
        ledger.add(3).unwrap();
        expected.push(3);
        assert_eq!(ledger.numbers(), expected, "added after a cut at {length}");
    }
}

#[test]
fn zeroes_and_foreign_lines_hide_no_record() {
    let ledger = Ledger::new();
    ledger.add(1).unwrap();
    let mut bytes = std::fs::read(ledger.file()).unwrap();
    bytes.extend([0; 4096]);
    std::fs::write(ledger.file(), &bytes).unwrap();
    ledger.add(2).unwrap();
    let mut bytes = std::fs::read(ledger.file()).unwrap();
    bytes.extend(b"{\"version\":1}\n\xff\n\n");
    std::fs::write(ledger.file(), &bytes).unwrap();
    ledger.add(3).unwrap();
    assert_eq!(ledger.numbers(), [1, 2, 3]);
}

#[test]
fn whatever_fails_the_records_before_are_read_and_the_next_one_is_added() {
    let line = audit_of_nginx(0).to_line().unwrap().len() as u64 + 1;
    // With room for all, and with so little that the oldest have to go.
    for most in [MOST, 4 * line] {
        let points = {
            let ledger = Ledger::new();
            (1..=3).for_each(|number| ledger.add_bounded(number, most).unwrap());
            let (done, points) = run_with(None, None, || ledger.add_bounded(4, most));
            done.unwrap();
            points
        };
        assert!(points.len() > 3, "{points:?}");
        for (at, point) in points.iter().enumerate() {
            let fails = ERRNOS.map(|errno| Fault::FailNth(at, errno));
            let cuts = [Fault::CutBeforeNth(at), Fault::CutAfterNth(at)];
            for fault in fails.into_iter().chain(cuts) {
                let ledger = Ledger::new();
                (1..=3).for_each(|number| ledger.add_bounded(number, most).unwrap());
                let before = ledger.numbers();
                let (done, _) = run_with(Some(fault), None, || ledger.add_bounded(4, most));
                let what = format!("{most} {fault:?} at {point} {done:?}");
                let found = ledger.numbers();
                let is_added = found.last() == Some(&4);
                assert!(is_added || done.is_err(), "{what}: {found:?}");
                if !is_added {
                    assert_eq!(found, before, "{what}");
                }
                ledger.add_bounded(5, most).unwrap();
                assert_eq!(ledger.numbers().last(), Some(&5), "{what}");
            }
        }
    }
}

#[test]
fn two_writers_lose_nothing() {
    let ledger = Ledger::new();
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let ledger = &ledger;
            scope.spawn(move || {
                let host = HostRoot::open(ledger.dir.path()).unwrap();
                for number in 0..30 {
                    let line = audit_of_nginx(100 * writer + number).to_line().unwrap();
                    append(&host, &ledger.storage, &line, MOST, Durability::Soon).unwrap();
                }
            });
        }
    });
    let numbers = ledger.numbers();
    for writer in 0..2 {
        let own = numbers.iter().filter(|number| **number / 100 == writer);
        let own: Vec<u64> = own.map(|number| number % 100).collect();
        assert_eq!(own, (0..30).collect::<Vec<_>>());
    }
}

#[test]
fn the_oldest_go_as_a_whole_and_the_bound_holds() {
    let ledger = Ledger::new();
    let most = 10_000;
    for number in 0..100 {
        ledger.add_bounded(number, most).unwrap();
        let size = std::fs::metadata(ledger.file()).unwrap().len();
        assert!(size <= most, "{size} after {number}");
        let numbers = ledger.numbers();
        let first = number + 1 - numbers.len() as u64;
        assert_eq!(numbers, (first..=number).collect::<Vec<_>>());
        assert!(number < 5 || numbers.len() >= 5, "{numbers:?}");
    }
    let why = ledger.add_bounded(100, 100).unwrap_err().to_string();
    assert!(why.contains("at most 100 stay") && why.contains("max_record_bytes"), "{why}");
    // Who was cut off while the file was replaced leaves a copy beside it, which goes with the next one.
    let unfinished = ledger.file().with_file_name(format!(".{NAME}.tmp-7"));
    std::fs::write(&unfinished, "half").unwrap();
    // A bound that was lowered holds from the next record on.
    ledger.add_bounded(100, 2000).unwrap();
    assert!(std::fs::metadata(ledger.file()).unwrap().len() <= 2000);
    assert_eq!(ledger.numbers().last(), Some(&100));
    assert!(!unfinished.exists());
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let ledger = Ledger::new();
    ledger.add(1).unwrap();
    let dir = ledger.dir.path().join("persist/.blankroot");
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o777)).unwrap();
    let why = ledger.add(2).unwrap_err().to_string();
    assert!(why.contains("others may write in its directory"), "{why}");
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::remove_file(ledger.file()).unwrap();
    nix::unistd::mkfifo(&ledger.file(), nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(ledger.add(2).unwrap_err().to_string().contains("not a plain file"));
    std::fs::remove_file(ledger.file()).unwrap();
    std::os::unix::fs::symlink("/dev/null", ledger.file()).unwrap();
    assert!(ledger.add(2).is_err());
    let missing =
        append(&ledger.host, &TreePath::parse(b"/none").unwrap(), b"{}", MOST, Durability::Soon);
    let why = missing.unwrap_err().to_string();
    assert!(why.contains("the storage is not there") && why.contains("findmnt"), "{why}");
    assert!(!Path::new("/none").exists());
}
