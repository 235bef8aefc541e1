//! Mount options that name a tree by its number, written anew so that they name it by its name.

use backends::TreeName;
use backends::mountinfo::unescape;
use backends::path::Escaped;

const NUMBER: &[u8] = b"subvolid=";
const NAME: &[u8] = b"subvol=";

/// The kernel parameter to write instead of `rootflags=<flags>`.
pub fn root_flags(flags: &[u8], live: &TreeName) -> String {
    let corrected = options(flags, live.as_bytes());
    // The kernel knows no escapes: a backslash stands for itself.
    let value = Escaped(&corrected).to_string().replace("\\\\", "\\");
    if corrected.iter().any(u8::is_ascii_whitespace) {
        format!("rootflags=\"{value}\"")
    } else {
        format!("rootflags={value}")
    }
}

/// The fstab line to write instead of `line`: only its options change.
pub fn fstab_line(line: &[u8], live: &TreeName) -> String {
    let mut corrected = Vec::new();
    let mut field = 0;
    // Blanks between fields stay as they are.
    for part in line.chunk_by(|a, b| is_blank(*a) == is_blank(*b)) {
        let inside = !part.first().is_some_and(|&b| is_blank(b));
        field += usize::from(inside);
        if inside && field == 4 {
            // An escape may stand for any byte, also in the number's own name.
            corrected.extend(in_fstab(&options(&unescape(part), live.as_bytes())));
        } else {
            corrected.extend_from_slice(part);
        }
    }
    printable(&corrected)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Drops the number, and gives the name in its place unless there is one already.
fn options(options: &[u8], live: &[u8]) -> Vec<u8> {
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
fn in_fstab(options: &[u8]) -> Vec<u8> {
    let escaped = options.iter().flat_map(|&b| match b {
        b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{b:03o}").into_bytes(),
        _ => vec![b],
    });
    escaped.collect()
}

/// In an fstab every byte may be written in octal, so what does not print is; the result means the
/// same.
fn printable(line: &[u8]) -> String {
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
            assert_eq!(root_flags(flags.as_bytes(), &root), corrected);
        }
        let odd = root_flags(b"subvolid=256", &name(b"my root"));
        assert_eq!(odd, "rootflags=\"subvol=my root\"");
        assert_eq!(root_flags(b"subvolid=256", &name(b"a\\b")), "rootflags=subvol=a\\b");
    }

    #[test]
    fn a_corrected_fstab_line_keeps_its_blanks_and_can_be_pasted() {
        let line = b"\tLABEL=a\\040b  /  btrfs\trw,subvolid=256 0 0";
        let corrected = "\tLABEL=a\\040b  /  btrfs\trw,subvol=@/root 0 0";
        assert_eq!(fstab_line(line, &name(b"@/root")), corrected);
        assert_eq!(
            fstab_line(b"/dev/\xff / btrfs subvolid=256", &name(b"a b\n\\\xff")),
            "/dev/\\377 / btrfs subvol=a\\040b\\012\\134\\377"
        );
        assert_eq!(
            fstab_line("x / btrfs subvolid=5".as_bytes(), &name("\u{202e}a".as_bytes())),
            "x / btrfs subvol=\\342\\200\\256a"
        );
    }

    #[test]
    fn a_number_whose_name_is_escaped_is_dropped_too() {
        let line = b"x / btrfs ro\\054subvol\\151d=256,x=\\040 0 0";
        let corrected = "x / btrfs ro,subvol=root,x=\\040 0 0";
        assert_eq!(fstab_line(line, &name(b"root")), corrected);
    }
}
