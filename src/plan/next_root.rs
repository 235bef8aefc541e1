//! Tells what a boot will mount as its root where that is certainly not live, and who names it by a number
//! that stays with the old root: as far as the kernel command line and an fstab say. Pure.

use std::fmt;

use backends::{Layout, TreeName};

use super::{InitRefusal, correction, refusal};
use crate::config::RootConfig;
use crate::config::other_root::{Answer, Named};
use crate::facts::{CommandLine, RootEntry};

/// What is known of a boot.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'b> {
    /// The kernel command line, if it is the one that this root is booted with.
    pub line: Option<&'b CommandLine>,
    /// What an fstab mounts as the root.
    pub fstab: &'b [RootEntry],
    /// Whose that is, to follow "line 3 of ".
    pub whose: &'b str,
}

/// A boot that does not mount live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherRoot {
    /// Who says so.
    pub place: String,
    /// What is mounted.
    pub mounts: String,
    /// The name of live.
    pub live: TreeName,
}

impl Boot<'_> {
    /// What is mounted, if that is certainly not live. `file_system` is the one that has live.
    pub fn other_root(&self, root: &RootConfig, file_system: &str) -> Option<OtherRoot> {
        let live = root.layout()?.live.clone();
        if let Some(line) = self.line {
            let source = line.root.as_deref().unwrap_or_default();
            let options = line.root_flags.as_deref().unwrap_or_default();
            match root.compare(Named { source, fs_type: b"", options }, file_system) {
                // It decides, whatever an fstab says.
                Answer::Live => return None,
                Answer::Other(mounts) => {
                    return Some(OtherRoot {
                        place: "the kernel command line".into(),
                        mounts,
                        live,
                    });
                }
                Answer::Unknown => {}
            }
        }
        // Of several entries with one mount point the first counts, as for systemd.
        let RootEntry { line, source, fs_type, options, .. } = self.fstab.first()?;
        match root.compare(Named { source, fs_type, options }, file_system) {
            Answer::Other(mounts) => {
                Some(OtherRoot { place: format!("line {line} of {}", self.whose), mounts, live })
            }
            Answer::Live | Answer::Unknown => None,
        }
    }

    /// Who names the root by its number, each with a reason and what to write instead.
    pub fn numbers(&self, layout: &Layout) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let flags = self
            .line
            .and_then(|line| Some((line.root_flags.as_ref()?, line.root_flag(b"subvolid")?)));
        if let Some((flags, number)) = flags {
            let instead = correction::root_flags(flags, &layout.live);
            let reason = refusal::by_number("the kernel command line", number);
            found.push((reason, format!("write `{instead}` instead")));
        }
        for entry in self.fstab {
            let Some(number) = entry.subvolid() else { continue };
            let instead = correction::fstab_line(&entry.text, &layout.live);
            let place = format!("line {} of {}", entry.line, self.whose);
            let reason = refusal::by_number(&place, number);
            found.push((reason, format!("write this line instead: {instead}")));
        }
        found
    }

    /// Why no blank is made of such a live.
    pub fn refusals(&self, root: &RootConfig, file_system: &str) -> Vec<InitRefusal> {
        let numbers = root.layout().map(|layout| self.numbers(layout)).unwrap_or_default();
        let numbers = numbers.into_iter().map(|(reason, mend)| InitRefusal { reason, mend });
        let other = self.other_root(root, file_system);
        let other = other.map(|it| InitRefusal { reason: it.to_string(), mend: it.mend() });
        numbers.chain(other).collect()
    }
}

impl OtherRoot {
    /// What to do about it.
    pub fn mend(&self) -> String {
        let Self { place, live, .. } = self;
        format!(
            "correct {place} so that it mounts `{live}`, or set `live` in the configuration to the \
             name of the tree that is the root"
        )
    }
}

impl fmt::Display for OtherRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, mounts, live } = self;
        write!(f, "{place} mounts {mounts} as the root, and not live, `{live}`")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::facts::fstab;

    fn told(line: Option<&str>, text: &str) -> Option<String> {
        let config = b"[root]\nbackend = \"btrfs\"\ndevice = \"/dev/x\"\nlive = \"root\"";
        let root = Config::parse(Path::new("f"), config).unwrap().root;
        let line = line.map(|line| CommandLine::parse(line.as_bytes()));
        let fstab = fstab::root_entries(text.as_bytes());
        let boot = Boot { line: line.as_ref(), fstab: &fstab, whose: "/etc/fstab" };
        boot.other_root(&root, "ab").map(|other| other.to_string())
    }

    #[test]
    fn the_command_line_decides_and_then_the_first_line_of_fstab() {
        let fstab = "# x\nUUID=ab / btrfs subvol=@\nUUID=ab / btrfs subvol=root\n";
        let by_fstab = "line 2 of /etc/fstab mounts the subvolume `@` as the root, and not live, \
                        `root`";
        assert_eq!(told(None, fstab).as_deref(), Some(by_fstab));
        assert_eq!(told(Some("quiet"), fstab).as_deref(), Some(by_fstab));
        assert_eq!(told(Some("root=UUID=ab rootflags=subvol=/root"), fstab), None);
        let by_line = told(Some("rootflags=subvol=@"), "UUID=ab / btrfs subvol=root");
        assert!(by_line.unwrap().starts_with("the kernel command line mounts the subvolume `@`"));
    }

    #[test]
    fn what_does_not_say_is_no_other_root() {
        for (line, fstab) in [
            (None, ""),
            (Some("root=/dev/sda2"), "/dev/sda2 / btrfs defaults"),
            (Some("root=fstab"), "LABEL=x / auto subvolid=256"),
        ] {
            assert_eq!(told(line, fstab), None, "{line:?} {fstab}");
        }
    }
}
