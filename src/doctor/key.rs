//! Tells a private key by its first bytes. Pure; the bytes are foreign input.

/// How many bytes of a file are enough.
pub const HEAD: usize = 1024;

/// Whether a file that begins with `head` holds a private key.
pub fn is_private_key(head: &[u8]) -> bool {
    let head = head.get(..HEAD).unwrap_or(head);
    head.split(|&b| b == b'\n').map(<[u8]>::trim_ascii_start).any(|line| {
        let pem = line.strip_prefix(b"-----BEGIN ".as_slice());
        pem.is_some_and(|rest| rest.windows(11).any(|word| word == b"PRIVATE KEY"))
            || line.starts_with(b"AGE-SECRET-KEY-1")
            || line.starts_with(b"PuTTY-User-Key-File-")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_are_told_from_public_ones() {
        for (head, expected) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", true),
            ("Bag Attributes\n-----BEGIN ENCRYPTED PRIVATE KEY-----\n", true),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----\n", true),
            ("# created: 2026\n# public key: age1x\nAGE-SECRET-KEY-1XYZ\n", true),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", true),
            ("-----BEGIN PUBLIC KEY-----\n", false),
            ("-----BEGIN CERTIFICATE-----\n", false),
            ("ssh-ed25519 AAAA a PRIVATE KEY\n", false),
            ("", false),
        ] {
            assert_eq!(is_private_key(head.as_bytes()), expected, "{head}");
        }
    }
}
