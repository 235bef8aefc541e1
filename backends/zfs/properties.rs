//! What a fresh copy has to have beside its content: the properties that were set on live.

use dirfd::Result;

use crate::TreeId;
use crate::zfs::commands::{self, Property};
use crate::zfs::dataset_name::ZfsName;
use crate::zfs::output::Pool;

/// Where our own properties are; zfsprops(7), "User Properties".
const OURS: &str = "blankroot:";
/// How much counts as written in a clone in which nothing was.
const FRESH: &str = "blankroot:fresh";
/// Which dataset a copy was made to replace: a half-done exchange is told by it, without a key.
const REPLACES: &str = "blankroot:replaces";
/// In the place of such a dataset; none has this guid.
pub const UNFINISHED: u64 = 0;
/// What a clone has from its origin and cannot be given, and what is no setting but a count, which
/// `zfs get` shows as one that was made (`PROP_READONLY` of module/zcommon/zfs_prop.c).
const NEVER_SET: &[&str] = &[
    "encryption",
    "keyformat",
    "keylocation",
    "pbkdf2iters",
    "filesystem_count",
    "snapshot_count",
    "snapshots_changed",
];
/// What two datasets must not have at the same time, and what it is while they both would: room that is
/// set apart would be so twice, and both would be mounted at one place.
const ONCE: &[(&str, &str)] =
    &[("reservation", "none"), ("refreservation", "none"), ("canmount", "noauto")];

/// What makes a boot environment of a dataset: boot menus offer what is to be mounted at `/`, and
/// ZFSBootMenu what it is told to, too. An old root has neither, and remembers both.
const OFFERED: [(&str, &str); 2] = [("mountpoint", "legacy"), ("org.zfsbootmenu:active", "off")];
/// That something of this is withheld; a list can show it, whatever the values are.
const HIDDEN: &str = "blankroot:hidden";

/// What is to be done about the properties of live when a fresh copy takes its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// For the fresh copy.
    pub copy: Vec<Property>,
    /// For live before it is set aside.
    pub aside: Vec<Property>,
    /// For what was live, once the copy has its name.
    pub old_root: Vec<Property>,
}

/// Decides it from live's own properties. `is_mounted_by_itself` tells whether ZFS would mount a dataset
/// with these.
pub fn carry_over(own: &[Property], is_mounted_by_itself: bool) -> Carried {
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
        let is_ours = name.starts_with(OURS) && name != FRESH;
        if !waits && !is_ours && !NEVER_SET.contains(&name.as_str()) {
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
    carried.old_root = hidden_by_default(own);
    carried
}

/// What an old root gets instead of what would make a boot menu offer it.
fn hidden_by_default(own: &[Property]) -> Vec<Property> {
    let offers = |name: &str, value: &[u8]| match name {
        "mountpoint" => value.starts_with(b"/"),
        _ => value == b"on",
    };
    let mut hidden = Vec::new();
    for (name, instead) in OFFERED {
        if let Some((_, value)) = own.iter().find(|(own, value)| own == name && offers(own, value))
        {
            hidden.push((name.to_string(), instead.as_bytes().to_vec()));
            hidden.push((format!("{OURS}{name}"), value.clone()));
        }
    }
    if !hidden.is_empty() {
        hidden.push((HIDDEN.to_string(), b"on".to_vec()));
    }
    hidden
}

/// What hides what was live from boot menus; nothing where somebody has it mounted: another mount point
/// unmounts it.
pub fn to_hide(old_root: &ZfsName, pool: &Pool) -> Result<Vec<Property>> {
    let hidden = hidden_by_default(&own(old_root, pool)?);
    let leave = hidden.is_empty() || commands::value("mounted", old_root)? == b"yes";
    Ok(if leave { Vec::new() } else { hidden })
}

/// The properties that were set on a dataset, as they were set.
fn own(name: &ZfsName, pool: &Pool) -> Result<Vec<Property>> {
    let mut own = commands::own_properties(name)?;
    if let Some(altroot) = &pool.altroot {
        for (_, place) in own.iter_mut().filter(|(name, _)| name == "mountpoint") {
            *place = without_altroot(place, altroot.as_bytes());
        }
    }
    Ok(own)
}

/// Reads live's properties, and decides what becomes of them.
pub fn of_live(live: &ZfsName, pool: &Pool) -> Result<Carried> {
    let own = own(live, pool)?;
    let is_place = |value: &[u8]| !matches!(value, b"legacy" | b"none" | b"-");
    let own_place = own.iter().any(|(name, value)| name == "mountpoint" && is_place(value));
    // Where the place is inherited, a copy among the old roots has none.
    let is_mounted = own_place && commands::value("canmount", live)? == b"on";
    Ok(carry_over(&own, is_mounted))
}

/// A mount point as it is set: it is shown with the pool's altroot before it.
fn without_altroot(place: &[u8], altroot: &[u8]) -> Vec<u8> {
    let altroot = altroot.strip_suffix(b"/").unwrap_or(altroot);
    match place.strip_prefix(altroot) {
        Some(rest) if rest.iter().all(|&byte| byte == b'/') => b"/".to_vec(),
        // Of an altroot with a slash at its end, one is shown too many.
        Some(rest) if rest.starts_with(b"//") => rest[1..].to_vec(),
        Some(rest) if rest.starts_with(b"/") => rest.to_vec(),
        Some(_) | None => place.to_vec(),
    }
}

/// What a copy is told of the tree that it will replace.
pub fn replaces(live: &TreeId) -> Property {
    (REPLACES.to_string(), live.as_str().as_bytes().to_vec())
}

/// What a copy is told instead for as long as it lacks something.
pub fn mark_unfinished() -> Property {
    (REPLACES.to_string(), UNFINISHED.to_string().into_bytes())
}

/// Whether these tell what counts as written in a copy in which nothing was: live was such a copy once, and each
/// of one blank costs the same.
pub fn tell_cost(properties: &[Property]) -> bool {
    properties.iter().any(|(name, _)| name == FRESH)
}

/// What counts as written in `name`, in which nothing was since it was made from blank: of a snapshot of a mounted
/// dataset a clone has the intent log's header, which ZFS clears with a block of its own (`dsl_dataset_zero_zil`
/// of module/zfs/dsl_dataset.c). `None` where it is noted already.
pub fn cost_of_copy(name: &ZfsName, blank: &ZfsName) -> Result<Option<Property>> {
    let rows = commands::look(&[name], blank)?;
    let (bytes, noted) =
        rows.first().map_or((0, None), |row| (row.written.unwrap_or(0), row.fresh));
    let note = (FRESH.to_string(), bytes.to_string().into_bytes());
    Ok(Some(note).filter(|_| noted != Some(bytes)))
}

/// Gives live what was withheld while there were two of it. What is not withheld stays as it is.
pub fn give_back(live: &ZfsName) -> Result<()> {
    let own = commands::own_properties(live)?;
    // `canmount` comes last: with it, a new mount point would be mounted.
    for (withheld, _) in OFFERED.iter().chain(ONCE) {
        let ours = format!("{OURS}{withheld}");
        if let Some((_, value)) = own.iter().find(|(name, _)| *name == ours) {
            commands::set(live, &[(withheld.to_string(), value.clone())])?;
            commands::inherit(&ours, live)?;
        }
    }
    match own.iter().any(|(name, _)| name == HIDDEN) {
        true => commands::inherit(HIDDEN, live),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(list: &[(&str, &str)]) -> Vec<Property> {
        list.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
    }

    /// What an old root gets that was mounted at `/`.
    fn no_menu() -> Vec<Property> {
        own(&[("mountpoint", "legacy"), ("blankroot:mountpoint", "/"), ("blankroot:hidden", "on")])
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
        let carried = carry_over(&live, false);
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
    fn a_count_is_no_setting_and_an_altroot_no_part_of_a_mount_point() {
        let live =
            own(&[("filesystem_limit", "9"), ("filesystem_count", "2"), ("snapshot_count", "0")]);
        assert_eq!(carry_over(&live, false).copy, own(&[("filesystem_limit", "9")]));
        for (shown, altroot, set) in [
            ("/mnt", "/mnt", "/"),
            ("/mnt/home", "/mnt", "/home"),
            ("/mnt2", "/mnt", "/mnt2"),
            ("legacy", "/mnt", "legacy"),
            ("/home", "/", "/home"),
            ("/mnt//home", "/mnt/", "/home"),
            ("/mnt/", "/mnt/", "/"),
        ] {
            let found = without_altroot(shown.as_bytes(), altroot.as_bytes());
            assert_eq!(String::from_utf8_lossy(&found), set, "{shown} with {altroot}");
        }
    }

    #[test]
    fn two_datasets_are_never_mounted_at_one_place() {
        for live in [own(&[("mountpoint", "/"), ("canmount", "on")]), own(&[("mountpoint", "/")])] {
            let carried = carry_over(&live, true);
            let waits = own(&[("canmount", "noauto"), ("blankroot:canmount", "on")]);
            assert_eq!(carried.aside, waits);
            assert_eq!(carried.old_root, no_menu());
            assert_eq!(carried.copy, [own(&[("mountpoint", "/")]), waits].concat());
        }
        let live = own(&[("mountpoint", "/"), ("canmount", "noauto")]);
        let (copy, aside) = (live.clone(), Vec::new());
        assert_eq!(carry_over(&live, false), Carried { copy, aside, old_root: no_menu() });
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
        let carried = carry_over(&live, false);
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
