//! Paths that carry an identifier of a machine, a boot or a thing, so that they differ at each boot although
//! they stand for the same: `/var/log/journal/<machine-id>`. Pure.
//!
//! In each component, a UUID, and a run of 32 or of 64 hexadecimal digits, are replaced by a placeholder:
//! that is how machine ids, boot ids, and the ids of containers and images are written.

use std::borrow::Cow;

/// What stands for an identifier: no file name holds a NUL byte, so that no path is taken for a template.
const UUID_HERE: &[u8] = b"\0uuid";
const HEX_32_HERE: &[u8] = b"\0id";
const HEX_64_HERE: &[u8] = b"\0hash";

/// Where the hyphens of a UUID are, and how long it is.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const UUID: usize = 36;

/// The template of a path, as in [`TreePath::as_bytes`](dirfd::TreePath::as_bytes); the path itself where it
/// carries no identifier.
pub(crate) fn template_of(path: &[u8]) -> Cow<'_, [u8]> {
    let mut template = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while at < path.len() {
        if !path[at].is_ascii_hexdigit() {
            at += 1;
            continue;
        }
        let run = hex_run(&path[at..]);
        at += match identifier_at(&path[at..], run) {
            Some((placeholder, len)) => {
                template.extend_from_slice(&path[copied..at]);
                template.extend_from_slice(placeholder);
                copied = at + len;
                len
            }
            None => run,
        };
    }
    if copied == 0 {
        return Cow::Borrowed(path);
    }
    template.extend_from_slice(&path[copied..]);
    Cow::Owned(template)
}

/// What stands for the identifier at the start of `text`, whose first `run` bytes are hexadecimal digits, and
/// the length of the identifier.
fn identifier_at(text: &[u8], run: usize) -> Option<(&'static [u8], usize)> {
    match run {
        32 => Some((HEX_32_HERE, run)),
        64 => Some((HEX_64_HERE, run)),
        8 if is_uuid(text) => Some((UUID_HERE, UUID)),
        _ => None,
    }
}

fn is_uuid(text: &[u8]) -> bool {
    let Some(uuid) = text.get(..UUID) else { return false };
    let ends = text.get(UUID).is_none_or(|next| !next.is_ascii_hexdigit());
    let right = |(at, byte): (usize, &u8)| match HYPHENS.contains(&at) {
        true => *byte == b'-',
        false => byte.is_ascii_hexdigit(),
    };
    ends && uuid.iter().enumerate().all(right)
}

fn hex_run(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";
    const UUID: &str = "3f2a1c9e-7a01-4b6e-9d0a-0123456789ab";

    fn template(path: &str) -> String {
        String::from_utf8(template_of(path.as_bytes()).into_owned()).unwrap().replace('\0', "%")
    }

    #[test]
    fn identifiers_are_replaced_wherever_they_stand_and_all_else_stays() {
        for (path, expected) in [
            ("var/log/journal/{ID}", "var/log/journal/%id"),
            (
                "var/log/journal/{ID}/system@{ID}-0001.journal",
                "var/log/journal/%id/system@%id-0001.journal",
            ),
            (
                "var/lib/docker/containers/{ID}{ID}/config.v2.json",
                "var/lib/docker/containers/%hash/config.v2.json",
            ),
            ("etc/connections/{UUID}.nmconnection", "etc/connections/%uuid.nmconnection"),
            ("{UUID}", "%uuid"),
            ("a{ID}", "a{ID}"),
            ("{ID}0", "{ID}0"),
            ("{UUID}0", "{UUID}0"),
            ("x{UUID}-{UUID}", "x%uuid-%uuid"),
            ("etc/passwd", "etc/passwd"),
            ("", ""),
        ] {
            let given = |text: &str| text.replace("{ID}", ID).replace("{UUID}", UUID);
            assert_eq!(template(&given(path)), given(expected), "{path}");
        }
    }

    proptest! {
        #[test]
        fn paths_that_differ_in_an_identifier_alone_have_one_template(
            before in "[g-z/]{0,8}", after in "[/g-z.]{0,8}", a in "[0-9a-f]{32}", b in "[0-9a-f]{32}"
        ) {
            let path = |id: &str| format!("{before}{id}{after}");
            prop_assert_eq!(template(&path(&a)), template(&path(&b)));
            prop_assert_ne!(template(&path(&a)), path(&a));
        }

        #[test]
        fn nothing_panics_and_depth_stays(path in prop::collection::vec(1u8.., 0..200)) {
            let slashes = |path: &[u8]| path.iter().filter(|&&b| b == b'/').count();
            prop_assert_eq!(slashes(&template_of(&path)), slashes(&path));
        }
    }
}
