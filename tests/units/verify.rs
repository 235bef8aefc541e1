//! The unit that fails where the rollback of a boot did not run.

use crate::root::Root;
use crate::systemd::Systemd;

const NAME: &str = "blankroot-verify.service";

#[test]
fn the_check_of_a_boot_runs_once_where_there_is_a_configuration() {
    let root = Root::with_installed(&[NAME]);
    let Some(systemd) = Systemd::with(root.units()) else { return };
    assert_eq!(systemd.complaints(&["blankroot"]), [""; 0]);
    let read = systemd.read();
    assert_eq!(read[NAME].conditions("ConditionPathExists"), ["/etc/blankroot.toml"]);
    assert_eq!(
        (read[NAME].of("Type"), read[NAME].of("RemainAfterExit")),
        (vec!["oneshot"], vec!["yes"])
    );
}
