//! What the catalogue says of a kept path itself: how it comes to its place, whether it is secret, needed early, or
//! what the machine is known by.

use dirfd::TreePath;

use crate::catalogue::catalogue_entry::CatalogueEntry;
use crate::catalogue::{Catalogue, Homes};
use crate::config::entry::PlacementMethod;

impl CatalogueEntry {
    /// How it comes to its place unless its entry in the configuration says so.
    pub(crate) fn how(&self) -> Option<PlacementMethod> {
        match (self.early, self.is_renamed_over()) {
            // A link into a storage that is not mounted yet leads nowhere.
            (true, _) => Some(PlacementMethod::Bind),
            (false, true) => Some(PlacementMethod::Symlink),
            (false, false) => None,
        }
    }
}

/// What is known of a path itself; `home` is the home that it is declared for, if that was said. Else `/root` and
/// each directory in `/home` count as homes: units are made where nobody can look into passwd(5).
///
/// Of what a user's own configuration adds to the catalogue nothing counts here: how a path is kept is said by its
/// entry.
pub(crate) fn find_known_path(
    path: &TreePath,
    home: Option<&TreePath>,
) -> Option<&'static CatalogueEntry> {
    let homes = home.map_or(Homes::Usual, |home| Homes::given([home]));
    let found = Catalogue::well_known().find_in_homes(path.as_bytes(), &homes)?;
    found.names_path.then_some(found.entry)
}

/// Parents that are not 0755 and root's: `/var/lib/private` at 0755 stops every service with a
/// dynamic user (systemd.exec(5)).
pub(crate) fn parent_mode(path: &TreePath) -> Option<u16> {
    match path.as_bytes() {
        b"var/lib/private" | b"var/cache/private" | b"var/log/private" | b"root" => Some(0o700),
        b"tmp" | b"var/tmp" => Some(0o1777),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_known_is_found_in_a_home_and_outside() {
        let alice = path("/home/alice");
        let key = find_known_path(&path("/etc/ssh/ssh_host_ed25519_key"), None).unwrap();
        assert!(key.is_secret() && key.how().is_none());
        assert!(find_known_path(&path("/etc/ssh/ssh_host_ed25519_key.pub"), None).is_none());
        assert!(
            find_known_path(&path("/home/alice/.ssh"), Some(&alice))
                .is_some_and(CatalogueEntry::is_secret)
        );
        for (plain, is_known) in [
            ("/home/alice/.ssh", true),
            ("/root/.zsh_history", true),
            ("/home/.ssh", false),
            ("/home/a/b/.ssh", false),
            ("/srv/alice/.ssh", false),
        ] {
            assert_eq!(find_known_path(&path(plain), None).is_some(), is_known, "{plain}");
        }
        assert!(find_known_path(&path("/home/alicea/.ssh"), Some(&alice)).is_none());
        assert_eq!(
            find_known_path(&path("/etc/machine-id"), None).unwrap().how(),
            Some(PlacementMethod::Bind)
        );
        for (name, how) in [
            (".local/share/fish/fish_history", Some(PlacementMethod::Symlink)),
            (".claude.json", Some(PlacementMethod::Symlink)),
            (".config/kwinrc", Some(PlacementMethod::Symlink)),
            (".config/sub/kwinrc", None),
            (".config/rc", None),
            (".config/google-chrome/Default/Preferences", Some(PlacementMethod::Symlink)),
            (".config/google-chrome/Profile 1/Bookmarks", Some(PlacementMethod::Symlink)),
            (".config/google-chrome/Default/deep/Preferences", None),
            (".bash_history", None),
            (".docker/config.json", None),
        ] {
            let known = find_known_path(&path(&format!("/home/alice/{name}")), Some(&alice));
            assert_eq!(known.and_then(CatalogueEntry::how), how, "{name}");
        }
    }
}
