//! The promises of every backend, and what only plain directories have to keep.

use std::fs;
use std::path::Path;

use super::Directory;
use crate::conformance::{Testbed, conformance_tests};
use crate::{Backend, Layout, Origin, Slot, TreeName};

struct Plain {
    dir: tempfile::TempDir,
}

impl Plain {
    fn make() -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("with space\n").tempdir().unwrap();
        fs::create_dir_all(dir.path().join("@/li ve")).unwrap();
        Some(Self { dir })
    }
}

impl Testbed for Plain {
    fn backend(&self) -> Box<dyn Backend> {
        Box::new(Directory::open(self.dir.path(), self.layout()).unwrap())
    }

    fn layout(&self) -> Layout {
        let name = |name: &[u8]| TreeName::new(name).unwrap();
        Layout { live: name(b"@/li ve"), blank: name(b"@/blank\xff"), old: name(b"old roots") }
    }

    fn top(&self) -> &Path {
        self.dir.path()
    }
}

conformance_tests!(Plain::make);

#[test]
fn what_is_no_directory_is_no_tree() {
    let testbed = Plain::make().unwrap();
    let (live, blank) = (testbed.layout().live, testbed.layout().blank);
    fs::remove_dir(testbed.path(&live)).unwrap();
    std::os::unix::fs::symlink("..", testbed.path(&live)).unwrap();
    fs::write(testbed.path(&blank), "").unwrap();
    let survey = testbed.backend().survey().unwrap();
    for slot in [survey.live, survey.blank] {
        assert!(matches!(&slot, Slot::NotATree(why) if !why.is_empty()), "{slot:?}");
    }
}

#[test]
fn a_failed_capture_leaves_nothing_behind() {
    let testbed = Plain::make().unwrap();
    fs::remove_dir(testbed.path(&testbed.layout().live)).unwrap();
    assert!(testbed.backend().lock().unwrap().capture(Origin::Live).is_err());
    assert_eq!(fs::read_dir(testbed.top().join("@")).unwrap().count(), 0);
}
