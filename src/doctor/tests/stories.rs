//! One story for each check.

use dirfd::TreeName;

use crate::boot::fstab::{FstabMount, Survival};
use crate::boot::kernels::Kernel;
use crate::boot::swap_files::SwapFile;
use crate::doctor::finding::Severity::{self, Danger, Note, Warning};
use crate::doctor::machine_facts::*;
use crate::doctor::shadow::Shadow;
use crate::doctor::tests::{Change, NODE, PASSWD, SHADOW, entries, path, people};
use crate::persist::real_path::LinkOnTheWay;

/// One check: what lets it fire, what is said then, and what leaves it silent.
pub(crate) struct Story(pub &'static str, pub Severity, pub Change, pub &'static str, pub Change);

pub(crate) fn after(facts: &mut Facts) -> &mut People {
    facts.after.as_mut().unwrap()
}

pub(crate) fn shadow(facts: &mut Facts, text: &str) {
    after(facts).shadow = Shadow::parse(text.as_bytes());
}

fn blank(facts: &mut Facts) -> &mut BlankFacts {
    facts.blank.as_mut().unwrap()
}

pub(crate) fn storage(facts: &mut Facts) -> &mut StorageFacts {
    &mut facts.storages[0]
}

fn key(facts: &mut Facts, user: &str) {
    after(facts).keys.insert(user.to_string(), path("/root/.ssh/authorized_keys"));
}

pub(crate) fn kernel(release: &str, now: bool, after: bool) -> Kernel {
    let (release, what) = (release.to_string(), "the kernel /boot/vmlinuz".to_string());
    Kernel { release, what, now, after }
}

fn tree(name: &str) -> TreeName {
    TreeName::new(name).unwrap()
}

fn swap(is_there: bool) -> SwapFile {
    SwapFile { path: path("/swap file"), in_use: is_there, is_there }
}

/// The entry of /etc/app.conf, declared anew with these options.
pub(crate) fn file(facts: &mut Facts, options: &str, target: Target) {
    let list = format!("files = [{{ path = \"/etc/machine-info\", {options} }}]");
    facts.entries = entries(&list);
    facts.entries[0].target = Some(target);
}

/// What fstab mounts at /etc/passwd, which is not the data in storage.
fn by_fstab(facts: &mut Facts, survival: Survival) {
    file(facts, "how = \"bind\"", Target::OtherMount);
    let mount = FstabMount { line: 3, point: path("/etc/machine-info"), survival };
    facts.by_fstab.insert(path("/etc/machine-info"), mount);
}

fn pair(what: &str) -> (String, String) {
    (what.to_string(), "correct it".to_string())
}

pub(crate) const STORIES: &[Story] = &[
    Story(
        "root-by-number",
        Danger,
        |f| f.root.numbers.push(pair("line 1 of /etc/fstab mounts the root by its number")),
        "by its number",
        |_| {},
    ),
    Story(
        "other-root",
        Danger,
        |f| f.root.other = Some(pair("line 1 of /etc/fstab mounts the subvolume `@`")),
        "mounts the subvolume `@`",
        |_| {},
    ),
    Story(
        "blank-unrelated",
        Danger,
        |f| f.root.unrelated = Some(pair("blank, `root-blank`, may be another system's")),
        "may be another system's",
        |_| {},
    ),
    Story(
        "no-login",
        Danger,
        |f| shadow(f, "alice:!$y$j9T$s$h:1::::::\n"),
        "nobody can log in after the next boot: root has no password in etc/shadow, alice is locked",
        // A key of root's is enough.
        |f| {
            shadow(f, "alice:!:1::::::\n");
            key(f, "root");
        },
    ),
    Story(
        "login-lost",
        Warning,
        |f| {
            shadow(f, "root:$6$s$h:1::::::\nalice:$y$j9T$s$h:1:::::20000:\n");
        },
        "alice can log in now, but not after the next boot: alice is expired",
        |f| shadow(f, "root:$6$s$h:1::::::\nalice:$y$j9T$s$h:1:::::20501:\n"),
    ),
    Story(
        "password-reverts",
        Warning,
        |f| shadow(f, "alice:$y$j9T$s$older:1::::::\n"),
        "the password of alice will be the older one again",
        // The same password, with another day of its last change.
        |f| shadow(f, "alice:$y$j9T$s$h:1::::::\n"),
    ),
    Story(
        "empty-password",
        Warning,
        |f| shadow(f, &format!("root::1::::::\n{SHADOW}")),
        "root needs no password after the next boot",
        // The healthy machine has a daemon without a password, and without a login shell.
        |_| {},
    ),
    Story(
        "login-by-key-alone",
        Note,
        |f| {
            shadow(f, "");
            key(f, "alice");
            f.now = None;
        },
        "only SSH keys let anybody in (alice)",
        |f| key(f, "alice"),
    ),
    Story(
        "accounts-elsewhere",
        Note,
        |f| {
            after(f).elsewhere.insert("sss".to_string());
        },
        "accounts of sss were not looked at",
        |_| {},
    ),
    Story(
        "storage-missing",
        Danger,
        |f| storage(f).lies = Lies::Missing,
        "the storage /persist is not there",
        |f| storage(f).lies = Lies::Unknown,
    ),
    Story(
        "storage-on-wiped-root",
        Danger,
        |f| storage(f).lies = Lies::InLive,
        "lies on the very root that each boot replaces",
        |f| storage(f).lies = Lies::Safe,
    ),
    Story(
        "storage-by-hand",
        Warning,
        |f| {
            let (point, line) =
                (path("/persist"), Some("x /persist ext4 defaults 0 0".to_string()));
            storage(f).by_hand = Some(ByHand { point, line, missing: Missing::InLive });
        },
        "nothing mounts the storage /persist at the next boot",
        |_| {},
    ),
    Story(
        "storage-open",
        Danger,
        |f| storage(f).root = Some(Node { mode: 0o1777, ..NODE }),
        "the storage /persist has the mode 1777",
        |f| storage(f).root = Some(Node { mode: 0o700, ..NODE }),
    ),
    Story(
        "storage-large",
        Note,
        |f| (storage(f).content.seen, storage(f).content.cut) = (200_000, true),
        "only 200,000 names in /persist were looked at",
        |f| storage(f).content.seen = 200_000,
    ),
    Story(
        "attributes-unlisted",
        Warning,
        |f| storage(f).content.unlisted.push(path("/persist/a b")),
        "/persist/a b has more extended attributes than can be listed",
        |_| {},
    ),
    Story(
        "secret-readable",
        Danger,
        |f| {
            let secret = (path("/persist/a b"), "a private key".to_string());
            storage(f).content.open_secrets.push(secret);
        },
        "every user can read /persist/a b (a private key)",
        |_| {},
    ),
    Story(
        "owner-unknown",
        Warning,
        |f| drop(storage(f).content.users.insert(1001, (7, path("/persist/x")))),
        "no user has the number 1001: 7 files, such as /persist/x",
        // A service with a dynamic user.
        |f| drop(storage(f).content.users.insert(61_184, (7, path("/persist/x")))),
    ),
    Story(
        "owner-drift",
        Warning,
        |f| {
            f.entries = entries("files = [{ path = \"/a\", user = \"alice\", group = \"users\" }]");
            f.entries[0].data = Data::Present(Node { uid: 1000, gid: 7, ..NODE });
        },
        "/persist/a belongs to the group number 7, and users has the number 100",
        |f| {
            f.entries = entries("files = [{ path = \"/a\", user = \"alice\", group = \"users\" }]");
            f.entries[0].data = Data::Present(Node { uid: 1000, gid: 100, ..NODE });
        },
    ),
    Story(
        "nixos-ids-not-kept",
        Warning,
        |f| f.nixos = true,
        "/var/lib/nixos is not kept",
        |f| (f.nixos, f.nixos_ids_survive) = (true, Some(true)),
    ),
    Story(
        "nested-entries",
        Warning,
        |f| {
            f.entries = entries(
                "directories = [{ path = \"/a\", mode = \"0700\" }, { path = \"/a/b\", mode = \"0755\" }]",
            );
        },
        "/a/b is kept inside /a, which is kept, too",
        |f| {
            f.entries = entries(
                "directories = [\"/a\", \"/ab\", { path = \"/var/lib/private\", mode = \"0700\" }, \
                 { path = \"/var/lib/private/x\", mode = \"0755\" }]",
            );
        },
    ),
    Story(
        "unknown-account",
        Danger,
        |f| f.entries = entries("directories = [{ path = \"/a\", parent = { group = \"web\" } }]"),
        "there is no group `web`, whom /etc/blankroot.toml:5 names",
        |f| f.entries = entries("directories = [{ path = \"/a\", group = 4711 }]"),
    ),
    Story(
        "home-differs",
        Warning,
        |f| {
            let passwd = PASSWD.replace("/home/alice", "/srv/alice");
            f.after = people(&passwd, SHADOW);
        },
        "the home of alice is /srv/alice, and",
        |f| f.after = people(&PASSWD.replace("/home/alice", "/home//alice/"), SHADOW),
    ),
    Story(
        "bad-mode",
        Danger,
        |f| f.entries = entries("directories = [{ path = \"/a\", mode = \"0777\" }]"),
        "the mode 0777 of /a (/etc/blankroot.toml:5) lets every user write",
        |f| f.entries = entries("directories = [{ path = \"/a\", mode = \"1777\" }]"),
    ),
    Story(
        "not-in-place",
        Danger,
        |f| f.entries[0].target = Some(Target::OtherLink(b"/nix/a\n".to_vec())),
        "/etc/app.conf is not in its place: it is a link to /nix/a\\n, and its data is at",
        // With no `how` either right way counts.
        |f| f.entries[0].target = Some(Target::RightLink),
    ),
    Story(
        "mounted-by-fstab",
        Warning,
        |f| by_fstab(f, Survival::Survives),
        "/etc/machine-info need not be kept: line 3 of /etc/fstab mounts /etc/machine-info, which survives",
        // What goes with the boot is to be taken out of there.
        |f| by_fstab(f, Survival::Lost("a tmpfs".to_string())),
    ),
    Story(
        "link-replaced",
        Danger,
        |f| file(f, "how = \"symlink\"", Target::File { empty: false }),
        "/etc/machine-info is a file of its own by now, and no link to /persist/etc/machine-info",
        |f| file(f, "how = \"symlink\"", Target::RightLink),
    ),
    Story(
        "renamed-over",
        Warning,
        |f| file(f, "how = \"bind\"", Target::RightMount),
        "/etc/machine-info is mounted as a file",
        |f| file(f, "", Target::RightMount),
    ),
    Story(
        "link-remembered",
        Note,
        |f| {
            f.entries[0].noted_as_replaced = true;
            f.entries[0].target = Some(Target::RightLink);
        },
        "/etc/app.conf is linked, not mounted (",
        |f| f.entries[0].target = Some(Target::RightLink),
    ),
    Story(
        "behind-a-link",
        Danger,
        |f| {
            let (link, target) = (path("/var/lib"), b"../persist/lib".to_vec());
            let real = Some(path("/persist/lib/app"));
            f.entries[2].target = Some(Target::BehindLink(LinkOnTheWay { link, target, real }));
        },
        "passes the link /var/lib, which leads to ../persist/lib, into the storage /persist",
        |_| {},
    ),
    Story(
        "unsuitable-entry",
        Warning,
        |f| f.entries.extend(entries("files = [\"/etc/shadow\"]")),
        "/etc/shadow is kept (",
        // What is read early is fine where the initrd sets it up.
        |f| {
            let early = "files = [{ path = \"/etc/hostname\", in_initrd = true, how = \"bind\" }]";
            f.entries.extend(entries(early));
        },
    ),
    Story(
        "tmpfs-open",
        Danger,
        |f| f.memory[0].mode = 0o1777,
        "every user may write at the top of / (mode 1777)",
        |f| f.memory[0].mode = 0o700,
    ),
    Story(
        "tmpfs-size",
        Warning,
        |f| f.memory[0].limit = Some(8 << 30),
        "/ may grow to 8.0 GiB, in memory",
        |f| f.memory[0].limit = Some(4 << 30),
    ),
    Story(
        "blank-owner",
        Danger,
        |f| blank(f).root.uid = 1000,
        "the top directory of blank belongs to 1000:0 and has the mode 0755",
        |_| {},
    ),
    Story(
        "blank-secret",
        Warning,
        |f| {
            let (path, what) =
                (path("/etc/ssh/ssh_host_rsa_key"), "a private host key".to_string());
            blank(f).secrets.push(Secret { path, what, kept: false });
        },
        "blank holds /etc/ssh/ssh_host_rsa_key (a private host key)",
        |_| {},
    ),
    Story(
        "blank-machine-id",
        Note,
        |f| blank(f).machine_id = true,
        "blank holds /etc/machine-id",
        |_| {},
    ),
    Story(
        "blank-random-seed",
        Warning,
        |f| blank(f).random_seed = Some(path("/var/lib/systemd/random-seed")),
        "blank holds a random seed, /var/lib/systemd/random-seed",
        |_| {},
    ),
    Story(
        "nested-subvolumes",
        Warning,
        |f| {
            f.nested = vec![path("/var/lib/machines")];
            f.nested_that_hold = f.nested.clone();
        },
        "live holds subvolumes with something in them: /var/lib/machines",
        |f| {
            f.nested.clear();
            f.nested_that_hold.clear();
        },
    ),
    Story(
        "stubs-left",
        Warning,
        |f| f.stubs = Some(backends::Stubs { replaced: Vec::new(), total: 3 }),
        "blank has 3 stubs of subvolumes, and 3 of them are replaced by nothing",
        |f| f.stubs = None,
    ),
    Story(
        "immovable",
        Danger,
        |f| {
            let (reason, hint) = ("live is immutable".to_string(), Some("clear it".to_string()));
            f.immovable.push(backends::Obstacle { reason, hint });
        },
        "live is immutable",
        |f| f.immovable.clear(),
    ),
    Story(
        "config-lost",
        Danger,
        |f| f.own_config = Some(OwnConfig::Nothing),
        "/etc/blankroot.toml will be gone after the next boot",
        |f| f.own_config = None,
    ),
    Story(
        "kernel-without-modules",
        Danger,
        |f| f.kernels.installed = vec![kernel("6.13", true, false)],
        "after the next boot there are no modules for the kernel /boot/vmlinuz, 6.13: blank has none at all",
        // One for which nobody has modules may need none, or be another system's.
        |f| f.kernels.installed = vec![kernel("6.13", false, false), kernel("6.12", true, true)],
    ),
    Story(
        "blank-initrd-older",
        Warning,
        |f| blank(f).older_initrd = Some(path("/boot/initrd.img-6.12")),
        "the newest initrd in blank, /boot/initrd.img-6.12, is older than the configuration",
        |_| {},
    ),
    Story(
        "swap-file-in-root",
        Warning,
        |f| f.swap_files = vec![swap(true)],
        "the swap file /swap file lies in the root, and is in use",
        // fstab names one that is yet to be made.
        |f| f.swap_files = vec![swap(false)],
    ),
    Story(
        "old-roots-with-snapshots",
        Warning,
        |f| f.old_roots_with_snapshots = vec![tree("old/7"), tree("old/8"), tree("old/9")],
        "3 old roots, old/7 to old/9, stay beyond the retention rules, because of snapshots that somebody made",
        |f| f.old_roots_with_snapshots = Vec::new(),
    ),
    Story(
        "no-reserve",
        Note,
        |f| f.how_to_hold_room_back = Some("run `x`".to_string()),
        "live may fill the whole pool",
        |f| f.how_to_hold_room_back = None,
    ),
];
