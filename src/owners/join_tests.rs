use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::owners::Owners;

/// Makes the files of a tree: path and content; a content that begins with `->` is a link's target.
pub(crate) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content.strip_prefix("->") {
            Some(target) => symlink(target, path).unwrap(),
            None => fs::write(path, content).unwrap(),
        }
    }
    dir
}

pub(crate) fn read(root: &Path) -> Owners {
    let opened = fs::File::open(root).unwrap();
    let owners = Owners::read(opened.as_fd());
    assert_eq!(owners.warnings(), [""; 0]);
    owners
}

/// A merged Debian with two services, a local unit and two users.
const DEBIAN: &[(&str, &str)] = &[
    ("bin", "->usr/bin"),
    ("lib", "->usr/lib"),
    (
        "var/lib/dpkg/info/nginx-common.list",
        "/.\n/etc\n/etc/nginx\n/etc/nginx/nginx.conf\n/etc/init.d/nginx\n\
         /lib/systemd/system/nginx.service\n/usr\n/usr/lib\n/var\n/var/lib\n/var/lib/nginx\n/etc/default\n\
         /usr/lib/tmpfiles.d/nginx.conf\n",
    ),
    ("var/lib/dpkg/info/nginx-common.postinst", "mkdir -p /var/cache/ng-x\n# /var/cache/no\n"),
    (
        "var/lib/dpkg/info/vim:amd64.list",
        "/.\n/root\n/bin/vim\n/usr/bin/x\n/etc/default\n/usr/lib/python3/six.py\n/usr/lib/python3\n",
    ),
    ("var/lib/dpkg/info/other.list", "/.\n/usr/bin/x\n/usr/lib/python3\n"),
    ("var/lib/dpkg/info/docker.io.list", "/.\n/usr/lib/systemd/system/docker.service\n"),
    ("var/lib/dpkg/diversions", "/usr/bin/x\n/usr/bin/x.distrib\nother\n"),
    (
        "var/lib/dpkg/status",
        "Package: vim\nStatus: install ok installed\nVersion: 2\n\n\
         Package: nginx-common\nStatus: install ok installed\nVersion: 1\n",
    ),
    ("var/lib/ucf/registry", "vim \t /etc/default/vim\n"),
    (
        "usr/lib/systemd/system/nginx.service",
        "[Service]\nCacheDirectory=ng\nReadWritePaths=/etc /srv/www\n",
    ),
    ("usr/lib/systemd/system/docker.service", "[Service]\n"),
    ("usr/lib/systemd/system/systemd-update-done.service", ""),
    ("usr/lib/systemd/system/a.timer", ""),
    ("usr/lib/systemd/system/alias.service", "->nginx.service"),
    ("etc/systemd/system/own.service", "[Service]\nDynamicUser=1\nStateDirectory=own\n"),
    ("etc/systemd/system/own.service.d/a.conf", "[Service]\nLogsDirectory=own2\n"),
    ("usr/lib/tmpfiles.d/nginx.conf", "d /var/log/ng 0755\nd /srv/data\n"),
    ("etc/alternatives/editor", "->/usr/bin/vim"),
    (
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/x\n_pg:x:105:110::/x:/x\n\
         alice:x:1000:1000::/home/alice:/bin/sh\nnobody:x:65534:65534::/nonexistent:/x\n",
    ),
];

fn facts(uid: u32, gid: u32) -> OwnerFacts<'static> {
    OwnerFacts { uid, gid, ..OwnerFacts::UNKNOWN }
}

fn told(owners: &Owners, path: &str, facts: &OwnerFacts<'_>) -> String {
    owners.owner_of(path.as_bytes(), facts).map_or("nobody".into(), |found| {
        format!("{}, {}: {:?}", found.owner, found.certainty.word(), found.how)
    })
}

fn link_told(owners: &Owners, path: &str, target: &str) -> String {
    let link_target = Some(target.as_bytes());
    let facts = OwnerFacts { file_type: FileType::Symlink, link_target, ..OwnerFacts::UNKNOWN };
    told(owners, path, &facts)
}

#[test]
fn each_source_tells_its_owner_and_how_sure_that_is() {
    let dir = tree(DEBIAN);
    let owners = read(dir.path());
    for (path, expected) in [
        ("etc/nginx/nginx.conf", "package nginx-common, exact: Listed"),
        ("usr/bin/vim", "package vim, exact: Listed"),
        ("bin/vim", "package vim, exact: Listed"),
        ("usr/bin/x", "package other, exact: Listed"),
        ("usr/bin/x.distrib", "package vim, exact: Listed"),
        ("var/lib/dpkg/info/docker.io.md5sums", "package docker.io, exact: DatabaseRecord"),
        ("var/lib/dpkg/alternatives/editor", "package vim, exact: DatabaseRecord"),
        ("etc/default/vim", "package vim, exact: Ucf"),
        ("etc/systemd/system/own.service", "unit own.service, exact: UnitFile"),
        ("etc/systemd/system/nginx.service.d/x.conf", "unit nginx.service, exact: UnitFile"),
        ("var/lib/systemd/deb-systemd-helper-enabled", "nobody"),
        (
            "var/lib/systemd/deb-systemd-helper-enabled/x.wants/nginx.service",
            "package nginx-common, exact: EnablementRecord",
        ),
        (
            "var/lib/systemd/deb-systemd-helper-enabled/alias.service",
            "package nginx-common, exact: EnablementRecord",
        ),
        ("var/lib/systemd/timers/stamp-a.timer", "unit a.timer, exact: TimerStamp"),
        ("var/cache/ng", "unit nginx.service, exact: CacheDirectory"),
        ("var/cache/ng/a/b", "unit nginx.service, directory: CacheDirectory"),
        ("var/lib/private/own/x", "unit own.service, directory: StateDirectory"),
        ("var/lib/own", "unit own.service, exact: StateDirectory"),
        ("var/log/own2", "unit own.service, exact: LogsDirectory"),
        ("var/log/ng/x.log", "package nginx-common, directory: Tmpfiles"),
        ("etc/nginx/sites/x", "package nginx-common, directory: Listed"),
        ("home/alice", "user alice, exact: Home"),
        ("home/alice/.cache/x", "user alice, directory: Home"),
        ("root", "package vim, exact: Listed"),
        ("root/.bash_history", "user root, directory: Home"),
        ("etc/default/vim.dpkg-old", "package vim, likely: Named"),
        ("etc/nginx/nginx.conf.dpkg-old", "package nginx-common, directory: Listed"),
        ("usr/lib/python3/__pycache__/six.cpython-311.pyc", "package vim, likely: DerivedFrom"),
        ("var/cache/ng-x/y", "package nginx-common, likely: Script"),
        ("srv/www/x", "unit nginx.service, likely: ReadWritePaths"),
        ("var/.updated", "unit systemd-update-done.service, likely: KnownWriter"),
        ("var/lib/docker/x", "unit docker.service, likely: Named"),
        ("etc/docker.conf", "unit docker.service, likely: Named"),
        ("etc/default", "package nginx-common, likely: SharedDirectory"),
        ("etc/x", "nobody"),
        ("srv/x", "nobody"),
        ("var/cache/no", "nobody"),
        ("", "nobody"),
    ] {
        assert_eq!(told(&owners, path, &OwnerFacts::UNKNOWN), expected, "{path}");
    }
}

#[test]
fn a_link_that_enables_belongs_to_what_it_points_to() {
    let dir = tree(DEBIAN);
    let owners = read(dir.path());
    for (path, target, expected) in [
        (
            "etc/systemd/system/multi-user.target.wants/nginx.service",
            "/lib/systemd/system/nginx.service",
            "package nginx-common, exact: EnabledLink",
        ),
        ("etc/rc2.d/S01nginx", "../init.d/nginx", "package nginx-common, exact: EnabledLink"),
        ("etc/rcS.d/S01gone", "../init.d/gone", "nobody"),
        (
            "etc/systemd/system/multi-user.target.wants/own.service",
            "../own.service",
            "unit own.service, exact: EnabledLink",
        ),
        ("etc/alternatives/editor", "/usr/bin/vim", "package vim, exact: EnabledLink"),
        ("usr/bin/editor", "/etc/alternatives/editor", "package vim, exact: EnabledLink"),
        ("etc/systemd/system/nginx.service", "/dev/null", "unit nginx.service, exact: UnitFile"),
        ("etc/ssl/x.pem", "../../bin/vim", "package vim, likely: LeadsTo"),
        ("etc/y", "../../..", "nobody"),
    ] {
        assert_eq!(link_told(&owners, path, target), expected, "{path}");
    }
    assert_eq!(owners.package_of_unit("nginx.service"), Some("nginx-common"));
    assert_eq!(owners.package_of_unit("own.service"), None);
}

#[test]
fn a_directory_of_links_belongs_to_the_unit_that_wants_what_they_lead_to() {
    let dir = tree(DEBIAN);
    let owners = read(dir.path());
    let facts = OwnerFacts { file_type: FileType::Dir, ..OwnerFacts::UNKNOWN };
    for path in ["etc/systemd/system/nginx.service.wants", "etc/systemd/system/alias.service.wants"]
    {
        assert_eq!(told(&owners, path, &facts), "unit nginx.service, exact: UnitFile", "{path}");
    }
}

#[test]
fn what_masks_a_unit_is_that_units() {
    let mask = ("etc/systemd/system/docker.service", "->/dev/null");
    let dir = tree(&[DEBIAN, &[mask]].concat());
    let owners = read(dir.path());
    let expected = "unit docker.service, exact: UnitFile";
    assert_eq!(link_told(&owners, mask.0, "/dev/null"), expected);
}

#[test]
fn a_directory_of_records_of_what_is_enabled_is_the_helpers() {
    let files = [
        ("var/lib/dpkg/info/init-system-helpers.list", "/usr/bin/deb-systemd-helper\n"),
        (
            "var/lib/dpkg/info/systemd.list",
            "/usr/lib/systemd/system/timers.target.wants\n/usr/lib/systemd/system/a.timer\n",
        ),
    ];
    let dir = tree(&files);
    let owners = read(dir.path());
    let records = "var/lib/systemd/deb-systemd-helper-enabled/timers.target.wants";
    for (path, owner) in
        [(records, "init-system-helpers"), (&*format!("{records}/a.timer"), "systemd")]
    {
        let expected = format!("package {owner}, exact: EnablementRecord");
        assert_eq!(told(&owners, path, &OwnerFacts::UNKNOWN), expected, "{path}");
    }
}

#[test]
fn accounts_speak_last_and_shared_ones_not_at_all() {
    let dir = tree(DEBIAN);
    let owners = read(dir.path());
    for (uid, gid, expected) in [
        (33, 33, "user www-data, likely: Account"),
        (0, 110, "user _pg, likely: Account"),
        (1000, 1000, "user alice, likely: Account"),
        (0, 33, "nobody"),
        (0, 0, "nobody"),
        (65534, 65534, "nobody"),
        (4242, 4242, "nobody"),
    ] {
        assert_eq!(told(&owners, "srv/x", &facts(uid, gid)), expected, "{uid}:{gid}");
    }
    assert_eq!(
        told(&owners, "etc/nginx/x", &facts(33, 33)),
        "package nginx-common, directory: Listed"
    );
}

#[test]
fn open_files_name_their_unit_where_no_other_has_files_open() {
    let dir = tree(DEBIAN);
    let open: [(&[u8], &str); 4] = [
        (b"var/lib/pg/17/main/base/1", "postgresql@17-main.service"),
        (b"var/lib/pg/17/main/pg_wal/2", "postgresql@17-main.service"),
        (b"var/lib/pg/18/main/base/1", "postgresql@18-main.service"),
        (b"var/lib/nginx/x", "nginx.service"),
    ];
    let owners = read(dir.path()).with_open_files(open);
    for (path, expected) in [
        ("var/lib/pg/17/main/base/1", "unit postgresql@17-main.service, exact: OpenFile"),
        ("var/lib/pg/17/main/base/7", "unit postgresql@17-main.service, directory: OpenFilesBelow"),
        ("var/lib/pg/17", "unit postgresql@17-main.service, directory: OpenFilesBelow"),
        ("var/lib/pg/18/y", "unit postgresql@18-main.service, directory: OpenFilesBelow"),
        ("var/lib/pg/x", "nobody"),
        ("var/lib/pg", "nobody"),
        ("var/lib/z", "nobody"),
        ("var/lib/nginx/y", "package nginx-common, directory: Listed"),
    ] {
        assert_eq!(told(&owners, path, &OwnerFacts::UNKNOWN), expected, "{path}");
    }
}

#[test]
fn two_units_of_one_package_are_one_owner_and_two_of_two_are_none() {
    let unit = "[Service]\nStateDirectory=s\n";
    let files = [
        ("usr/lib/systemd/system/a.service", unit),
        ("usr/lib/systemd/system/b.service", unit),
        (
            "var/lib/dpkg/info/ab.list",
            "/usr/lib/systemd/system/a.service\n/usr/lib/systemd/system/b.service\n",
        ),
    ];
    let dir = tree(&files);
    let both = read(dir.path());
    assert_eq!(
        told(&both, "var/lib/s/x", &OwnerFacts::UNKNOWN),
        "package ab, directory: StateDirectory"
    );
    let dir = tree(&files[..2]);
    assert_eq!(told(&read(dir.path()), "var/lib/s/x", &OwnerFacts::UNKNOWN), "nobody");
}

#[test]
fn links_into_the_nix_store_name_what_they_lead_to() {
    let store = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz";
    let dir = tree(&[("etc/static", &format!("->{store}-etc/etc"))]);
    let owners = read(dir.path());
    let ssh = format!("{store}-openssh-9.6p1/bin/ssh");
    assert_eq!(link_told(&owners, "bin/ssh", &ssh), "package openssh, exact: NixStore");
    let unit = format!("{store}-unit-x.service/x.service");
    let path = "etc/systemd/system/x.service";
    assert_eq!(link_told(&owners, path, &unit), "unit x.service, exact: NixStore");
    let behind = "/etc/static/hosts";
    assert_eq!(link_told(&owners, "etc/hosts", behind), "package etc, exact: NixStore");
}

#[test]
fn what_lies_deeper_than_any_list_goes_belongs_to_whom_the_directories_above_do() {
    let dir = tree(DEBIAN);
    let owners = read(dir.path());
    for base in ["home/alice", "var/lib/nginx"] {
        let near = told(&owners, &format!("{base}/x"), &OwnerFacts::UNKNOWN);
        assert_ne!(near, "nobody");
        for deep in ["d/".repeat(3000), format!("{}/", "n".repeat(255)).repeat(300)] {
            let path = format!("{base}/{deep}x");
            assert_eq!(told(&owners, &path, &OwnerFacts::UNKNOWN), near, "{base}");
        }
    }
}
