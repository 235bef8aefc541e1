//! The names and the bytes that histories write: chosen to go wrong where something can.

/// Names that sort around `/`, break lines, look like options or like the kernel's own, are not
/// UTF-8, or are as long as a name may be.
const NAMES: [&[u8]; 20] = [
    b"a",
    b"a-b",
    b"a.b",
    b"a0",
    b"a b",
    b"a\nb",
    b"\xff\xfe raw",
    b"b",
    b"-rf",
    b"*",
    b"caf\xc3\xa9",
    b"cafe\xcc\x81",
    b"o257-9-0",
    b".hidden",
    b"back\\slash",
    b"\x01\x1b[31m",
    b"#tmp~",
    b"etc",
    b"comma,subvol=x",
    b"z",
];

/// The name with this number; every number has one.
pub fn name(number: u8) -> Vec<u8> {
    let number = usize::from(number) % (NAMES.len() + 3);
    match number.checked_sub(NAMES.len()) {
        None => NAMES[number].to_vec(),
        Some(0) => vec![b'n'; 255],
        Some(1) => "é".repeat(127).into_bytes(),
        Some(_) => vec![0xfe; 255],
    }
}

/// `len` bytes that do not compress and differ for each `seed`; all zeros for seed 0.
pub fn content(seed: u8, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64; 0 stays 0.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A POSIX ACL as the kernel stores it (`linux/posix_acl_xattr.h`): `rw-` for the owner, `perm` for
/// the user `uid`.
pub fn acl(uid: u32, perm: u16) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let entries =
        [(1, 6, NOBODY), (2, perm & 7, uid), (4, 4, NOBODY), (0x10, 7, NOBODY), (0x20, 0, NOBODY)];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        bytes.extend_from_slice(&u16::to_le_bytes(tag));
        bytes.extend_from_slice(&u16::to_le_bytes(perm));
        bytes.extend_from_slice(&u32::to_le_bytes(id));
    }
    bytes
}

/// A file capability (`struct vfs_cap_data`, revision 2, `linux/capability.h`) with these bits
/// permitted and effective.
pub fn capability(permitted: u32) -> Vec<u8> {
    [0x0200_0001, permitted, 0, 0, 0].iter().flat_map(|word| u32::to_le_bytes(*word)).collect()
}
