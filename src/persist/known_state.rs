//! State that is known by name: what it is, what only its owner may see, what programs replace by a
//! rename, and what has to be there early. As data, so that a line is all that a new one takes.

use dirfd::TreePath;

use crate::config::entry::PlacementMethod;

/// What is known of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownPath {
    /// `/…` on the machine or `~/…` in a home; one component may have one `*`.
    pub(crate) pattern: &'static str,
    /// What it is, in a few words.
    pub(crate) what: &'static str,
    /// Only its owner may look into it: 0700 for a directory, 0600 for a file.
    pub(crate) secret: bool,
    /// Its program writes a new file and renames it over the old one, which fails on a bound file.
    pub(crate) renamed_over: bool,
    /// What the machine is known by: what it has now is what it keeps.
    pub(crate) identity: bool,
    /// It is needed before the root's own units run.
    pub(crate) early: bool,
}

impl KnownPath {
    /// How it comes to its place unless its entry says so.
    pub(crate) fn how(&self) -> Option<PlacementMethod> {
        match (self.early, self.renamed_over) {
            // A link into a storage that is not mounted yet leads nowhere.
            (true, _) => Some(PlacementMethod::Bind),
            (false, true) => Some(PlacementMethod::Symlink),
            (false, false) => None,
        }
    }
}

const fn known(pattern: &'static str, what: &'static str) -> KnownPath {
    KnownPath { pattern, what, secret: false, renamed_over: false, identity: false, early: false }
}

const fn secret(pattern: &'static str, what: &'static str) -> KnownPath {
    KnownPath { secret: true, ..known(pattern, what) }
}

const fn early(pattern: &'static str, what: &'static str) -> KnownPath {
    KnownPath { early: true, ..known(pattern, what) }
}

const fn renamed_over(pattern: &'static str, what: &'static str) -> KnownPath {
    KnownPath { renamed_over: true, ..known(pattern, what) }
}

const fn secret_renamed_over(pattern: &'static str, what: &'static str) -> KnownPath {
    KnownPath { secret: true, ..renamed_over(pattern, what) }
}

/// All of it. The first that names a path counts.
pub(crate) const ALL: &[KnownPath] = &[
    KnownPath {
        identity: true,
        ..early("/etc/machine-id", "the machine's identity; each boot's journal is kept under it")
    },
    early("/var/log", "the logs, and the journal from the first moment on"),
    early("/var/log/journal", "the journal"),
    early("/var/lib/nixos", "the numbers of users and groups that NixOS gave out"),
    early("/var/lib/systemd", "the state of systemd: random seed, timers, clock"),
    secret("/etc/ssh/ssh_host_*_key", "a private host key"),
    secret("/etc/NetworkManager/system-connections", "networks with their passwords"),
    secret("/etc/wireguard", "private keys of networks"),
    secret("/etc/cryptsetup-keys.d", "the keys of encrypted disks"),
    secret("/var/lib/bluetooth", "the keys of paired devices"),
    secret("/var/lib/iwd", "networks with their passwords"),
    secret("/var/lib/sops-nix", "the key to the machine's secrets"),
    secret("/var/lib/tailscale", "the machine's key to its network"),
    secret("~/.ssh", "private keys"),
    secret("~/.gnupg", "private keys"),
    secret("~/.password-store", "passwords"),
    secret("~/.local/share/keyrings", "the keyring"),
    secret("~/.local/share/kwalletd", "the wallet"),
    secret("~/.aws", "keys to a cloud"),
    secret("~/.kube", "keys to clusters"),
    secret("~/.netrc", "passwords"),
    secret("~/.config/sops", "the key to secrets"),
    KnownPath { secret: true, ..renamed_over("/etc/shadow", "the hashes of passwords") },
    KnownPath { secret: true, ..renamed_over("/etc/gshadow", "the hashes of passwords of groups") },
    renamed_over("/etc/passwd", "the list of users"),
    renamed_over("/etc/group", "the list of groups"),
    renamed_over("/etc/subuid", "the ranges of numbers of users"),
    renamed_over("/etc/subgid", "the ranges of numbers of groups"),
    renamed_over("/etc/hostname", "the machine's name, as hostnamectl writes it"),
    renamed_over("/etc/machine-info", "the machine's description, as hostnamectl writes it"),
    renamed_over("/etc/locale.conf", "the locale, as localectl writes it"),
    renamed_over("/etc/vconsole.conf", "the keyboard, as localectl writes it"),
    renamed_over("/etc/blankroot.toml", "this configuration"),
    // Each of these writes a temporary file and renames it, by its source, or fails with EBUSY in reports
    // of people who mounted it. `~/.bash_history` and `~/.docker/config.json` are not among them: readline,
    // and docker before 2024 (docker/cli#5281), rename to the text of a link as it stands, from the
    // working directory, so that what they write is lost.
    renamed_over("~/.config/fish/fish_variables", "universal variables of the fish shell"),
    renamed_over("~/.local/share/fish/*_history", "the history of the fish shell"),
    secret_renamed_over("~/.claude.json", "state and sign-in of Claude Code"),
    renamed_over("~/.ssh/known_hosts", "the keys of known hosts, as ssh updates them"),
    renamed_over("~/.config/git/config", "the configuration of git"),
    renamed_over("~/.config/dconf/user", "the settings of GNOME and GTK programs"),
    // KConfig writes through QSaveFile.
    renamed_over("~/.config/kdeglobals", "the settings of all KDE programs"),
    renamed_over("~/.config/k*rc", "the settings of a KDE program"),
    renamed_over("~/.config/plasma*rc", "the settings of Plasma"),
    renamed_over("~/.config/dolphinrc", "the settings of Dolphin"),
    renamed_over("~/.config/okularrc", "the settings of Okular"),
    renamed_over("~/.config/gwenviewrc", "the settings of Gwenview"),
    renamed_over("~/.config/baloofilerc", "the settings of Baloo"),
    // ImportantFileWriter of Chromium and of what is made of it.
    renamed_over("~/.config/chromium/Local State", "the state of Chromium"),
    renamed_over("~/.config/chromium/*/Preferences", "the settings of Chromium"),
    renamed_over("~/.config/chromium/*/Secure Preferences", "the settings of Chromium"),
    renamed_over("~/.config/chromium/*/Bookmarks", "the bookmarks of Chromium"),
    renamed_over("~/.config/google-chrome/Local State", "the state of Chrome"),
    renamed_over("~/.config/google-chrome/*/Preferences", "the settings of Chrome"),
    renamed_over("~/.config/google-chrome/*/Secure Preferences", "the settings of Chrome"),
    renamed_over("~/.config/google-chrome/*/Bookmarks", "the bookmarks of Chrome"),
    renamed_over("~/.config/BraveSoftware/Brave-Browser/Local State", "the state of Brave"),
    renamed_over("~/.config/BraveSoftware/Brave-Browser/*/Preferences", "the settings of Brave"),
    renamed_over("~/.config/BraveSoftware/Brave-Browser/*/Bookmarks", "the bookmarks of Brave"),
    secret_renamed_over("/etc/wpa_supplicant.conf", "networks with their passwords"),
    secret_renamed_over("/etc/wpa_supplicant/*.conf", "networks with their passwords"),
    renamed_over("/etc/cups/printers.conf", "the printers, as cups writes them"),
    renamed_over("/etc/cups/classes.conf", "the classes of printers, as cups writes them"),
    renamed_over("~/.zsh_history", "the history of zsh"),
    renamed_over("~/.config/mimeapps.list", "which program opens what"),
    renamed_over("~/.config/user-dirs.dirs", "the names of standard directories"),
    renamed_over("~/.config/user-dirs.locale", "the language of standard directories"),
    renamed_over("~/.gitconfig", "the configuration of git"),
    renamed_over("~/.config/monitors.xml", "the layout of screens"),
    renamed_over("~/.local/share/recently-used.xbel", "recent documents"),
    renamed_over("~/.local/share/user-places.xbel", "bookmarks of file managers"),
];

/// What is known of a path; `home` is the home that it is declared for, if that was said. Else `/root` and
/// each directory in `/home` count as homes: units are made where nobody can look into passwd(5).
pub(crate) fn find_known_path(
    path: &TreePath,
    home: Option<&TreePath>,
) -> Option<&'static KnownPath> {
    let below_home = match home {
        Some(home) => {
            let rest = path.as_bytes().strip_prefix(home.as_bytes());
            rest.and_then(|rest| rest.strip_prefix(b"/"))
        }
        None => below_usual_home(path),
    };
    ALL.iter().find(|known| match (known.pattern.strip_prefix("~/"), below_home) {
        (Some(pattern), Some(below)) => matches_pattern(pattern, below),
        (Some(_), None) => false,
        (None, _) => matches_pattern(&known.pattern[1..], path.as_bytes()),
    })
}

fn below_usual_home(path: &TreePath) -> Option<&[u8]> {
    if let Some(below) = path.as_bytes().strip_prefix(b"root/") {
        return Some(below);
    }
    let user = path.as_bytes().strip_prefix(b"home/")?;
    let end = user.iter().position(|&b| b == b'/')?;
    user.get(end + 1..)
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

fn matches_pattern(pattern: &str, path: &[u8]) -> bool {
    let Some((start, end)) = pattern.split_once('*') else { return pattern.as_bytes() == path };
    path.strip_prefix(start.as_bytes())
        .and_then(|rest| rest.strip_suffix(end.as_bytes()))
        .is_some_and(|between| !between.contains(&b'/'))
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
        assert!(key.secret && key.how().is_none());
        assert!(find_known_path(&path("/etc/ssh/ssh_host_ed25519_key.pub"), None).is_none());
        assert!(
            find_known_path(&path("/home/alice/.ssh"), Some(&alice))
                .is_some_and(|known| known.secret)
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
            assert_eq!(known.and_then(KnownPath::how), how, "{name}");
        }
    }

    #[test]
    fn every_pattern_is_a_clean_path_that_finds_itself() {
        let root = path("/root");
        for known in ALL {
            let place = known.pattern.replace("~/", "/root/").replace('*', "x");
            assert_eq!(find_known_path(&path(&place), Some(&root)), Some(known), "{place}");
        }
    }
}
