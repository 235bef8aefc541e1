//! Paths that a program writes and neither package nor unit names: what its manual says of them. Pure.
//!
//! This is for the few of which nothing in the tree itself tells.

/// Who writes a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A unit.
    Unit(&'static str),
    /// A package.
    Package(&'static str),
}

use Writer::{Package, Unit};

/// A path with everything below it, or, with a `*` at its end, all paths that begin so; and who may write it. The
/// first one that the tree has is meant: distributions name packages differently.
type KnownPath = (&'static str, &'static [Writer]);

const SHADOW: &[Writer] = &[Package("passwd"), Package("shadow-utils"), Package("shadow")];
const DPKG: &[Writer] = &[Package("dpkg")];
const SYSTEMD: &[Writer] = &[Package("systemd")];
const LIBC: &[Writer] = &[Package("libc-bin"), Package("glibc"), Package("glibc-common")];
const SSH_KEYS: &[Writer] =
    &[Package("openssh-server"), Package("openssh"), Unit("sshd.service"), Unit("ssh.service")];
const SYSLOG: &[Writer] = &[Package("rsyslog"), Package("syslog-ng"), Package("syslog-ng-core")];

const KNOWN: [KnownPath; 42] = [
    // systemd-update-done.service(8)
    ("etc/.updated", &[Unit("systemd-update-done.service")]),
    ("var/.updated", &[Unit("systemd-update-done.service")]),
    // machine-id(5), hostname(5), locale.conf(5), vconsole.conf(5), machine-info(5)
    ("etc/machine-id", SYSTEMD),
    ("etc/hostname", SYSTEMD),
    ("etc/machine-info", SYSTEMD),
    ("etc/locale.conf", SYSTEMD),
    ("etc/vconsole.conf", SYSTEMD),
    // systemd.exec(5): DynamicUser=, PrivateTmp=
    ("var/lib/private", SYSTEMD),
    ("var/cache/private", SYSTEMD),
    ("var/log/private", SYSTEMD),
    ("var/tmp/systemd-private-*", SYSTEMD),
    // systemd-journald.service(8), systemd-random-seed.service(8)
    ("var/log/journal", &[Unit("systemd-journald.service")]),
    ("var/lib/systemd", SYSTEMD),
    ("etc/udev/hwdb.bin", &[Package("udev"), Package("systemd-udev"), Package("systemd")]),
    // passwd(5), shadow(5), lckpwdf(3), subuid(5); a dash is the version before
    ("etc/.pwd.lock", SHADOW),
    ("etc/passwd*", SHADOW),
    ("etc/group*", SHADOW),
    ("etc/shadow*", SHADOW),
    ("etc/gshadow*", SHADOW),
    ("etc/subuid*", SHADOW),
    ("etc/subgid*", SHADOW),
    // ldconfig(8), localedef(1)
    ("etc/ld.so.cache", LIBC),
    ("var/cache/ldconfig", LIBC),
    ("usr/lib/locale/locale-archive", LIBC),
    ("etc/nsswitch.conf", LIBC),
    // add-shell(8)
    ("etc/shells", &[Package("debianutils"), Package("setup"), Package("filesystem")]),
    ("var/lib/shells.state", &[Package("debianutils")]),
    // hwclock(8), tzselect(8)
    ("etc/adjtime", &[Package("util-linux-extra"), Package("util-linux")]),
    ("etc/localtime", &[Package("tzdata")]),
    ("etc/timezone", &[Package("tzdata")]),
    // ssh-keygen(1), option -A
    ("etc/ssh/ssh_host_*", SSH_KEYS),
    // containerd makes it when it starts, and so do the others that run containers by CNI
    ("etc/cni", &[Unit("containerd.service"), Unit("crio.service"), Package("podman")]),
    // dpkg(1), dpkg-db-backup.service, update-alternatives(1)
    ("var/log/dpkg.log*", DPKG),
    ("var/log/alternatives.log*", DPKG),
    ("var/backups/dpkg.*", DPKG),
    ("var/backups/alternatives.tar.*", DPKG),
    ("var/backups/apt.*", &[Package("apt")]),
    ("var/log/pacman.log", &[Package("pacman")]),
    ("var/log/dnf*", &[Package("dnf5"), Package("dnf"), Package("dnf-data")]),
    // rsyslog.conf(5), as distributions ship it
    ("var/log/syslog*", SYSLOG),
    ("var/log/messages*", SYSLOG),
    ("lost+found", &[Package("e2fsprogs")]),
];

/// Who may write a path, the likeliest first; empty where nothing is known.
pub fn writers_of(path: &[u8]) -> &'static [Writer] {
    let fits = |known: &str| match known.as_bytes().strip_suffix(b"*") {
        Some(start) => path.starts_with(start),
        None => {
            path.strip_prefix(known.as_bytes()).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
        }
    };
    KNOWN.iter().find(|(known, _)| fits(known)).map_or(&[], |(_, writers)| writers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_path_has_its_writers_and_so_has_what_is_below() {
        assert_eq!(writers_of(b"var/.updated"), [Unit("systemd-update-done.service")]);
        assert_eq!(writers_of(b"etc/cni/net.d").first(), Some(&Unit("containerd.service")));
        assert_eq!(writers_of(b"etc/passwd-"), SHADOW);
        assert_eq!(writers_of(b"etc/ssh/ssh_host_rsa_key").len(), 4);
        for other in [&b"etc/cnix"[..], b"etc", b"", b"etc/.updated2"] {
            assert_eq!(writers_of(other), [], "{other:?}");
        }
    }
}
