//! The delegations of a dataset (zfs-allow(8)), cut out of what the kernel packs: a pure function of bytes.
//!
//! The kernel answers with a list of lists, in its own order of bytes: for the dataset and each above it what is
//! delegated there. A list begins with its version and flags, but one that is within another has those in the pair
//! that it belongs to, and its pairs follow at once (`nvs_native_nvlist` of module/nvpair/nvpair.c). All are alike in
//! version and flags, so one that is within becomes a whole one behind the beginning of the outermost. Nothing else
//! has to be understood but where it begins and ends.

/// `nvs_header_t`: the encoding, which is 0, the order of bytes, and nothing.
const HEADER: usize = 4;
/// Version and flags of the outermost list.
const LIST: usize = 8;
/// What a list ends with, in the place of a pair's size.
const END: usize = 4;
/// `nvpair_t`: size, size of the name, nothing, number of elements, type; the name follows.
const PAIR: usize = 16;
/// `DATA_TYPE_NVLIST`.
const NVLIST: u32 = 19;
/// `DATA_TYPE_NVLIST_ARRAY`: no part of what is delegated.
const NVLIST_ARRAY: u32 = 20;
/// Datasets, who may do something, and what.
const DEPTH: usize = 3;

/// The delegations of `dataset` itself, packed as a list of its own; `None` if it has none. The error says what is
/// wrong with the bytes.
pub fn cut_out(packed: &[u8], dataset: &str) -> Result<Option<Vec<u8>>, &'static str> {
    let order = u8::from(cfg!(target_endian = "little"));
    match packed.get(..HEADER) {
        Some([0, found, ..]) if *found == order => {}
        _ => return Err("it is not packed as the kernel does it"),
    }
    let mut at = HEADER + LIST;
    while let Some(pair) = pair(packed, at)? {
        let end = if pair.is_list { end_of_list(packed, pair.end, DEPTH - 1)? } else { pair.end };
        if pair.name == dataset.as_bytes() && pair.is_list {
            let list = packed.get(pair.end..end).ok_or(SHORT)?;
            return Ok(Some([&packed[..HEADER + LIST], list].concat()));
        }
        at = end;
    }
    Ok(None)
}

const SHORT: &str = "it is cut short";

/// One pair of a list.
struct Pair<'a> {
    name: &'a [u8],
    is_list: bool,
    /// Where it ends; the list that it is begins there.
    end: usize,
}

/// The pair at `at`; `None` where the list ends.
fn pair(packed: &[u8], at: usize) -> Result<Option<Pair<'_>>, &'static str> {
    let size = parse_number(packed, at)? as usize;
    if size == 0 {
        return Ok(None);
    }
    let end = at.checked_add(size).filter(|end| *end <= packed.len()).ok_or(SHORT)?;
    let name_size = packed.get(at + 4..at + 6).ok_or(SHORT)?;
    let name_size = usize::from(u16::from_ne_bytes([name_size[0], name_size[1]]));
    let name = packed[..end].get(at + PAIR..at + PAIR + name_size).ok_or(SHORT)?;
    let kind = parse_number(packed, at + 12)?;
    if kind == NVLIST_ARRAY {
        return Err("it has a list of lists where there is none");
    }
    Ok(Some(Pair { name: name.strip_suffix(b"\0").unwrap_or(name), is_list: kind == NVLIST, end }))
}

/// Where the list within another ends whose pairs begin at `at`.
fn end_of_list(packed: &[u8], mut at: usize, depth: usize) -> Result<usize, &'static str> {
    while let Some(pair) = pair(packed, at)? {
        at = match (pair.is_list, depth.checked_sub(1)) {
            (false, _) => pair.end,
            (true, Some(depth)) => end_of_list(packed, pair.end, depth)?,
            (true, None) => return Err("its lists are too deep"),
        };
    }
    Ok(at + END)
}

fn parse_number(packed: &[u8], at: usize) -> Result<u32, &'static str> {
    let bytes = packed.get(at..).and_then(|rest| rest.first_chunk()).ok_or(SHORT)?;
    Ok(u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOLEAN: u32 = 1;

    fn pair(name: &str, kind: u32, value: usize) -> Vec<u8> {
        let name = [name.as_bytes(), b"\0"].concat();
        let value_at = (PAIR + name.len()).next_multiple_of(8);
        let size = u32::try_from(value_at + value).unwrap();
        let name_size = u16::try_from(name.len()).unwrap();
        let mut bytes = Vec::new();
        bytes.extend(size.to_ne_bytes());
        bytes.extend(name_size.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(u32::from(kind == NVLIST).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(name);
        bytes.resize(size as usize, 0);
        bytes
    }

    fn inner(name: &str, pairs: &[Vec<u8>]) -> Vec<u8> {
        [pair(name, NVLIST, 24), pairs.concat(), vec![0; END]].concat()
    }

    fn packed(pairs: &[Vec<u8>]) -> Vec<u8> {
        let header = [0, u8::from(cfg!(target_endian = "little")), 0, 0];
        let list = [0_u32.to_ne_bytes(), 1_u32.to_ne_bytes()].concat();
        [&header[..], &list, &pairs.concat(), &[0; END]].concat()
    }

    #[test]
    fn what_is_delegated_on_the_dataset_itself_is_cut_out() {
        let of_root =
            [inner("ul$1000", &[pair("snapshot", BOOLEAN, 0), pair("mount", BOOLEAN, 0)])];
        let of_pool = [inner("ed$", &[pair("send", BOOLEAN, 0)])];
        let all = packed(&[inner("tank/root", &of_root), inner("tank", &of_pool)]);
        assert_eq!(cut_out(&all, "tank/root"), Ok(Some(packed(&of_root))));
        assert_eq!(cut_out(&all, "tank"), Ok(Some(packed(&of_pool))));
        assert_eq!(cut_out(&all, "tank/roo"), Ok(None));
        assert_eq!(cut_out(&packed(&[]), "tank"), Ok(None));
    }

    #[test]
    fn no_damage_leads_beyond_its_end() {
        let of_root = [inner("ul$1000", &[pair("snapshot", BOOLEAN, 0)])];
        let all = packed(&[inner("tank/root", &of_root)]);
        for end in 0..all.len() {
            let _ = cut_out(&all[..end], "tank");
            for byte in [0, 1, 19, 20, 127, 255] {
                let mut damaged = all.clone();
                damaged[end] = byte;
                let _ = cut_out(&damaged, "tank/root");
            }
        }
        let deep = (0..9).fold(Vec::new(), |below, _| inner("x", &[below]));
        assert!(cut_out(&packed(&[deep]), "y").is_err());
    }
}
