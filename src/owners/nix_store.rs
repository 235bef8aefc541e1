//! The names of paths in the Nix store: `/nix/store/HASH-NAME-VERSION/…`. Pure.

/// The characters of the hash: Nix's base 32.
const HASH: &[u8] = b"0123456789abcdfghijklmnpqrsvwxyz";
/// How many of them there are.
const HASH_LENGTH: usize = 32;

/// What the store path that a link leads into is the result of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOwner<'a> {
    /// A package, by its name without version.
    Package(&'a [u8]),
    /// The unit that NixOS made a file for: store paths named `unit-NAME`.
    Unit(&'a [u8]),
}

/// Whose store path a link leads into; `None` if it leads elsewhere. `target` is as the link says it.
pub fn owner_of_target(target: &[u8]) -> Option<StoreOwner<'_>> {
    let entry = target.strip_prefix(b"/nix/store/")?.split(|&b| b == b'/').next()?;
    let (hash, name) = entry.split_at_checked(HASH_LENGTH)?;
    let name = name.strip_prefix(b"-").filter(|name| !name.is_empty())?;
    if !hash.iter().all(|byte| HASH.contains(byte)) {
        return None;
    }
    if let Some(unit) = name.strip_prefix(b"unit-").filter(|unit| unit.contains(&b'.')) {
        return Some(StoreOwner::Unit(unit));
    }
    Some(StoreOwner::Package(name_without_version(name)))
}

/// As `builtins.parseDrvName`: the version begins behind the first dash that no letter follows.
fn name_without_version(name: &[u8]) -> &[u8] {
    let dash = name.windows(2).position(|pair| pair[0] == b'-' && !pair[1].is_ascii_alphabetic());
    dash.filter(|&at| at > 0).map_or(name, |at| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STORE: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz";

    #[test]
    fn a_link_into_the_store_names_its_package_or_unit() {
        let owner = |rest: &str| format!("{STORE}{rest}");
        for (rest, expected) in [
            ("-openssh-9.6p1/bin/ssh", Some(StoreOwner::Package(b"openssh"))),
            ("-etc/etc/hosts", Some(StoreOwner::Package(b"etc"))),
            ("-gcc-wrapper-13.2.0", Some(StoreOwner::Package(b"gcc-wrapper"))),
            ("-unit-nginx.service/nginx.service", Some(StoreOwner::Unit(b"nginx.service"))),
            ("-unit-testing", Some(StoreOwner::Package(b"unit-testing"))),
            ("--1", Some(StoreOwner::Package(b"-1"))),
            ("-", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(owner_of_target(owner(rest).as_bytes()), expected, "{rest}");
        }
        for other in ["/nix/store/short-x", "nix/store/x", "/nix/var", "/nix/store/"] {
            assert_eq!(owner_of_target(other.as_bytes()), None, "{other}");
        }
        let odd = format!("/nix/store/{}-x", "e".repeat(32));
        assert_eq!(owner_of_target(odd.as_bytes()), None, "`e` is no digit of the hash");
    }

    proptest! {
        #[test]
        fn any_name_has_an_owner_that_is_part_of_it(name in proptest::collection::vec(any::<u8>(), 1..60)) {
            let target = [STORE.as_bytes(), b"-", &name].concat();
            if let Some(StoreOwner::Package(owner) | StoreOwner::Unit(owner)) = owner_of_target(&target) {
                prop_assert!(!owner.is_empty() && owner.len() <= name.len());
            }
        }
    }
}
