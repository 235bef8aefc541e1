//! The sockets that are bound to names, from `/proc/net/unix` (proc(5)); pure in its input.

use std::collections::HashSet;

/// The inode numbers of the sockets whose name is `path` or lies below it.
///
/// The kernel prints a name as it was given to bind(2), with nothing escaped, so that a name with a
/// newline hides what follows in it; what cannot be read is passed over.
pub fn bound_below(table: &[u8], path: &[u8]) -> HashSet<u64> {
    let lines = table.split(|&b| b == b'\n').skip(1);
    lines
        .filter_map(|line| {
            let (inode, name) = socket(line)?;
            let below = name.strip_prefix(path)?;
            matches!(below, [] | [b'/', ..]).then_some(inode)
        })
        .collect()
}

/// `Num RefCount Protocol Flags Type St Inode Path`; unnamed sockets have no path.
fn socket(line: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = line;
    let mut inode: &[u8] = &[];
    for _ in 0..7 {
        let start = rest.iter().position(|&b| b != b' ')?;
        rest = &rest[start..];
        let end = rest.iter().position(|&b| b == b' ')?;
        (inode, rest) = rest.split_at(end);
    }
    let name = rest.strip_prefix(b" ")?;
    Some((std::str::from_utf8(inode).ok()?.parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_a_path_are_found() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01    77 /run/a b/socket\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 78 /run/a bc\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 79\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 80 @/run/a b/abstract\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 81 /run/a b\n\nodd line\n";
        let found = bound_below(table, b"/run/a b");
        assert_eq!(found, HashSet::from([77, 81]));
    }
}
