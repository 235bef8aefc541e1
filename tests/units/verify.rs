//! The unit that fails where the rollback of a boot did not run.

use std::fs;

use crate::root::{Root, WIKI};
use crate::systemd::Systemd;

const NAME: &str = "blankroot-verify.service";

#[test]
fn the_check_of_a_boot_runs_once_where_there_is_a_configuration() {
    let root = Root::with(WIKI);
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/boot/systemd/blankroot-verify.service");
    let unit = fs::read_to_string(unit).unwrap();
    let unit = unit.replace("/usr/bin/blankroot", env!("CARGO_BIN_EXE_blankroot"));
    fs::write(root.units().join(NAME), unit).unwrap();
    let Some(systemd) = Systemd::with(root.units()) else { return };
    assert_eq!(systemd.complaints(&["blankroot"]), [""; 0]);
    let read = systemd.read();
    assert_eq!(read[NAME].conditions("ConditionPathExists"), ["/etc/blankroot.toml"]);
    assert_eq!(
        (read[NAME].of("Type"), read[NAME].of("RemainAfterExit")),
        (vec!["oneshot"], vec!["yes"])
    );
}
