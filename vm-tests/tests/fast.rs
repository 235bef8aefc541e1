//! The fast ring: what a guest that is nothing but a kernel, an initrd of ours and a script can show.

use std::path::Path;

use vm_tests::cache::artefact;
use vm_tests::minimal::Minimal;
use vm_tests::programs;
use vm_tests::qemu::Disk;
use vm_tests::stories::{self, SUITE};

/// Makes a disk with many files.
const MANY_FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/many-files");
/// Measures in the guest.
const ROLLBACK_TIMES: &str = env!("CARGO_BIN_EXE_rollback-times");
const ROUNDS: u32 = 9;

/// Milliseconds of a rollback, of the calls that it needs and of the start of a process, with so many
/// files in the root.
fn times(command: &Path, files: u32) -> [f64; 3] {
    let text = std::fs::read(MANY_FILES).unwrap();
    let made = artefact(&format!("files-{files}"), &[&text], |dir| {
        let count = files.to_string();
        let options = ["--mount", "--", MANY_FILES].map(Path::new);
        programs::run("unshare", options.into_iter().chain([dir, Path::new(&count)]));
    });
    let disk = tempfile::NamedTempFile::new().unwrap();
    programs::run("cp", [Path::new("--sparse=always"), &made.join("disk.raw"), disk.path()]);
    let guest = Minimal::of(SUITE).with(command).with(Path::new(ROLLBACK_TIMES));
    let script = format!("rollback-times /bin/blankroot /dev/vda {ROUNDS}");
    let said = guest.run(&script, vec![Disk::Raw(disk.path().to_path_buf())]);
    let words: Vec<&str> = said.split_whitespace().collect();
    match words.as_slice() {
        [.., "rollback", ours, "needed", needed, "start", start] => {
            [ours, needed, start].map(|time| time.parse::<f64>().unwrap() / 1000.0)
        }
        _ => panic!("{said}"),
    }
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

    /// A time is told, not asserted: the machine that runs this may have anything else to do.
    #[test]
    fn the_time_of_a_rollback_is_told() {
        let Some(command) = stories::command() else { return };
        for files in [1_000, 200_000] {
            let [ours, needed, start] = times(&command, files);
            println!(
                "rollback of {files} files in a guest: {ours:.1} ms, {start:.1} of them the start of a \
                 process; the calls that it needs: {needed:.1} ms; {:.2} times those",
                ours / needed
            );
        }
    }
}
