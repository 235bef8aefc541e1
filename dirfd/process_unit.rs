//! The systemd unit that a process belongs to, told from its control group; pure in its input.

use std::fmt;

use crate::path::{Escaped, shell_word};

/// A unit of the system, or of a user's own manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name, `nginx.service`.
    pub name: Vec<u8>,
    /// The user's number, where it is the user's own manager that runs it.
    pub of_user: Option<Vec<u8>>,
}

impl Unit {
    /// The command that stops it; `None` for what nobody should stop.
    pub fn how_to_stop(&self) -> Option<String> {
        use std::os::unix::ffi::OsStrExt;
        if self.name == b"init.scope" {
            return None;
        }
        let name = shell_word(std::ffi::OsStr::from_bytes(&self.name));
        Some(match &self.of_user {
            None => format!("systemctl stop {name}"),
            Some(user) => format!("systemctl --user --machine {}@ stop {name}", Escaped(user)),
        })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.name))?;
        match &self.of_user {
            Some(user) => write!(f, " of the user {}", Escaped(user)),
            None => Ok(()),
        }
    }
}

/// The unit that `/proc/PID/cgroup` (cgroups(7)) tells of; `None` where systemd did not start it.
///
/// A unit's group lies below those of its slices. What lies below the unit is its own affair, but
/// for a user's manager, which has units of its own there.
pub fn unit_of_cgroup(cgroup: &[u8]) -> Option<Unit> {
    let mut parts =
        cgroup_path(cgroup)?.split(|&b| b == b'/').map(unescape_part).filter(|p| !p.is_empty());
    let system = parts.by_ref().find(|part| !is_slice(part)).filter(|part| is_unit(part))?;
    let user = system.strip_prefix(b"user@").and_then(|rest| rest.strip_suffix(b".service"));
    let own = user.and_then(|_| parts.find(|part| !is_slice(part))).filter(|part| is_unit(part));
    Some(match (own, user) {
        (Some(own), Some(user)) => Unit { name: own.to_vec(), of_user: Some(user.to_vec()) },
        _ => Unit { name: system.to_vec(), of_user: None },
    })
}

/// The group in the hierarchy that systemd keeps: the unified one, else its own.
fn cgroup_path(cgroup: &[u8]) -> Option<&[u8]> {
    let lines = || cgroup.split(|&b| b == b'\n');
    let own = lines().find_map(|line| {
        let colon = line.iter().position(|&b| b == b':')?;
        line[colon + 1..].strip_prefix(b"name=systemd:")
    });
    // Where there are both, processes are in the second one only if systemd uses it.
    let unified = lines().find_map(|line| line.strip_prefix(b"0::"));
    match (own, unified) {
        (Some(own), Some(b"/")) => Some(own),
        (own, unified) => unified.or(own),
    }
}

/// Names that a kernel file could have are escaped by a `_` (`cg_escape` in systemd).
fn unescape_part(part: &[u8]) -> &[u8] {
    part.strip_prefix(b"_").unwrap_or(part)
}

fn is_slice(part: &[u8]) -> bool {
    part.ends_with(b".slice")
}

fn is_unit(part: &[u8]) -> bool {
    let ends: [&[u8]; 5] = [b".service", b".scope", b".socket", b".mount", b".swap"];
    ends.iter().any(|end| part.len() > end.len() && part.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_told_whatever_lies_around_it() {
        for (cgroup, shown) in [
            ("0::/system.slice/nginx.service\n", Some("nginx.service")),
            ("0::/system.slice/system-getty.slice/getty@tty1.service", Some("getty@tty1.service")),
            ("0::/system.slice/docker.service/a/b.service", Some("docker.service")),
            ("0::/user.slice/user-1000.slice/session-3.scope", Some("session-3.scope")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-fox.scope",
                Some("app-fox.scope of the user 1000"),
            ),
            (
                "0::/user.slice/user-0.slice/user@0.service/init.scope",
                Some("init.scope of the user 0"),
            ),
            ("0::/user.slice/user-0.slice/user@0.service", Some("user@0.service")),
            ("9:name=systemd:/system.slice/a.service\n2:cpu:/x\n", Some("a.service")),
            ("9:name=systemd:/system.slice/a.service\n0::/\n", Some("a.service")),
            ("0::/_weird.service", Some("weird.service")),
            ("0::/a\x1b.service", Some("a\\u{1b}.service")),
            ("0::/init.scope", Some("init.scope")),
            ("0::/lxc/foo/system.slice/x.service", None),
            ("0::/", None),
            ("0::/.service", None),
            ("", None),
        ] {
            let unit = unit_of_cgroup(cgroup.as_bytes()).map(|unit| unit.to_string());
            assert_eq!(unit.as_deref(), shown, "{cgroup:?}");
        }
    }

    #[test]
    fn it_is_said_how_to_stop_it() {
        let how = |cgroup: &[u8]| unit_of_cgroup(cgroup).and_then(|unit| unit.how_to_stop());
        assert_eq!(how(b"0::/system.slice/a b.service").unwrap(), "systemctl stop 'a b.service'");
        assert_eq!(
            how(b"0::/user.slice/user@7.service/x.service").unwrap(),
            "systemctl --user --machine 7@ stop x.service"
        );
        assert_eq!(how(b"0::/init.scope"), None);
    }
}
