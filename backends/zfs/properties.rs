//! What a fresh copy has to have beside its content: the properties that were set on live.

use super::commands::{self, Property};
use super::name::ZfsName;
use crate::error::Result;
use crate::survey::TreeId;

/// Where our own properties are; zfsprops(7), "User Properties".
const OURS: &str = "blankroot:";
/// How much counts as written in a clone in which nothing was.
const FRESH: &str = "blankroot:fresh";
/// Which dataset a copy was made to replace: a half-done exchange is told by it, without a key.
const REPLACES: &str = "blankroot:replaces";
/// What a clone has from its origin and cannot be given.
const FROM_ORIGIN: &[&str] = &["encryption", "keyformat", "keylocation", "pbkdf2iters"];
/// What two datasets must not have at the same time, and what it is while they both would: room that is
/// set apart would be so twice, and both would be mounted at one place.
const ONCE: &[(&str, &str)] =
    &[("reservation", "none"), ("refreservation", "none"), ("canmount", "noauto")];

/// What is to be done about the properties of live when a fresh copy takes its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// For the fresh copy.
    pub copy: Vec<Property>,
    /// For live before it is set aside.
    pub aside: Vec<Property>,
}

/// Decides it from live's own properties. `is_mounted_by_itself` tells whether ZFS would mount a dataset
/// with these.
pub fn carry(own: &[Property], is_mounted_by_itself: bool) -> Carried {
    let mut carried = Carried::default();
    let mut withheld = Vec::new();
    let value_of = |wanted: &str| own.iter().find(|(name, _)| name == wanted).map(|(_, v)| v);
    for (once, _) in ONCE {
        let waits = match (value_of(&format!("{OURS}{once}")), value_of(once)) {
            // An interrupted run withheld it from live, which is still to have it.
            (Some(value), _) => Some(value.clone()),
            (None, set) if *once == "canmount" => match set {
                None => is_mounted_by_itself.then(|| b"on".to_vec()),
                Some(value) => Some(value.clone()).filter(|_| is_mounted_by_itself),
            },
            (None, set) => set.cloned(),
        };
        withheld.extend(waits.map(|value| (once.to_string(), value)));
    }
    for (name, value) in own {
        let waits = withheld.iter().any(|(once, _)| once == name);
        if !waits && !FROM_ORIGIN.contains(&name.as_str()) && !name.starts_with(OURS) {
            carried.copy.push((name.clone(), value.clone()));
        }
    }
    for (name, value) in withheld {
        let meanwhile = ONCE.iter().find(|(once, _)| *once == name).map_or("none", |once| once.1);
        let ours = (format!("{OURS}{name}"), value);
        let meanwhile = (name, meanwhile.as_bytes().to_vec());
        carried.aside.extend([meanwhile.clone(), ours.clone()]);
        if meanwhile.0 == "canmount" {
            carried.copy.push(meanwhile);
        }
        carried.copy.push(ours);
    }
    carried
}

/// Reads live's properties, and decides what becomes of them.
pub fn of_live(live: &ZfsName) -> Result<Carried> {
    let own = commands::own_properties(live)?;
    let is_place = |value: &[u8]| !matches!(value, b"legacy" | b"none" | b"-");
    let own_place = own.iter().any(|(name, value)| name == "mountpoint" && is_place(value));
    // Where the place is inherited, a copy among the old roots has none.
    let is_mounted = own_place && commands::value("canmount", live)? == b"on";
    Ok(carry(&own, is_mounted))
}

/// What a copy is told of the tree that it will replace.
pub fn replaces(live: &TreeId) -> Property {
    (REPLACES.to_string(), live.as_str().as_bytes().to_vec())
}

/// Remembers what counts as written in `name`, in which nothing was since it was made from blank: of a
/// snapshot of a mounted dataset a clone has the intent log's header, which ZFS clears with a block of its own
/// (`dsl_dataset_zero_zil` of module/zfs/dsl_dataset.c).
pub fn remember_fresh(name: &ZfsName, blank: &ZfsName) -> Result<()> {
    let rows = commands::look(&[name], blank)?;
    match rows.first().and_then(|row| row.written) {
        Some(bytes) if bytes > 0 => {
            commands::set(name, &[(FRESH.to_string(), bytes.to_string().into_bytes())])
        }
        Some(_) | None => Ok(()),
    }
}

/// Gives live what was withheld while there were two of it. What is not withheld stays as it is.
pub fn give_back(live: &ZfsName) -> Result<()> {
    for (name, value) in commands::own_properties(live)? {
        let Some(once) = name.strip_prefix(OURS) else { continue };
        if ONCE.iter().any(|(known, _)| *known == once) {
            commands::set(live, &[(once.to_string(), value)])?;
            commands::inherit(&name, live)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(list: &[(&str, &str)]) -> Vec<Property> {
        list.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn what_was_set_goes_to_the_copy_and_what_can_be_there_once_waits() {
        let live = own(&[
            ("mountpoint", "legacy"),
            ("compression", "zstd-3"),
            ("keylocation", "prompt"),
            ("refreservation", "1048576"),
            ("com.sun:auto-snapshot", "a\nb"),
        ]);
        let carried = carry(&live, false);
        let expected = own(&[
            ("mountpoint", "legacy"),
            ("compression", "zstd-3"),
            ("com.sun:auto-snapshot", "a\nb"),
            ("blankroot:refreservation", "1048576"),
        ]);
        assert_eq!(carried.copy, expected);
        let aside = own(&[("refreservation", "none"), ("blankroot:refreservation", "1048576")]);
        assert_eq!(carried.aside, aside);
    }

    #[test]
    fn two_datasets_are_never_mounted_at_one_place() {
        for live in [own(&[("mountpoint", "/"), ("canmount", "on")]), own(&[("mountpoint", "/")])] {
            let carried = carry(&live, true);
            let waits = own(&[("canmount", "noauto"), ("blankroot:canmount", "on")]);
            assert_eq!(carried.aside, waits);
            assert_eq!(carried.copy, [own(&[("mountpoint", "/")]), waits].concat());
        }
        let live = own(&[("mountpoint", "/"), ("canmount", "noauto")]);
        assert_eq!(carry(&live, false), Carried { copy: live, aside: Vec::new() });
    }

    #[test]
    fn what_an_interrupted_run_withheld_is_not_forgotten() {
        let live = own(&[
            ("mountpoint", "/"),
            ("canmount", "noauto"),
            ("blankroot:canmount", "on"),
            ("reservation", "0"),
            ("blankroot:reservation", "7"),
        ]);
        let carried = carry(&live, false);
        let ours = |name: &str| {
            let found = carried.copy.iter().find(|(other, _)| other == name);
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        assert_eq!(ours("blankroot:canmount").as_deref(), Some("on"));
        assert_eq!(ours("canmount").as_deref(), Some("noauto"));
        let reservations: Vec<_> =
            carried.copy.iter().filter(|(name, _)| name.ends_with("reservation")).collect();
        assert!(reservations.iter().any(|(_, value)| value == b"7"), "{reservations:?}");
    }
}
