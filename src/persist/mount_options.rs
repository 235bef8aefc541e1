//! Mount options that belong to one mount, as those of a bind mount do: what the kernel is told, and
//! what only programs read. Pure.

use dirfd::path::Escaped;
use dirfd::sys::mount_calls::Attributes;
use nix::libc;
use rustix::fs::StatVfsMountFlags;

use crate::persist::WhyAndHint;
use crate::persist::list::KeepEntry;

/// The options of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// What the kernel is told; nothing declared changes nothing.
    pub(crate) kernel: Attributes,
    /// `x-…` and `X-…`: for programs that look at mounts.
    pub(crate) user: Vec<String>,
}

impl MountOptions {
    /// The options of an entry; the error completes "cannot …: ", with its hint.
    pub(crate) fn of(entry: &KeepEntry) -> Result<Self, WhyAndHint> {
        let mut options = Self::default();
        for text in &entry.options {
            if text.starts_with("x-") || text.starts_with("X-") {
                options.user.push(text.clone());
            } else if !matches!(text.as_str(), "bind" | "defaults") {
                options.add(text).ok_or_else(|| unknown_option(text))?;
            }
        }
        for (wanted, option) in
            [(entry.hide_mounts, "x-gvfs-hide"), (entry.allow_trash, "x-gvfs-trash")]
        {
            if wanted && !options.user.iter().any(|there| there == option) {
                options.user.push(option.to_string());
            }
        }
        Ok(options)
    }

    fn add(&mut self, text: &str) -> Option<()> {
        let (set, clear) = attribute_bits(text)?;
        // Of two options that contradict each other the last one counts, as for mount(8).
        self.kernel.set = self.kernel.set & !clear | set;
        self.kernel.clear = self.kernel.clear & !set | clear;
        Some(())
    }

    /// Whether a mount with these flags (statvfs(3)) is as declared.
    pub(crate) fn are_in_force(&self, flags: StatVfsMountFlags) -> bool {
        let plain = [
            (libc::MOUNT_ATTR_RDONLY, StatVfsMountFlags::RDONLY),
            (libc::MOUNT_ATTR_NOSUID, StatVfsMountFlags::NOSUID),
            (libc::MOUNT_ATTR_NODEV, StatVfsMountFlags::NODEV),
            (libc::MOUNT_ATTR_NOEXEC, StatVfsMountFlags::NOEXEC),
            (libc::MOUNT_ATTR_NODIRATIME, StatVfsMountFlags::NODIRATIME),
            (libc::MOUNT_ATTR_NOSYMFOLLOW, StatVfsMountFlags::from_bits_retain(0x2000)),
        ];
        let plain_hold = plain.iter().all(|&(bit, flag)| {
            let is_set = flags.contains(flag);
            (self.kernel.set & bit == 0 || is_set) && (self.kernel.clear & bit == 0 || !is_set)
        });
        let atime = if flags.contains(StatVfsMountFlags::NOATIME) {
            libc::MOUNT_ATTR_NOATIME
        } else if flags.contains(StatVfsMountFlags::RELATIME) {
            libc::MOUNT_ATTR_RELATIME
        } else {
            libc::MOUNT_ATTR_STRICTATIME
        };
        let wanted = self.kernel.set & libc::MOUNT_ATTR__ATIME;
        plain_hold && (self.kernel.clear & libc::MOUNT_ATTR__ATIME == 0 || wanted == atime)
    }
}

/// The `MOUNT_ATTR_…` bits that an option sets and clears; `None` if it is about something else.
pub(crate) fn attribute_bits(option: &str) -> Option<(u64, u64)> {
    Some(match option {
        "ro" => (libc::MOUNT_ATTR_RDONLY, 0),
        "rw" => (0, libc::MOUNT_ATTR_RDONLY),
        "nosuid" => (libc::MOUNT_ATTR_NOSUID, 0),
        "suid" => (0, libc::MOUNT_ATTR_NOSUID),
        "nodev" => (libc::MOUNT_ATTR_NODEV, 0),
        "dev" => (0, libc::MOUNT_ATTR_NODEV),
        "noexec" => (libc::MOUNT_ATTR_NOEXEC, 0),
        "exec" => (0, libc::MOUNT_ATTR_NOEXEC),
        "nodiratime" => (libc::MOUNT_ATTR_NODIRATIME, 0),
        "diratime" => (0, libc::MOUNT_ATTR_NODIRATIME),
        "nosymfollow" => (libc::MOUNT_ATTR_NOSYMFOLLOW, 0),
        "symfollow" => (0, libc::MOUNT_ATTR_NOSYMFOLLOW),
        "noatime" => (libc::MOUNT_ATTR_NOATIME, libc::MOUNT_ATTR__ATIME),
        "strictatime" => (libc::MOUNT_ATTR_STRICTATIME, libc::MOUNT_ATTR__ATIME),
        "relatime" => (libc::MOUNT_ATTR_RELATIME, libc::MOUNT_ATTR__ATIME),
        _ => return None,
    })
}

fn unknown_option(option: &str) -> WhyAndHint {
    let what = format!("`{}` is no option of a bind mount", Escaped(option.as_bytes()));
    let hint = "a bind mount has ro, nosuid, nodev, noexec, noatime, relatime, nodiratime, \
                nosymfollow, their opposites, and x-… options; others belong to the file system \
                of the storage";
    (what, hint.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::list::fixture::entry;

    #[test]
    fn the_last_of_two_opposites_counts_and_nothing_is_changed_that_is_not_declared() {
        let options =
            |list: &str| MountOptions::of(&entry(&format!("{{ path = \"/a\", {list} }}"))).unwrap();
        assert_eq!(options("notrim = true"), MountOptions::default());
        let both = options(r#"options = ["noexec", "exec", "ro", "x-foo"], hide_mounts = true"#);
        assert_eq!(both.kernel.set, libc::MOUNT_ATTR_RDONLY);
        assert_eq!(both.kernel.clear, libc::MOUNT_ATTR_NOEXEC);
        assert_eq!(both.user, ["x-foo", "x-gvfs-hide"]);
    }

    #[test]
    fn what_is_in_force_is_told_from_the_flags_of_a_mount() {
        let options =
            |list: &str| MountOptions::of(&entry(&format!("{{ path = \"/a\", {list} }}"))).unwrap();
        let flags = StatVfsMountFlags::NOSUID | StatVfsMountFlags::RELATIME;
        assert!(MountOptions::default().are_in_force(flags));
        assert!(options(r#"options = ["nosuid", "relatime", "exec"]"#).are_in_force(flags));
        assert!(!options(r#"options = ["noexec"]"#).are_in_force(flags));
        assert!(!options(r#"options = ["suid"]"#).are_in_force(flags));
        assert!(!options(r#"options = ["noatime"]"#).are_in_force(flags));
    }

    #[test]
    fn an_option_of_a_file_system_is_refused() {
        let (why, _) = MountOptions::of(&entry(r#"{ path = "/a", options = ["compress=zstd"] }"#))
            .unwrap_err();
        assert_eq!(why, "`compress=zstd` is no option of a bind mount");
    }
}
