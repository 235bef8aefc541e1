//! The table of all checks: their ids, which programs may rely on, and what each looks for.

/// One check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// Its id, in all output.
    pub(crate) id: &'static str,
    /// What it looks for.
    pub(crate) looks_for: &'static str,
    /// Who checks it.
    pub(crate) by: By,
}

/// Who checks something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// `doctor`, on the machine.
    Doctor,
    /// Every command, when it reads the configuration: it is refused as a whole.
    Configuration,
}

macro_rules! checks {
    ($($name:ident: $by:ident $id:literal, $looks_for:literal;)*) => {
        $(#[doc = $looks_for] pub const $name: Check =
            Check { id: $id, looks_for: $looks_for, by: By::$by };)*
        /// All of them, in the order of the documentation.
        pub(crate) const ALL: &[Check] = &[$($name),*];
    };
}

checks! {
    ROOT_BY_NUMBER: Doctor "root-by-number",
        "the kernel command line or an fstab mounts the root by `subvolid=`";
    OTHER_ROOT: Doctor "other-root",
        "the kernel command line or an fstab mounts something else than live as the root";
    BLANK_UNRELATED: Doctor "blank-unrelated",
        "neither live nor blank was made of the other, and nothing says that they belong together";
    NO_LOGIN: Doctor "no-login",
        "no account can log in after the next boot, by password or by SSH key";
    LOGIN_LOST: Doctor "login-lost",
        "somebody who can log in now cannot after the next boot";
    PASSWORD_REVERTS: Doctor "password-reverts",
        "a password that was changed will be the older one again";
    EMPTY_PASSWORD: Doctor "empty-password",
        "an account opens without a password after the next boot";
    KEY_ALONE: Doctor "login-by-key-alone",
        "nobody can log in at the machine itself, only over SSH";
    ACCOUNTS_ELSEWHERE: Doctor "accounts-elsewhere",
        "accounts come from a source that `doctor` does not look into (systemd-homed, LDAP, …)";
    STORAGE_MISSING: Doctor "storage-missing",
        "the directory of a storage is not there";
    STORAGE_WIPED: Doctor "storage-on-wiped-root",
        "a storage lies on the root that each boot replaces, or in memory";
    STORAGE_BY_HAND: Doctor "storage-by-hand",
        "a storage is mounted, and neither an fstab nor a unit mounts it at the next boot";
    STORAGE_OPEN: Doctor "storage-open",
        "somebody else than root may write into the top of a storage";
    STORAGE_LARGE: Doctor "storage-large",
        "a storage has more names than `doctor` looks at";
    ATTRIBUTES_UNLISTED: Doctor "attributes-unlisted",
        "a file in a storage has more extended attributes than the kernel lists";
    SECRET_READABLE: Doctor "secret-readable",
        "every user can read a private key or another secret in a storage";
    OWNER_UNKNOWN: Doctor "owner-unknown",
        "files in a storage belong to a number that no account has after the next boot";
    OWNER_DRIFT: Doctor "owner-drift",
        "an entry's user or group has another number than the owner of its data";
    NIXOS_IDS: Doctor "nixos-ids-not-kept",
        "a NixOS gives out the numbers of users anew, because /var/lib/nixos is not kept";
    NESTED: Doctor "nested-entries",
        "one entry lies inside another, with other permissions or for nothing";
    UNKNOWN_ACCOUNT: Doctor "unknown-account",
        "an entry names a user or a group that the machine does not have";
    HOME_DIFFERS: Doctor "home-differs",
        "a user's home is elsewhere than the configuration says";
    BAD_MODE: Doctor "bad-mode",
        "a declared mode locks its owner out, lets everybody write, or gives rights away";
    NOT_MOUNTED: Doctor "not-in-place",
        "a kept path is not what leads to its data: not mounted, not linked, or hidden; and why";
    BY_FSTAB: Doctor "mounted-by-fstab",
        "a kept path survives without being kept: /etc/fstab mounts it, or what it lies in";
    REPLACED_LINK: Doctor "link-replaced",
        "a program put a file of its own in the place of a link to storage";
    RENAMED_OVER: Doctor "renamed-over",
        "a file is mounted, and its program replaces it by renaming, which fails";
    NOTED_LINK: Doctor "link-remembered",
        "a file is linked, since its program was seen to replace it, and the list does not say so";
    BEHIND_LINK: Doctor "behind-a-link",
        "the way to a kept path passes a link, so that it is really elsewhere";
    UNSUITABLE: Doctor "unsuitable-entry",
        "an entry keeps what does not work as a kept path, or what is read before it is in its place";
    MEMORY_OPEN: Doctor "tmpfs-open",
        "a root or home in memory lets every user write at its top";
    MEMORY_SIZE: Doctor "tmpfs-size",
        "a root or home in memory has no limit of its own, or one above the machine's memory";
    BLANK_OWNER: Doctor "blank-owner",
        "the top directory of blank is not root's, or has another mode than 0755";
    BLANK_SECRET: Doctor "blank-secret",
        "blank holds private keys or passwords";
    BLANK_MACHINE_ID: Doctor "blank-machine-id",
        "blank holds a machine-id";
    BLANK_SEED: Doctor "blank-random-seed",
        "blank holds a random seed, so that every boot starts from the same one";
    NESTED_TREES: Doctor "nested-subvolumes",
        "live holds subvolumes of its own, which are no part of blank and go with the old root";
    STUBS_LEFT: Doctor "stubs-left",
        "blank has more stubs of subvolumes than a rollback replaces";
    IMMOVABLE: Doctor "immovable",
        "a directory that a rollback renames is immutable or append-only";
    CONFIG_LOST: Doctor "config-lost",
        "the configuration itself does not survive the next boot";
    KERNEL_MODULES: Doctor "kernel-without-modules",
        "a kernel that a boot loader may start, or the running one, has no modules in the root, or none after the next boot";
    BLANK_INITRD: Doctor "blank-initrd-older",
        "blank's newest initrd was made before the configuration that blank holds (where `/boot` is a part of the root)";
    SWAP_FILE: Doctor "swap-file-in-root",
        "a swap file lies in the root, which blank cannot share with it";
    OLD_ROOTS_STAY: Doctor "old-roots-with-snapshots",
        "old roots that the retention rules let go stay, since somebody made snapshots of them (ZFS)";
    NO_RESERVE: Doctor "no-reserve",
        "nothing is held back for the day on which the pool is full (ZFS)";
    DOT_DOT: Configuration "dot-dot",
        "a path with a component `..`";
    TWICE: Configuration "kept-twice",
        "one path in two entries";
    TWO_KINDS: Configuration "file-and-directory",
        "one path as a file and as a directory, or an entry below a file";
    IN_STORAGE: Configuration "destination-in-storage",
        "an entry inside a storage, or one that contains a storage";
    SAME_DATA: Configuration "same-data",
        "two entries with the same place in a storage";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn ids_are_kebab_case_and_used_once() {
        let ids: BTreeSet<&str> = ALL.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), ALL.len());
        assert!(ids.iter().all(|id| id.chars().all(|c| c == '-' || c.is_ascii_lowercase())));
    }

    #[test]
    fn the_documentation_lists_them_all() {
        let page = include_str!("../../docs/reference/doctor.md");
        for check in ALL {
            let row = format!("| `{}` | {} |", check.id, check.looks_for);
            assert!(page.contains(&row), "no `{row}` in docs/reference/doctor.md");
        }
    }

    /// What the configuration refuses already is told with its line and a hint.
    #[test]
    fn what_the_configuration_refuses_is_refused() {
        let stories = [
            (DOT_DOT, "directories = [\"/var/../etc\"]", "has a component `..`"),
            (TWICE, "directories = [\"/srv\", \"/srv/\"]", "is kept twice"),
            (TWO_KINDS, "directories = [\"/a\"]\nfiles = [\"/a\"]", "is kept as a file here and"),
            (IN_STORAGE, "directories = [\"/persist/x\"]", "lies in the storage"),
            (
                SAME_DATA,
                "directories = [\"/a/b\", { path = \"/a/b\", strip_prefix = true }]",
                "has the same data as",
            ),
        ];
        let told = |lists: &str| {
            let head = "[root]\nbackend = \"tmpfs\"\n[[storage]]\npath = \"/persist\"\n";
            let text = format!("{head}{lists}");
            Config::parse(Path::new("f"), text.as_bytes()).map_err(|e| e.to_string())
        };
        let by_configuration = ALL.iter().filter(|check| check.by == By::Configuration);
        assert!(by_configuration.map(|c| c.id).eq(stories.iter().map(|(check, ..)| check.id)));
        for (check, lists, says) in stories {
            let error = told(lists).unwrap_err();
            assert!(error.contains(says) && error.contains("\n  hint: "), "{}: {error}", check.id);
        }
        assert!(told("directories = [\"/srv\", \"/var/lib/x\"]\nfiles = [\"/a\"]").is_ok());
    }
}
