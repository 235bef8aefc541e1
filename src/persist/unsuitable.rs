//! Paths that cannot be kept, or not without trouble, as data: what reads them before they can be in
//! their places, what replaces them in a way that neither a link nor a mount survives, and what is not
//! on the root at all.

use dirfd::TreePath;

/// How bad it is to keep a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnsuitableSeverity {
    /// It does not work: `keep` and `init --keep` refuse it.
    Refused,
    /// It works in part: `keep` tells what will not.
    Warned,
    /// It is fine, although what is around it is not.
    Fine,
}

/// Why a path is not to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsuitable {
    /// Absolute paths; `/**` at the end of one adds all that is below it.
    pub(crate) paths: &'static [&'static str],
    /// How bad it is.
    pub(crate) severity: UnsuitableSeverity,
    /// It is only that it comes too late: set up in the initrd (`in_initrd = true`) it is fine.
    pub(crate) too_late: bool,
    /// What goes wrong.
    pub(crate) why: &'static str,
    /// What to do instead.
    pub(crate) hint: &'static str,
}

const ACCOUNTS: &str = "useradd, groupadd and passwd refuse a link there and cannot rename over a mounted \
                        file, so that every package that makes a user fails half-way";
const NEW_ACCOUNTS: &str = "make the user or the password in live, then make a new blank, which has it; on \
                            NixOS declare it";
const NEW_BLANK: &str = "change it in live, then make a new blank, which has it";

const fn refused(
    paths: &'static [&'static str],
    why: &'static str,
    hint: &'static str,
) -> Unsuitable {
    Unsuitable { paths, severity: UnsuitableSeverity::Refused, too_late: false, why, hint }
}

const fn warned(
    paths: &'static [&'static str],
    why: &'static str,
    hint: &'static str,
) -> Unsuitable {
    Unsuitable { severity: UnsuitableSeverity::Warned, ..refused(paths, why, hint) }
}

const fn too_late(row: Unsuitable) -> Unsuitable {
    Unsuitable { too_late: true, ..row }
}

/// All of it. The first that names a path counts.
pub(crate) const ALL: &[Unsuitable] = &[
    refused(
        &["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"],
        ACCOUNTS,
        NEW_ACCOUNTS,
    ),
    refused(
        &["/run/**", "/var/run/**", "/var/lock/**"],
        "it is in memory, and programs make it anew at every boot",
        "keep where the program has its lasting state, below /var/lib as a rule",
    ),
    refused(
        &["/proc/**", "/sys/**", "/dev/**"],
        "the kernel makes it, and nothing of it is on a disk",
        "keep the file that sets it, such as one in /etc/sysctl.d or /etc/udev/rules.d",
    ),
    warned(
        &["/tmp/**", "/var/tmp/**"],
        "systemd-tmpfiles deletes there what is some days old, and on many machines /tmp is in memory",
        "let the program put it below /var/lib or /srv",
    ),
    Unsuitable {
        severity: UnsuitableSeverity::Fine,
        ..refused(&["/usr/local/**", "/usr/src/**"], "", "")
    },
    refused(
        &["/usr/**", "/bin/**", "/sbin/**", "/lib/**", "/lib64/**", "/nix", "/nix/store/**"],
        "the system starts from it before a kept path is in its place, and a copy in storage stays what it \
         is when blank is upgraded",
        "install it in live, then make a new blank, which has it; /usr/local can be kept",
    ),
    refused(
        &["/boot/**", "/efi/**"],
        "the boot loader reads it where it is, and knows nothing of a storage",
        "give it a partition of its own, or make a new blank after each change",
    ),
    refused(
        &["/etc/fstab", "/etc/crypttab"],
        "systemd reads it before a storage is mounted, and to mount it",
        NEW_BLANK,
    ),
    too_late(refused(
        &[
            "/etc/hostname",
            "/etc/locale.conf",
            "/etc/systemd",
            "/etc/systemd/system/**",
            "/etc/systemd/system.conf",
            "/etc/systemd/system.conf.d/**",
            "/etc/systemd/system-generators/**",
            "/etc/systemd/system-preset/**",
            "/etc/selinux/**",
        ],
        "systemd reads it when it starts, before a kept path is in its place, and goes by what blank has",
        NEW_BLANK,
    )),
    too_late(warned(
        &[
            "/etc",
            "/etc/systemd/journald.conf",
            "/etc/systemd/journald.conf.d/**",
            "/etc/udev/**",
            "/etc/modprobe.d/**",
            "/etc/modules-load.d/**",
            "/etc/modules",
            "/etc/vconsole.conf",
            "/etc/ld.so.preload",
            "/etc/ld.so.cache",
        ],
        "programs read it early in a boot, some of them before a kept path is in its place, and those go by \
         what blank has",
        "change it in live, then make a new blank; or write `in_initrd = true` in its entry",
    )),
];

/// Why `path` is not to be kept, if that is known. `early`: it is set up in the initrd.
pub(crate) fn find_unsuitable(path: &TreePath, early: bool) -> Option<&'static Unsuitable> {
    ALL.iter()
        .find(|row| row.paths.iter().any(|pattern| pattern_covers(pattern, path)))
        .filter(|row| row.severity != UnsuitableSeverity::Fine && !(row.too_late && early))
}

fn pattern_covers(pattern: &str, path: &TreePath) -> bool {
    let (whole, below) = match pattern.strip_suffix("/**") {
        Some(whole) => (whole, true),
        None => (pattern, false),
    };
    let (whole, path) = (whole.as_bytes(), path.as_bytes());
    match path.strip_prefix(&whole[1..]) {
        Some([]) => true,
        Some([b'/', ..]) => below,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::persist::list;
    use std::path::Path;

    fn severity(path: &str, early: bool) -> Option<UnsuitableSeverity> {
        let path = TreePath::parse(path.as_bytes()).unwrap();
        find_unsuitable(&path, early).map(|row| row.severity)
    }

    #[test]
    fn what_cannot_be_kept_is_known_and_what_many_keep_is_fine() {
        for path in [
            "/etc/passwd",
            "/etc/shadow",
            "/etc/group",
            "/etc/gshadow",
            "/etc/subuid",
            "/etc/subgid",
            "/run/user/1000",
            "/proc/sys",
            "/sys",
            "/dev/shm",
            "/usr",
            "/usr/lib/x",
            "/boot",
            "/boot/grub/grub.cfg",
            "/etc/fstab",
            "/etc/crypttab",
            "/etc/systemd",
            "/etc/systemd/system/x.service",
            "/etc/hostname",
            "/etc/locale.conf",
            "/nix",
        ] {
            assert_eq!(severity(path, false), Some(UnsuitableSeverity::Refused), "{path}");
        }
        for path in ["/tmp", "/tmp/x", "/var/tmp/x", "/etc", "/etc/udev/rules.d"] {
            assert_eq!(severity(path, false), Some(UnsuitableSeverity::Warned), "{path}");
        }
        for path in [
            "/etc/machine-id",
            "/etc/blankroot.toml",
            "/etc/nixos",
            "/etc/nix/id_rsa",
            "/etc/NetworkManager/system-connections",
            "/etc/ssh/ssh_host_ed25519_key",
            "/etc/systemd/network",
            "/etc/adjtime",
            "/usr/local",
            "/usr/local/bin/x",
            "/var/log",
            "/var/lib/nixos",
            "/var/lib/systemd/coredump",
            "/home",
            "/root",
            "/running",
            "/etc/passwd-",
            "/etc/group.d/x",
        ] {
            assert_eq!(severity(path, false), None, "{path}");
        }
    }

    #[test]
    fn a_well_known_list_of_others_has_nothing_to_complain_of() {
        let text = include_str!("../../tests/wiki/blankroot.toml");
        let config = Config::parse(Path::new("f"), text.as_bytes()).unwrap();
        let list = list::keep_list(&config);
        assert!(!list.is_empty());
        for entry in list {
            let early = entry.is_set_up_in_initrd();
            assert_eq!(find_unsuitable(&entry.path, early), None, "{}", entry.path);
        }
    }

    #[test]
    fn what_only_comes_too_late_is_fine_in_the_initrd() {
        for path in ["/etc/hostname", "/etc/systemd/system", "/etc", "/etc/udev"] {
            assert_eq!(severity(path, true), None, "{path}");
        }
        for path in ["/etc/passwd", "/etc/fstab", "/usr", "/run/x"] {
            assert_eq!(severity(path, true), Some(UnsuitableSeverity::Refused), "{path}");
        }
    }

    #[test]
    fn every_pattern_is_a_clean_path_and_tells_why_and_what_else() {
        for row in ALL {
            for pattern in row.paths {
                let path = pattern.strip_suffix("/**").unwrap_or(pattern);
                let path = TreePath::parse(path.as_bytes()).unwrap();
                assert!(path.depth() > 0 && pattern_covers(pattern, &path), "{pattern}");
            }
            let fine = row.severity == UnsuitableSeverity::Fine;
            assert_eq!((row.why.is_empty(), row.hint.is_empty()), (fine, fine), "{row:?}");
        }
    }
}
