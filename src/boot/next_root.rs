//! Tells what a boot will mount as its root where that is certainly not live, and who names it by a number
//! that stays with the old root: as far as the kernel command line and an fstab say. Pure.

use std::fmt;

use backends::{Layout, Survey};
use dirfd::TreeName;
use dirfd::mountinfo::unescape;
use dirfd::path::Escaped;

use crate::boot::command_line::CommandLine;
use crate::boot::facts::BootFacts;
use crate::boot::fstab::RootEntry;
use crate::boot::init_plan::InitRefusal;
use crate::boot::refusal;
use crate::config::other_root::{RootComparison, RootMountSource};
use crate::config::root::RootConfig;

/// What is known of a boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootSources<'b> {
    /// The kernel command line, if it is the one that this root is booted with.
    pub(crate) line: Option<&'b CommandLine>,
    /// What an fstab mounts as the root.
    pub(crate) fstab: &'b [RootEntry],
    /// Whose that is, to follow "line 3 of ".
    pub(crate) whose: &'b str,
}

/// A boot that does not mount live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtherRoot {
    /// Who says so.
    pub(crate) place: String,
    /// What is mounted.
    pub(crate) mounts: String,
    /// The tree that should be mounted in its stead, relative to the top of the file system.
    pub(crate) live: TreeName,
}

impl BootSources<'_> {
    /// What is mounted, if that is certainly not live. `file_system` is the one that has live.
    pub(crate) fn other_root(&self, root: &RootConfig, file_system: &str) -> Option<OtherRoot> {
        let live = root.layout()?.live.clone();
        if let Some(line) = self.line {
            let source = line.root.as_deref().unwrap_or_default();
            let options = line.root_flags.as_deref().unwrap_or_default();
            match root.compare(RootMountSource { source, fs_type: b"", options }, file_system) {
                // It decides, whatever an fstab says.
                RootComparison::Live => return None,
                RootComparison::Other(mounts) => {
                    return Some(OtherRoot {
                        place: "the kernel command line".into(),
                        mounts,
                        live,
                    });
                }
                RootComparison::Unknown => {}
            }
        }
        // Of several entries with one mount point the first counts, as for systemd.
        let RootEntry { line, source, fs_type, options, .. } = self.fstab.first()?;
        match root.compare(RootMountSource { source, fs_type, options }, file_system) {
            RootComparison::Other(mounts) => {
                Some(OtherRoot { place: format!("line {line} of {}", self.whose), mounts, live })
            }
            RootComparison::Live | RootComparison::Unknown => None,
        }
    }

    /// Who names the root by its number, each with a reason and what to write instead.
    pub(crate) fn numbers(&self, layout: &Layout) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let flags = self
            .line
            .and_then(|line| Some((line.root_flags.as_ref()?, line.root_flag(b"subvolid")?)));
        if let Some((flags, number)) = flags {
            let instead = correct_root_flags(flags, &layout.live);
            let reason = refusal::reason_by_number("the kernel command line", number);
            found.push((reason, format!("write `{instead}` instead")));
        }
        for entry in self.fstab {
            let Some(number) = entry.subvolid() else { continue };
            let instead = correct_fstab_line(&entry.text, &layout.live);
            let place = format!("line {} of {}", entry.line, self.whose);
            let reason = refusal::reason_by_number(&place, number);
            found.push((reason, format!("write this line instead: {instead}")));
        }
        found
    }

    /// Why no blank is made of such a live.
    pub(crate) fn refusals(&self, root: &RootConfig, file_system: &str) -> Vec<InitRefusal> {
        let numbers = root.layout().map(|layout| self.numbers(layout)).unwrap_or_default();
        let numbers = numbers.into_iter().map(|(reason, hint)| InitRefusal { reason, hint });
        let other = self.other_root(root, file_system);
        let other = other.map(|it| InitRefusal { reason: it.to_string(), hint: it.hint() });
        numbers.chain(other).collect()
    }
}

/// What a boot mounts in live's stead, by blank's fstab and, if `is_hosts` says that it is this root's,
/// the kernel command line.
pub(crate) fn find_other_root(
    root: &RootConfig,
    facts: &BootFacts,
    survey: &Survey,
    is_hosts: bool,
) -> Option<OtherRoot> {
    let line = is_hosts.then_some(&facts.command_line);
    let boot = BootSources { line, fstab: &facts.fstab_roots, whose: "blank's fstab" };
    boot.other_root(root, &survey.file_system)
}

impl OtherRoot {
    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
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

/// The mount option that names a tree by its number, and the one that names it by its name.
const NUMBER: &[u8] = b"subvolid=";
const NAME: &[u8] = b"subvol=";

/// The kernel parameter to write instead of `rootflags=<flags>`.
pub fn correct_root_flags(flags: &[u8], live: &TreeName) -> String {
    let corrected = name_for_number(flags, live.as_bytes());
    // The kernel knows no escapes: a backslash stands for itself.
    let value = Escaped(&corrected).to_string().replace("\\\\", "\\");
    if corrected.iter().any(u8::is_ascii_whitespace) {
        format!("rootflags=\"{value}\"")
    } else {
        format!("rootflags={value}")
    }
}

/// The fstab line to write instead of `line`: only its options change.
pub fn correct_fstab_line(line: &[u8], live: &TreeName) -> String {
    let mut corrected = Vec::new();
    let mut field = 0;
    // Blanks between fields stay as they are.
    for part in line.chunk_by(|a, b| is_blank(*a) == is_blank(*b)) {
        let inside = !part.first().is_some_and(|&b| is_blank(b));
        field += usize::from(inside);
        if inside && field == 4 {
            // An escape may stand for any byte, also in the number's own name.
            corrected.extend(escape_options(&name_for_number(&unescape(part), live.as_bytes())));
        } else {
            corrected.extend_from_slice(part);
        }
    }
    escape_unprintable(&corrected)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Drops the number, and gives the name in its place unless there is one already.
fn name_for_number(options: &[u8], live: &[u8]) -> Vec<u8> {
    let all = || options.split(|&b| b == b',');
    let mut named = all().any(|option| option.starts_with(NAME));
    let mut corrected: Vec<Vec<u8>> = Vec::new();
    for option in all() {
        if !option.starts_with(NUMBER) {
            corrected.push(option.to_vec());
        } else if !named {
            corrected.push([NAME, live].concat());
            named = true;
        }
    }
    corrected.join(&b',')
}

/// Options as fstab(5) spells them.
fn escape_options(options: &[u8]) -> Vec<u8> {
    let escaped = options.iter().flat_map(|&b| match b {
        b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{b:03o}").into_bytes(),
        _ => vec![b],
    });
    escaped.collect()
}

/// In an fstab every byte may be written in octal, so what does not print is; the result means the
/// same.
fn escape_unprintable(line: &[u8]) -> String {
    let mut text = String::new();
    for chunk in line.utf8_chunks() {
        for c in chunk.valid().chars() {
            let mut bytes = [0; 4];
            let own: &str = c.encode_utf8(&mut bytes);
            if matches!(c, '\\' | '\t') || Escaped(own.as_bytes()).to_string() == own {
                text.push(c);
            } else {
                text.extend(own.bytes().map(|byte| format!("\\{byte:03o}")));
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\{byte:03o}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::fstab;
    use crate::config::Config;
    use std::path::Path;

    fn told(line: Option<&str>, text: &str) -> Option<String> {
        let config = b"[root]\nbackend = \"btrfs\"\ndevice = \"/dev/x\"\nlive = \"root\"";
        let root = Config::parse(Path::new("f"), config).unwrap().root;
        let line = line.map(|line| CommandLine::parse(line.as_bytes()));
        let fstab = fstab::root_entries(text.as_bytes());
        let boot = BootSources { line: line.as_ref(), fstab: &fstab, whose: "/etc/fstab" };
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

    fn name(bytes: &[u8]) -> TreeName {
        TreeName::new(bytes).unwrap()
    }

    #[test]
    fn the_number_becomes_the_name_and_the_rest_stays() {
        let root = name(b"root");
        for (flags, corrected) in [
            ("subvolid=256", "rootflags=subvol=root"),
            ("ro,subvolid=256,compress=zstd", "rootflags=ro,subvol=root,compress=zstd"),
            ("subvol=/root,subvolid=256", "rootflags=subvol=/root"),
            ("subvolid=5,subvolid=256", "rootflags=subvol=root"),
        ] {
            assert_eq!(correct_root_flags(flags.as_bytes(), &root), corrected);
        }
        let odd = correct_root_flags(b"subvolid=256", &name(b"my root"));
        assert_eq!(odd, "rootflags=\"subvol=my root\"");
        assert_eq!(correct_root_flags(b"subvolid=256", &name(b"a\\b")), "rootflags=subvol=a\\b");
    }

    #[test]
    fn a_corrected_fstab_line_keeps_its_blanks_and_can_be_pasted() {
        let line = b"\tLABEL=a\\040b  /  btrfs\trw,subvolid=256 0 0";
        let corrected = "\tLABEL=a\\040b  /  btrfs\trw,subvol=@/root 0 0";
        assert_eq!(correct_fstab_line(line, &name(b"@/root")), corrected);
        assert_eq!(
            correct_fstab_line(b"/dev/\xff / btrfs subvolid=256", &name(b"a b\n\\\xff")),
            "/dev/\\377 / btrfs subvol=a\\040b\\012\\134\\377"
        );
        assert_eq!(
            correct_fstab_line("x / btrfs subvolid=5".as_bytes(), &name("\u{202e}a".as_bytes())),
            "x / btrfs subvol=\\342\\200\\256a"
        );
    }

    #[test]
    fn a_number_whose_name_is_escaped_is_dropped_too() {
        let line = b"x / btrfs ro\\054subvol\\151d=256,x=\\040 0 0";
        let corrected = "x / btrfs ro,subvol=root,x=\\040 0 0";
        assert_eq!(correct_fstab_line(line, &name(b"root")), corrected);
    }
}
