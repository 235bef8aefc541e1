//! Reads the release out of what a boot loader starts: a kernel of x86 (Documentation/arch/x86/boot.rst of
//! the kernel's source) or a unified kernel image (UAPI.5). Pure but for the reading, and foreign input.

use std::io;

/// As many bytes of a release as are looked at; the kernel's own limit is 64.
const LENGTH: usize = 128;
/// Sections of an image that are looked at.
const SECTIONS: usize = 96;
/// Bytes of an entry in the table of sections (PE/COFF).
const SECTION: usize = 40;

/// The release, as `uname -r` tells it when the kernel runs; `None` where the image does not say. `read` reads
/// so many bytes from an offset on, or fewer at the end of the file.
pub fn read_release(
    mut read: impl FnMut(u64, usize) -> io::Result<Vec<u8>>,
) -> io::Result<Option<String>> {
    let head = read(0, 0x400)?;
    if head.get(0x202..0x206) == Some(b"HdrS") {
        let place = u16_at(&head, 0x20e).filter(|&place| place != 0);
        let Some(place) = place else { return Ok(None) };
        return Ok(first_word(&read(u64::from(place) + 0x200, LENGTH)?));
    }
    let Some(place) = u32_at(&head, 0x3c).filter(|_| head.starts_with(b"MZ")) else {
        return Ok(None);
    };
    let header = read(u64::from(place), 24)?;
    let (Some(count), Some(optional)) = (u16_at(&header, 6), u16_at(&header, 20)) else {
        return Ok(None);
    };
    if !header.starts_with(b"PE\0\0") {
        return Ok(None);
    }
    let table = u64::from(place) + 24 + u64::from(optional);
    let table = read(table, usize::from(count).min(SECTIONS) * SECTION)?;
    let named = |section: &&[u8]| section.starts_with(b".uname\0\0");
    let Some(section) = table.chunks_exact(SECTION).find(named) else { return Ok(None) };
    let (Some(size), Some(place)) = (u32_at(section, 8), u32_at(section, 20)) else {
        return Ok(None);
    };
    let text = read(u64::from(place), LENGTH.min(size as usize))?;
    Ok(first_word(&text))
}

/// What can be the name of a directory of modules.
pub(crate) fn first_word(text: &[u8]) -> Option<String> {
    let word = text.split(|byte| *byte == 0 || byte.is_ascii_whitespace()).next()?;
    let is_plain = word.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'/');
    let starts = word.first().is_some_and(u8::is_ascii_digit);
    (is_plain && starts).then(|| String::from_utf8_lossy(word).into_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn release_of(image: &[u8]) -> Option<String> {
        let read = |offset: u64, length: usize| {
            let rest = image.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            Ok(rest[..length.min(rest.len())].to_vec())
        };
        read_release(read).unwrap()
    }

    /// The part of a kernel of x86 that tells its release.
    pub(crate) fn kernel(release: &str) -> Vec<u8> {
        let mut image = vec![0; 0x1000];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x600_u16.to_le_bytes());
        let text = format!("{release} (builder@host) #1 SMP\0");
        image[0x800..0x800 + text.len()].copy_from_slice(text.as_bytes());
        image
    }

    fn unified(release: &str) -> Vec<u8> {
        let mut image = vec![0; 0x1000];
        image[..2].copy_from_slice(b"MZ");
        image[0x3c..0x40].copy_from_slice(&0x80_u32.to_le_bytes());
        image[0x80..0x84].copy_from_slice(b"PE\0\0");
        image[0x86] = 2;
        image[0x94] = 0x10;
        let table = 0x80 + 24 + 0x10;
        image[table..table + 8].copy_from_slice(b".osrel\0\0");
        let section = table + SECTION;
        image[section..section + 8].copy_from_slice(b".uname\0\0");
        let length = u32::try_from(release.len()).unwrap();
        image[section + 8..section + 12].copy_from_slice(&length.to_le_bytes());
        image[section + 20..section + 24].copy_from_slice(&0x400_u32.to_le_bytes());
        image[0x400..0x400 + release.len()].copy_from_slice(release.as_bytes());
        image
    }

    #[test]
    fn a_kernel_and_a_unified_image_tell_their_release() {
        assert_eq!(release_of(&kernel("6.12.1-arch1-1")).as_deref(), Some("6.12.1-arch1-1"));
        assert_eq!(
            release_of(&unified("6.12.57+deb13-amd64")).as_deref(),
            Some("6.12.57+deb13-amd64")
        );
        for other in [&b""[..], b"MZ", b"memtest", &vec![0xff; 0x2000], &kernel("../../etc")] {
            assert_eq!(release_of(other), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(mut bytes: Vec<u8>, magic: bool, place: u8) {
            bytes.splice(..0, *b"MZ");
            if magic && bytes.len() > 0x40 {
                bytes[0x3c..0x40].copy_from_slice(&u32::from(place).to_le_bytes());
            }
            let found = release_of(&bytes);
            prop_assert!(found.is_none_or(|word| !word.contains('/') && !word.contains(char::is_control)));
        }
    }
}
