use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

/// A host as a directory tree; devices are plain files there.
struct HostTree {
    dir: tempfile::TempDir,
}

const SWAP: &[u8] = b"SWAPSPACE2";
const IMAGE: &[u8] = b"S1SUSPEND\0";

impl HostTree {
    fn new() -> Self {
        let tree = Self { dir: tempfile::tempdir().unwrap() };
        tree.make("sys/class/block/README", b"");
        tree
    }

    fn make(&self, path: &str, content: &[u8]) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A device with a swap area that starts at the page `offset`.
    fn device(&self, name: &str, signature: &[u8], offset: usize) {
        let mut content = vec![0; (offset + 2) * 4096];
        let at = (offset + 1) * 4096 - 10;
        content[at..at + 10].copy_from_slice(signature);
        self.make(&format!("dev/{name}"), &content);
    }

    fn link(&self, link: &str, target: &str) {
        let link = self.dir.path().join(link);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, link).unwrap();
    }

    fn probe(&self, line: &str) -> String {
        let host = HostRoot::open(self.dir.path()).unwrap();
        probe_resume(&host, &CommandLine::parse(line.as_bytes()), 4096).to_string()
    }
}

const NONE: &str = "no hibernation image is waiting";

#[test]
fn a_plain_swap_device_is_no_image() {
    let tree = HostTree::new();
    tree.device("sda2", SWAP, 0);
    tree.make("sys/class/block/sda2/size", b"16\n");
    tree.make("sys/power/resume", b"0:0\n");
    assert_eq!(tree.probe("resume=/dev/sda2"), NONE);
    assert_eq!(tree.probe("quiet"), NONE);
}

#[test]
fn an_image_is_found_by_every_kind_of_name() {
    let tree = HostTree::new();
    tree.device("sda2", IMAGE, 0);
    tree.link("dev/disk/by-uuid/12ab", "../../sda2");
    tree.link("dev/disk/by-label/my\\x20swap", "../../sda2");
    tree.link("dev/disk/by-partuuid/34cd", "../../sda2");
    tree.link("dev/disk/by-partlabel/swap", "../../sda2");
    tree.make("sys/dev/block/8:2/uevent", b"MAJOR=8\nDEVNAME=sda2\nDEVTYPE=partition\n");
    for name in [
        "/dev/sda2",
        "UUID=12ab",
        "UUID=12AB",
        "\"LABEL=my swap\"",
        "PARTUUID=34cd",
        "PARTLABEL=swap",
        "8:2",
    ] {
        let shown = name.trim_matches('"');
        let expected =
            format!("a hibernation image is waiting: in the swap area of resume={shown}");
        assert_eq!(tree.probe(&format!("resume={name}")), expected);
        assert_eq!(tree.probe(&format!("resume={name} noresume")), NONE);
    }
}

#[test]
fn an_image_in_a_swap_file_is_found_by_its_offset() {
    let tree = HostTree::new();
    tree.device("sda1", IMAGE, 3);
    let found = "a hibernation image is waiting: in the swap area of resume=/dev/sda1";
    assert_eq!(tree.probe("resume=/dev/sda1 resume_offset=3"), found);
    assert_eq!(tree.probe("resume=/dev/sda1 resume_offset=2"), NONE);
    assert_eq!(tree.probe("resume=/dev/sda1"), NONE);
    tree.make("sys/power/resume", b"8:1\n");
    tree.make("sys/power/resume_offset", b"3\n");
    tree.make("sys/dev/block/8:1/uevent", b"DEVNAME=sda1\n");
    assert_eq!(
        tree.probe("quiet"),
        "a hibernation image is waiting: in the swap area of the device in sys/power/resume"
    );
}

#[test]
fn a_place_that_cannot_be_looked_at_is_not_taken_for_empty() {
    let tree = HostTree::new();
    let may = "a hibernation image may be waiting: cannot look at";
    let gone = "No such file or directory";
    for (line, what) in [
        ("resume=UUID=12ab", format!("{may} resume=UUID=12ab: {gone}")),
        ("resume=/dev/mapper/swap", format!("{may} resume=/dev/mapper/swap: {gone}")),
        ("resume=8:2", format!("{may} resume=8:2: {gone}")),
        (
            "resume=sda2",
            format!("{may} resume=sda2: it is no form of device name that is known here"),
        ),
        (
            "resume=/dev/sda2 resume_offset=x",
            format!("{may} resume=/dev/sda2: `resume_offset=` is no number"),
        ),
        (
            "resume=/dev/sda2 resume_offset=18446744073709551615",
            format!("{may} resume=/dev/sda2: its offset is too large"),
        ),
    ] {
        assert_eq!(tree.probe(line), what);
    }
    tree.make("sys/power/resume", b"8:2\n");
    assert_eq!(tree.probe(""), format!("{may} the device in sys/power/resume: {gone}"));
    let bare = HostTree { dir: tempfile::tempdir().unwrap() };
    assert_eq!(bare.probe(""), format!("{may} the list of block devices: {gone}"));
}

#[test]
fn an_image_on_any_block_device_outweighs_what_cannot_be_told() {
    let tree = HostTree::new();
    tree.make("sys/class/block/sr0/size", b"2097151\n");
    tree.make("sys/class/block/cciss!c0d0p2/size", b"16\n");
    tree.device("cciss/c0d0p2", IMAGE, 0);
    let found = "a hibernation image is waiting: in the swap area of dev/cciss/c0d0p2";
    assert_eq!(tree.probe("resume=UUID=gone"), found);
    assert_eq!(tree.probe("noresume"), NONE);
}

#[test]
fn an_empty_or_unreadable_drive_is_passed_over() {
    let tree = HostTree::new();
    tree.make("sys/class/block/sr0/size", b"0\n");
    tree.device("sr0", IMAGE, 0);
    tree.make("sys/class/block/sdz/size", b"16\n");
    assert_eq!(tree.probe(""), NONE);
}

#[test]
fn what_systemd_left_in_the_firmware_counts() {
    let tree = HostTree::new();
    tree.make(EFI_VARIABLE, b"{}");
    assert_eq!(
        tree.probe(""),
        "a hibernation image is waiting: the EFI variable HibernateLocation is set"
    );
    assert_eq!(tree.probe("noresume"), NONE);
}

#[test]
fn labels_are_spelled_as_udev_does() {
    assert_eq!(encode_tag(b"swap-1_a"), "swap-1_a");
    assert_eq!(encode_tag("a b/ü\\".as_bytes()), "a\\x20b\\x2fü\\x5c");
    assert_eq!(encode_tag(b"\xff"), "\\xff");
}

#[test]
fn a_slash_in_a_kernel_name_is_an_exclamation_mark() {
    assert_eq!(device_path(b"cciss!c0d0p1"), Path::new("dev/cciss/c0d0p1"));
    assert_eq!(device_path(b"!sda"), Path::new("dev/sda"));
}

fn page(size: usize, end: &[u8]) -> Vec<u8> {
    let mut page = vec![0; size];
    page[size - LENGTH..][..end.len()].copy_from_slice(end);
    page
}

#[test]
fn an_image_is_told_from_swap() {
    for size in [4096, 16384, 65536] {
        for image in AT_THE_END.into_iter().chain([TUX_ON_ICE]) {
            assert!(is_image(&page(size, image)));
        }
        for other in [&b"SWAPSPACE2"[..], b"SWAP-SPACE", b"", b"LINHIB0002"] {
            assert!(!is_image(&page(size, other)));
        }
    }
    let mut ice = page(4096, b"SWAPSPACE2");
    ice[..TUX_ON_ICE.len()].copy_from_slice(TUX_ON_ICE);
    assert!(is_image(&ice));
    assert!(!is_image(b"S1SUSPEN"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_fail(bytes: Vec<u8>) {
        let _ = is_image(&bytes);
    }
}
