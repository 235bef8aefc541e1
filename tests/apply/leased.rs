//! Whoever owns a file can have a lease on it, so that nobody else opens it at once (fcntl(2)): that stops
//! no comparison of a tree with it.

use std::fs;
use std::fs::File;
use std::os::fd::AsFd;

use dirfd::compare_trees::compare_by_walk;
use support::kernel::lease_for_writing;

#[test]
fn a_file_with_a_lease_counts_as_changed_and_the_others_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    for tree in ["older", "newer"] {
        fs::create_dir(dir.path().join(tree)).unwrap();
        for file in ["another", "leased"] {
            fs::write(dir.path().join(tree).join(file), format!("in {tree}")).unwrap();
        }
    }
    let file = File::options().write(true).open(dir.path().join("newer/leased")).unwrap();
    lease_for_writing(&file).unwrap();
    let open = |tree: &str| File::open(dir.path().join(tree)).unwrap();
    let changes = compare_by_walk(open("older").as_fd(), open("newer").as_fd(), &|_| {}).unwrap();
    let paths: Vec<String> = changes.iter().map(|row| row.path.to_string()).collect();
    assert_eq!(paths, ["/another", "/leased"]);
}
