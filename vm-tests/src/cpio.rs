//! Writes an archive that the kernel unpacks as its first root: cpio in the format "newc"
//! (`Documentation/driver-api/early-userspace/buffer-format.rst` of Linux).

/// An archive that grows.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    count: usize,
}

impl Archive {
    /// Adds a directory; those above it have to be there.
    pub fn dir(&mut self, path: &str) {
        self.add(path, 0o040_755, &[]);
    }

    /// Adds a file with these permissions.
    pub fn file(&mut self, path: &str, permissions: u32, content: &[u8]) {
        self.add(path, 0o100_000 | permissions, content);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.add(path, 0o120_777, target.as_bytes());
    }

    /// The whole archive. Several, one behind the other, are one root.
    pub fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn add(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.count += 1;
        let links = 1;
        let numbers = [
            self.count,
            mode as usize,
            // The owner, its group.
            0,
            0,
            links,
            // The time.
            0,
            content.len(),
            // The devices: its own and what it stands for.
            0,
            0,
            0,
            0,
            path.len() + 1,
            // A checksum, which this format leaves out.
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for number in numbers {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        for part in [&[path.as_bytes(), b"\0"].concat(), content] {
            self.bytes.extend_from_slice(part);
            self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        }
    }
}

/// An initrd with a file in it, in the place of the one that is there.
pub fn with_file(mut initrd: Vec<u8>, path: &str, content: &[u8]) -> Vec<u8> {
    // The kernel unpacks archives one after the other; each starts at a multiple of four.
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    let mut archive = Archive::default();
    archive.file(path, 0o644, content);
    initrd.extend(archive.finish());
    initrd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_what_the_format_says() {
        let mut archive = Archive::default();
        archive.dir("a");
        archive.file("a/b c", 0o755, b"12345");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("07070100000001000041ed"), "{text}");
        let file = text.find("a/b c\0").unwrap();
        assert_eq!(&text[file - 110..file - 96], "07070100000002");
        assert_eq!(&text[file - 96..file - 88], "000081ed");
        // Name and content start at multiples of four.
        assert_eq!(&bytes[file + 6..file + 14], b"12345\x00\x00\x00");
        assert_eq!(&bytes[file + 14..file + 20], b"070701");
        assert!(text.ends_with("TRAILER!!!\0\0\0\0") && bytes.len() % 4 == 0);
    }
}
