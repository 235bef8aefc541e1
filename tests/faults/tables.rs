//! Every change that `apply` makes in each scenario, in order.

use crate::scenario::Scenario;

const DIR: &[&str] = &["apply: make directory", "apply: set mode", "apply: name"];
const OWN_DIR: &[&str] =
    &["apply: make directory", "apply: set owner", "apply: set mode", "apply: name"];
/// The same two in a directory of hers, who could swap them before they are open.
const OWN_DIR_OF_HERS: &[&str] = &[
    "copy: make private directory",
    "xattr: mark private directory",
    "apply: make directory",
    "apply: set owner",
    "apply: set mode",
    "copy: remove private directory",
    "apply: name",
];
/// With mode 0700, which it is made with.
const PRIVATE_DIR_OF_HERS: &[&str] = &[
    "copy: make private directory",
    "xattr: mark private directory",
    "apply: make directory",
    "apply: set owner",
    "copy: remove private directory",
    "apply: name",
];
const LIKE_LIVE: &[&str] = &[
    "apply: make directory",
    "apply: set owner",
    "flags: set",
    "xattr: set",
    "apply: set mode",
    "apply: name",
];
const FILE: &[&str] = &["apply: make file", "apply: set mode", "apply: name"];
const LINK: &[&str] = &["apply: make link"];
const OWNER: &[&str] = &["apply: set owner"];
const OWNER_AND_MODE: &[&str] = &["apply: set owner", "apply: set mode"];
/// What was there is in storage, or empty, and goes.
const INSTEAD: &[&str] = &["apply: name beside", "apply: exchange", "apply: remove what is spare"];
const MOUNT: &[&str] = &["apply: mount"];
const LIMITED_MOUNT: &[&str] = &["apply: set the new mount's options", "apply: mount"];

const PRIVATE: &[&str] = &["copy: make private directory", "xattr: mark private directory"];
const COPY_DIR: &[&str] = &["copy: make directory"];
const COPY_FILE: &[&str] = &["copy: make file"];
const CLONE: &[&str] = &["copy: clone"];
/// A clone is refused between file systems, and so is the kernel's own copying.
const TO_ANOTHER: &[&str] =
    &["copy: clone", "copy: set length", "copy: data", "copy: data by hand"];
const COPY_OWN: &[&str] = &["copy: set owner", "xattr: set"];
const COPY_MODE: &[&str] = &["copy: set mode", "copy: set times"];
const COPY_LINK: &[&str] = &["copy: make link", "copy: set times"];
const COPY_NODE: &[&str] = &["copy: make node", "copy: set mode", "copy: set times"];
const COPY_SECOND_NAME: &[&str] = &["copy: link"];
const SYNC: &[&str] = &["copy: sync"];
/// What storage had gets another name.
const BESIDE: &[&str] = &["apply: name beside", "apply: exchange", "apply: sync directory"];
const COPY_NAME: &[&str] = &["copy: name", "copy: sync name"];
const DONE: &[&str] = &["copy: remove private directory"];

/// What a run passes; the storage is on live's own file system or on another one.
pub fn table(scenario: Scenario, own: bool) -> Vec<&'static str> {
    let first = [DIR, MOUNT].concat();
    let last = [DIR, DIR, DIR, MOUNT].concat();
    let data = if own { CLONE } else { TO_ANOTHER };
    let tree = [
        [PRIVATE, COPY_DIR, COPY_DIR, COPY_FILE, data, COPY_OWN].concat(),
        [COPY_MODE, COPY_MODE, COPY_LINK, COPY_NODE, COPY_SECOND_NAME, COPY_MODE, SYNC].concat(),
    ]
    .concat();
    let between = match scenario {
        Scenario::Fresh => return fresh(),
        Scenario::Seed => [&tree, COPY_NAME, DONE, OWNER, MOUNT].concat(),
        Scenario::Enforced => {
            let dir = [OWNER_AND_MODE, DIR, MOUNT].concat();
            [dir, [OWNER_AND_MODE, FILE, MOUNT].concat()].concat()
        }
        Scenario::AdoptDir => [&tree, BESIDE, DONE, LIMITED_MOUNT].concat(),
        Scenario::AdoptFile => {
            // More than two pieces.
            let more = if own { [].as_slice() } else { &["copy: data by hand"; 2] };
            [PRIVATE, COPY_FILE, data, more, COPY_MODE, SYNC, BESIDE, DONE, MOUNT].concat()
        }
        Scenario::ReplacedLink => {
            [PRIVATE, COPY_FILE, data, COPY_MODE, SYNC, BESIDE, DONE, LINK, INSTEAD].concat()
        }
        Scenario::Options => return options(),
        Scenario::LinkToBind => {
            let made = ["apply: set mode", "apply: make directory", "apply: set mode"];
            [made, ["apply: exchange", "apply: mount", "apply: unlink"]].concat()
        }
        Scenario::PlaceToLink => [LINK, INSTEAD].concat(),
        Scenario::LikeLive => [LIKE_LIVE, MOUNT].concat(),
    };
    [first, between, last].concat()
}

fn fresh() -> Vec<&'static str> {
    // Each with its parents in storage, then its place in live; by depth and path.
    [
        [DIR, LINK].concat(),
        [DIR, OWN_DIR, OWN_DIR, MOUNT].concat(),
        // The home's parent, the home as it is in live, and what lies in it.
        [DIR, OWN_DIR, PRIVATE_DIR_OF_HERS, OWN_DIR_OF_HERS].concat(),
        [PRIVATE_DIR_OF_HERS, OWN_DIR_OF_HERS, MOUNT].concat(),
        [DIR, DIR, DIR, FILE, DIR, FILE, MOUNT].concat(),
    ]
    .concat()
}

/// All mounts are there; what changes is what one of them allows, and what is told of it.
fn options() -> Vec<&'static str> {
    let dir = ["host: make directory", "host: set the directory's mode"];
    [
        &["apply: set mount options"],
        dir.as_slice(),
        &dir,
        &["apply: open the lock of utab"],
        &["file: create", "file: write", "file: sync", "file: rename", "file: sync directory"],
    ]
    .concat()
}
