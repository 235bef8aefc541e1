//! What the first page of a swap area says; pure in its input.

/// What hibernation puts where a swap area's own signature was, at the end of the page: the kernel's
/// (`HIBERNATE_SIG` in kernel/power/swap.c), and those of userland implementations that libblkid
/// knows (libblkid/src/superblocks/swap.c).
const AT_THE_END: [&[u8]; 4] = [b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001"];

/// TuxOnIce leaves the swap area's signature alone and writes its own before it, at the start; its
/// older versions at the end.
const TUX_ON_ICE: &[u8] = b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c";

/// How many bytes the signature has at the end of the page.
const LENGTH: usize = 10;

/// Whether a first page is that of a hibernation image. A page that was cut short is not.
pub fn is_image(page: &[u8]) -> bool {
    let Some(at) = page.len().checked_sub(LENGTH) else {
        return false;
    };
    let end = &page[at..];
    page.starts_with(TUX_ON_ICE)
        || end.starts_with(TUX_ON_ICE)
        || AT_THE_END.iter().any(|signature| end.starts_with(signature))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(size: usize, end: &[u8]) -> Vec<u8> {
        let mut page = vec![0; size];
        page[size - LENGTH..][..end.len()].copy_from_slice(end);
        page
    }

    #[test]
    fn an_image_is_told_from_swap() {
        for size in [4096, 16384, 65536] {
            for image in AT_THE_END.into_iter().chain([TUX_ON_ICE]) {
                assert!(is_image(&page(size, image)));
            }
            for other in [&b"SWAPSPACE2"[..], b"SWAP-SPACE", b"", b"LINHIB0002"] {
                assert!(!is_image(&page(size, other)));
            }
        }
        let mut ice = page(4096, b"SWAPSPACE2");
        ice[..TUX_ON_ICE.len()].copy_from_slice(TUX_ON_ICE);
        assert!(is_image(&ice));
        assert!(!is_image(b"S1SUSPEN"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(bytes: Vec<u8>) {
            let _ = is_image(&bytes);
        }
    }
}
