//! The fast ring: what a guest that is nothing but a kernel, an initrd of ours and a script can show.

use std::path::Path;

use vm_tests::cache::artefact;
use vm_tests::disk_copy::copy_disk;
use vm_tests::minimal::Minimal;
use vm_tests::programs;
use vm_tests::qemu::Disk;
use vm_tests::stories::{self, SUITE};

/// Makes a disk with many files.
const MANY_FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/many-files");
/// Measures in the guest.
const ROLLBACK_TIMES: &str = env!("CARGO_BIN_EXE_rollback-times");
const ROUNDS: u32 = 9;
/// What a script says between two measurements.
const NEXT: &str = "times: next";

/// Milliseconds of a rollback, of the calls that it needs and of the start of a process, for each of these
/// numbers of files in the root; in one guest, with a disk for each.
fn times<const N: usize>(command: &Path, counts: [u32; N]) -> [[f64; 3]; N] {
    let text = std::fs::read(MANY_FILES).unwrap();
    let disks = counts.map(|files| {
        let made = artefact(&format!("files-{files}"), &[&text], |dir| {
            let count = files.to_string();
            let options = ["--mount", "--", MANY_FILES].map(Path::new);
            programs::run("unshare", options.into_iter().chain([dir, Path::new(&count)]));
        });
        let disk = tempfile::NamedTempFile::new().unwrap();
        copy_disk(&made.join("disk.raw"), disk.path());
        disk
    });
    let guest = Minimal::of(SUITE).with(command).with(Path::new(ROLLBACK_TIMES));
    let measure =
        |letter| format!("rollback-times /bin/blankroot /dev/vd{letter} {ROUNDS}\necho '{NEXT}'\n");
    let script: String = ('a'..).take(N).map(measure).collect();
    let said = guest.run(&script, disks.iter().map(|disk| Disk::Raw(disk.path().into())).collect());
    let told: Vec<&str> = said.split(NEXT).collect();
    std::array::from_fn(|which| {
        let words: Vec<&str> = told[which].split_whitespace().collect();
        match words.as_slice() {
            [.., "rollback", ours, "needed", needed, "start", start] => {
                [ours, needed, start].map(|time| time.parse::<f64>().unwrap() / 1000.0)
            }
            _ => panic!("{said}"),
        }
    })
}

mod ci {
    use super::*;

    #[test]
    fn the_command_runs_in_an_initrd_that_has_nothing_else() {
        let Some(command) = stories::command() else { return };
        let guest = Minimal::of(SUITE).with(&command);
        let said = guest.run("blankroot --version; uname -r; mount", Vec::new());
        let version = format!("blankroot {}", env!("CARGO_PKG_VERSION"));
        assert!(said.contains(&version), "{said}");
        assert!(Path::new(&command).is_file());
    }
}

/// A time is told, not asserted: the machine that runs this may have anything else to do.
#[test]
fn the_time_of_a_rollback_is_told() {
    let Some(command) = stories::command() else { return };
    let counts = [1_000, 200_000];
    for (files, [ours, needed, start]) in counts.into_iter().zip(times(&command, counts)) {
        println!(
            "rollback of {files} files in a guest: {ours:.1} ms, {start:.1} of them the start of a \
             process; the calls that it needs: {needed:.1} ms; {:.2} times those",
            ours / needed
        );
    }
}
