//! Soft reboots (systemd-soft-reboot.service(8)): all of userspace starts again, without the initrd.

use std::path::Path;

use backends::process::Program;

const SYSTEMCTL: Program = Program::new("systemctl", "systemd");

/// How many there were in this boot, as systemd counts them (`SoftRebootsCount`, from version 256 on).
///
/// `None` where systemd does not run or does not tell, and for another machine's root.
pub fn count(root: &Path) -> Option<u32> {
    if root != Path::new("/") || !Path::new("/run/systemd/system").exists() {
        return None;
    }
    parse(&SYSTEMCTL.run(["show", "--property=SoftRebootsCount", "--value"]).ok()?)
}

fn parse(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_count_and_silence_is_not_known() {
        assert_eq!(parse(b"2\n"), Some(2));
        for silence in [&b""[..], b"\n", b"[not set]\n", b"\xff"] {
            assert_eq!(parse(silence), None);
        }
    }
}
