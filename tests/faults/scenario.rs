//! What a keep list may meet: both sides before, and what is asked for.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use rustix::fs::{IFlags, XattrFlags, ioctl_setflags};
use support::names;

/// One story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Nothing is there, on either side.
    Fresh,
    /// A directory of live is moved into a storage that has other data of it.
    AdoptDir,
    /// The same for a file.
    AdoptFile,
    /// The place is as in blank, and storage has nothing.
    Seed,
    /// A program has renamed a file over its link.
    ReplacedLink,
    /// What storage has belongs to another owner, with another mode.
    Enforced,
    /// A mount is there, with other options.
    Options,
    /// A link is there, and a mount is declared.
    LinkToBind,
    /// An empty place is there, and a link is declared.
    PlaceToLink,
    /// An empty place is there, of somebody's, and storage has nothing.
    LikeLive,
}

/// In every list but the fresh one: what comes before and after all others.
macro_rules! lists {
    ($dirs:literal, $files:literal) => {
        concat!("directories = [\"/a\", \"/z/y/w\", ", $dirs, "]\nfiles = [", $files, "]\n")
    };
}

impl Scenario {
    pub const ALL: [Self; 10] = [
        Self::Fresh,
        Self::AdoptDir,
        Self::AdoptFile,
        Self::Seed,
        Self::ReplacedLink,
        Self::Enforced,
        Self::Options,
        Self::LinkToBind,
        Self::PlaceToLink,
        Self::LikeLive,
    ];

    /// The keep list.
    pub fn lists(self) -> &'static str {
        match self {
            Self::Fresh => {
                "directories = [{ path = \"/srv/app\", user = \"alice\", group = \"alice\", mode = \
                 \"0750\" }]\nfiles = [{ path = \"/var/lib/new/f\", create = true, mode = \"0640\" \
                 }, { path = \"/etc/linked\", how = \"symlink\" }]\n[storage.users.alice]\n\
                 directories = [\".config/app\"]\n"
            }
            Self::AdoptDir => lists!("{ path = \"/srv/app\", options = [\"noexec\"] }", ""),
            Self::Seed => lists!("{ path = \"/srv/app\", user = \"alice\" }", ""),
            Self::AdoptFile => lists!("", "\"/var/lib/f\""),
            Self::ReplacedLink => lists!("", "{ path = \"/var/lib/f\", how = \"symlink\" }"),
            Self::Enforced => lists!(
                "{ path = \"/srv/app\", user = \"alice\", mode = \"0700\" }",
                "{ path = \"/var/lib/f\", user = \"alice\", mode = \"4755\", how = \"bind\" }"
            ),
            Self::Options => {
                lists!("{ path = \"/srv/app\", options = [\"noexec\"], hide_mounts = true }", "")
            }
            Self::LinkToBind => lists!("{ path = \"/srv/app\", mode = \"0700\" }", ""),
            Self::PlaceToLink => lists!("{ path = \"/srv/app\", how = \"symlink\" }", ""),
            Self::LikeLive => lists!("\"/srv/app\"", ""),
        }
    }

    /// The list that was in force before.
    pub fn lists_before(self) -> Option<&'static str> {
        (self == Self::Options).then_some(lists!("\"/srv/app\"", ""))
    }

    /// The paths of the list.
    pub fn entries(self) -> impl Iterator<Item = &'static str> {
        let own: &[&str] = match self {
            Self::Fresh => &["srv/app", "var/lib/new/f", "etc/linked", "home/alice/.config/app"],
            Self::AdoptFile | Self::ReplacedLink => &["a", "z/y/w", "var/lib/f"],
            Self::Enforced => &["a", "z/y/w", "srv/app", "var/lib/f"],
            _ => &["a", "z/y/w", "srv/app"],
        };
        own.iter().copied()
    }

    /// Whether data of live is to be moved into storage.
    pub fn adopts(self) -> bool {
        matches!(self, Self::AdoptDir | Self::AdoptFile | Self::ReplacedLink)
    }

    /// Whether what was seen may be out of sight until the next run, if the process dies.
    pub fn may_go_out_of_sight(self) -> bool {
        self == Self::LinkToBind
    }

    /// What programs that look at mounts are told.
    pub fn announces(self) -> impl Iterator<Item = &'static str> {
        (self == Self::Options).then_some("x-gvfs-hide").into_iter()
    }

    /// What blank has, and live with it.
    pub fn fill_blank(self, live: &Path) {
        match self {
            Self::Seed => tree(&live.join("srv/app"), b"as shipped"),
            Self::PlaceToLink => fs::create_dir(live.join("srv/app")).unwrap(),
            _ => {}
        }
    }

    /// What only live has, and what storage has.
    pub fn fill(self, live: &Path, store: &Path) {
        if self == Self::Fresh {
            return;
        }
        for (path, content) in [("a", "first"), ("z/y/w", "last")] {
            fs::create_dir_all(store.join(path)).unwrap();
            fs::write(store.join(path).join("data"), content).unwrap();
        }
        let (app, file) = (Path::new("srv/app"), Path::new("var/lib/f"));
        for dir in ["srv", "var/lib"] {
            fs::create_dir_all(store.join(dir)).unwrap();
        }
        match self {
            Self::AdoptDir => tree(&live.join(app), b"of live"),
            Self::AdoptFile => fs::write(live.join(file), names::content(3, 600_000)).unwrap(),
            Self::ReplacedLink => fs::write(live.join(file), "of live").unwrap(),
            Self::LinkToBind => symlink("../persist/srv/app", live.join(app)).unwrap(),
            Self::LikeLive => empty_of_alice(&live.join(app)),
            _ => {}
        }
        match self {
            Self::Fresh | Self::Seed | Self::LikeLive => {}
            Self::AdoptFile | Self::ReplacedLink => {
                fs::write(store.join(file), "of storage").unwrap();
            }
            _ => tree(&store.join(app), b"of storage"),
        }
        if self == Self::Enforced {
            fs::write(store.join(file), "a program").unwrap();
            mode(&store.join(file), 0o4755);
        }
    }
}

/// A directory with a bit of everything.
fn tree(dir: &Path, content: &[u8]) {
    fs::create_dir(dir).unwrap();
    let odd = dir.join(std::ffi::OsStr::from_bytes(b"a b\n\xff"));
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("file"), content).unwrap();
    fs::hard_link(odd.join("file"), dir.join("second name")).unwrap();
    symlink("nowhere", dir.join("dangling")).unwrap();
    nix::unistd::mkfifo(&dir.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    rustix::fs::setxattr(odd.join("file"), "user.test", b"x", XattrFlags::empty()).unwrap();
    chown(odd.join("file"), Some(1000), Some(1000)).unwrap();
    mode(&odd, 0o711);
}

fn empty_of_alice(dir: &Path) {
    fs::create_dir(dir).unwrap();
    rustix::fs::setxattr(dir, "user.test", b"x", XattrFlags::empty()).unwrap();
    ioctl_setflags(fs::File::open(dir).unwrap(), IFlags::NOATIME).unwrap();
    chown(dir, Some(1000), Some(1000)).unwrap();
    mode(dir, 0o710);
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
