use super::*;
use crate::evidence::digest::DigestHeader;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A host whose storage is there, with the configuration that declares it.
fn host() -> (tempfile::TempDir, HostRoot, Config) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("persist")).unwrap();
    let text = "[root]\nbackend = \"tmpfs\"\n[[storage]]\npath = \"/none\"\nenable = false\n\
                [[storage]]\npath = \"/persist\"\n";
    let config = Config::parse(Path::new("/etc/blankroot.toml"), text.as_bytes()).unwrap();
    let host = HostRoot::open(dir.path()).unwrap();
    (dir, host, config)
}

fn digest(boot: &str, blank: TreeId, cut: Option<&str>) -> Vec<u8> {
    let header = DigestHeader {
        tree: tree_of_boot(boot),
        blank,
        boots: Vec::new(),
        open: Vec::new(),
        cut: cut.map(str::to_string),
        paths: 0,
    };
    Digest::new(header, &dirfd::Changes::default(), []).unwrap().encode().unwrap()
}

fn store_boot(host: &HostRoot, config: &Config, boot: &str) {
    let storage = storage_of_own_directory(config).unwrap();
    store(host, storage, boot, &digest(boot, empty_tree(), None)).unwrap();
}

fn stored(host: &HostRoot, config: &Config, boot: Option<&str>, most: usize) -> Vec<String> {
    let mut trees = Vec::new();
    read_stored(config, host, boot, &AskedRoots::last(most), |_, digest| {
        trees.push(digest.header().tree.to_string());
    })
    .unwrap();
    trees
}

fn files(dir: &tempfile::TempDir) -> Vec<String> {
    let names = fs::read_dir(dir.path().join("persist/.blankroot")).unwrap();
    let mut names: Vec<String> =
        names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn boots_are_told_from_the_last_on_without_this_one() {
    let (dir, host, config) = host();
    assert_eq!(stored(&host, &config, None, 5), [""; 0]);
    for boot in ["aaaa", "bbbb", "cccc"] {
        store_boot(&host, &config, boot);
    }
    // Who runs it again in one boot replaces what is there.
    store_boot(&host, &config, "cccc");
    assert_eq!(files(&dir), ["000001-aaaa.digest", "000002-bbbb.digest", "000003-cccc.digest"]);
    assert_eq!(stored(&host, &config, Some("cccc"), 5), ["boot bbbb", "boot aaaa"]);
    assert_eq!(stored(&host, &config, None, 2), ["boot cccc", "boot bbbb"]);
    let mode = fs::metadata(dir.path().join("persist/.blankroot")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn the_oldest_are_forgotten_and_what_was_cut_off_goes() {
    let (dir, host, config) = host();
    store_boot(&host, &config, "first");
    let unfinished = dir.path().join("persist/.blankroot");
    let name = OsString::from("000002-second.digest");
    fs::write(unfinished.join(atomic_file::temporary_name(&name, 0)), "half").unwrap();
    for number in 0..BOOTS + 3 {
        store_boot(&host, &config, &format!("b{number}"));
    }
    let files = files(&dir);
    assert_eq!(files.len(), BOOTS, "{files:?}");
    assert_eq!(files.first().unwrap(), "000005-b3.digest");
}

#[test]
fn what_others_are_writing_beside_the_digests_stays() {
    let (dir, host, config) = host();
    store_boot(&host, &config, "first");
    // An audit puts its records into the same directory, at the same moment of a shutdown.
    let name = atomic_file::temporary_name(&OsString::from("records.jsonl"), 0);
    let writing = dir.path().join("persist/.blankroot").join(name);
    fs::write(&writing, "half").unwrap();
    store_boot(&host, &config, "second");
    assert!(writing.exists());
}

#[test]
fn what_is_damaged_cut_or_of_another_blank_is_not_believed() {
    let (dir, host, config) = host();
    for boot in ["a", "b", "c", "d"] {
        store_boot(&host, &config, boot);
    }
    let own = dir.path().join("persist/.blankroot");
    fs::write(own.join("000001-a.digest"), "damaged").unwrap();
    fs::write(own.join("000002-b.digest"), digest("b", TreeId::new("other"), None)).unwrap();
    fs::write(own.join("000003-c.digest"), digest("c", empty_tree(), Some("late"))).unwrap();
    assert_eq!(stored(&host, &config, None, 5), ["boot d"]);
}

#[test]
fn a_directory_that_others_may_write_in_is_refused() {
    let (dir, host, config) = host();
    let own = dir.path().join("persist/.blankroot");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
    let storage = storage_of_own_directory(&config).unwrap();
    let why = store(&host, storage, "a", b"x").unwrap_err().to_string();
    assert!(why.contains("others may write in its directory .blankroot"), "{why}");
    let why =
        read_stored(&config, &host, None, &AskedRoots::last(5), |_, _| ()).unwrap_err().to_string();
    assert!(why.starts_with("cannot read the digests in /persist"), "{why}");
    fs::remove_dir(&own).unwrap();
    std::os::unix::fs::symlink("/tmp", &own).unwrap();
    assert!(store(&host, storage, "a", b"x").is_err());
    assert!(read_stored(&config, &host, None, &AskedRoots::last(5), |_, _| ()).is_err());
}

#[test]
fn a_storage_that_is_not_there_is_named() {
    let (dir, host, config) = host();
    fs::remove_dir(dir.path().join("persist")).unwrap();
    let why = store(&host, storage_of_own_directory(&config).unwrap(), "a", b"x").unwrap_err();
    assert!(why.to_string().contains("the storage is not there"), "{why}");
    assert_eq!(stored(&host, &config, None, 5), [""; 0]);
}
