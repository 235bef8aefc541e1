use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use dirfd::process::Program;
use support::sandbox::skip;

use super::*;
use crate::owners::installed_since::PackageChange;
use crate::owners::{Certainty, OwnerFacts, installed_since};

const DPKG: Program = Program::new("dpkg", "dpkg");
const DPKG_DEB: Program = Program::new("dpkg-deb", "dpkg");
const DPKG_DIVERT: Program = Program::new("dpkg-divert", "dpkg");
const RPM: Program = Program::new("rpm", "rpm");
const RPMBUILD: Program = Program::new("rpmbuild", "rpm");
const PACMAN: Program = Program::new("pacman", "pacman-package-manager");
const TAR: Program = Program::new("tar", "tar");

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn read(root: &Path) -> Owners {
    Owners::read(fs::File::open(root).unwrap().as_fd())
}

fn told(owners: &Owners, path: &str) -> (String, Certainty, How) {
    let found = owners.owner_of(path.as_bytes(), &OwnerFacts::UNKNOWN).unwrap();
    (found.owner.name().to_string(), found.certainty, found.how)
}

fn is_missing(program: &Program) -> bool {
    let is_missing = program.find().is_none();
    if is_missing {
        skip("a package manager is not installed");
    }
    is_missing
}

/// A package of files that dpkg-deb builds, installed by dpkg.
fn install_deb(work: &Path, root: &Path, name: &str, files: &[&str]) {
    let tree = work.join(name);
    let control = format!(
        "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: x\n"
    );
    write(&tree.join("DEBIAN/control"), &control);
    fs::set_permissions(tree.join("DEBIAN"), fs::Permissions::from_mode(0o755)).unwrap();
    files.iter().for_each(|file| write(&tree.join(file), name));
    let deb = work.join(format!("{name}.deb"));
    DPKG_DEB.run([c("--build"), c("--root-owner-group"), path(&tree), path(&deb)]).unwrap();
    let root = format!("--root={}", root.display());
    let force = "--force-not-root,bad-path";
    DPKG.run([c(&root), c(force), c("--log=/dev/null"), c("--install"), path(&deb)]).unwrap();
}

fn c(text: &str) -> std::ffi::OsString {
    text.into()
}

fn path(path: &Path) -> std::ffi::OsString {
    path.into()
}

#[test]
fn what_dpkg_installed_and_diverted_is_told_as_dpkg_does() {
    if [DPKG, DPKG_DEB, DPKG_DIVERT].iter().any(is_missing) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("root");
    for dir in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "usr/bin"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    symlink("usr/bin", root.join("bin")).unwrap();
    write(&root.join("var/lib/dpkg/status"), "");
    install_deb(work.path(), &root, "first", &["bin/one", "usr/bin/two", "etc/first/x y"]);
    let blank = read(&root);
    let admin = format!("--admindir={}", root.join("var/lib/dpkg").display());
    let instead = format!("--instdir={}", root.display());
    let diverted = ["--package", "second", "--rename", "--add", "/usr/bin/two"];
    DPKG_DIVERT.run([&[admin.as_str(), &instead][..], &diverted].concat()).unwrap();
    install_deb(work.path(), &root, "second", &["usr/bin/two"]);
    let live = read(&root);
    assert_eq!((blank.warnings(), live.warnings()), (&[][..], &[][..]));

    let exact = |name: &str| (name.to_string(), Certainty::Exact, How::Listed);
    assert_eq!(told(&live, "usr/bin/one"), exact("first"));
    assert_eq!(told(&live, "usr/bin/two.distrib"), exact("first"));
    assert_eq!(told(&live, "usr/bin/two"), exact("second"));
    assert_eq!(told(&blank, "usr/bin/two"), exact("first"));
    assert_eq!(told(&live, "etc/first/x y"), exact("first"));
    assert_eq!(told(&live, "var/lib/dpkg/info/second.list").0, "second");
    let since = installed_since(&blank, &live);
    assert_eq!(since.names(PackageChange::Installed).collect::<Vec<_>>(), ["second"]);
    let found = live.owner_of(b"usr/bin/two", &OwnerFacts::UNKNOWN).unwrap();
    assert_eq!(since.change_of(&found.owner), Some(PackageChange::Installed));
    let gone = installed_since(&live, &blank);
    assert_eq!(gone.names(PackageChange::Removed).collect::<Vec<_>>(), ["second"]);
}

const SPEC: &str = "Name: blank-test\nVersion: 1.2\nRelease: 3\nEpoch: 1\nSummary: t\nLicense: MIT\n\
    BuildArch: noarch\n%description\nt\n%install\n\
    mkdir -p %{buildroot}/usr/bin %{buildroot}/etc %{buildroot}/var/lib/blank-test\n\
    touch %{buildroot}/usr/bin/blank-test %{buildroot}/etc/a.conf %{buildroot}/var/lib/blank-test/state\n\
    %post\nmkdir -p /var/cache/blank-x\n%files\n/usr/bin/blank-test\n%config /etc/a.conf\n\
    %dir /var/lib/blank-test\n%ghost /var/lib/blank-test/state\n";

#[test]
fn what_rpm_installed_is_told_from_its_own_database() {
    if [RPM, RPMBUILD].iter().any(is_missing) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("root");
    write(&work.path().join("x.spec"), SPEC);
    let top = format!("_topdir {}", work.path().display());
    let spec = work.path().join("x.spec");
    RPMBUILD.run([c("-bb"), c("--quiet"), c("--define"), c(&top), path(&spec)]).unwrap();
    let package = work.path().join("RPMS/noarch/blank-test-1.2-3.noarch.rpm");
    // Where it is on Fedora; Debian's rpm has it in the user's home.
    let database = "/usr/lib/sysimage/rpm";
    let install = ["--install", "--noscripts", "--nodeps", "--dbpath", database, "--root"];
    fs::create_dir_all(root.join("usr/lib/sysimage/rpm")).unwrap();
    let args = install.iter().map(|arg| c(arg)).chain([path(&root), path(&package)]);
    RPM.run(args).unwrap();

    let owners = read(&root);
    assert_eq!(owners.warnings(), [""; 0]);
    for (path, certainty, how) in [
        ("usr/bin/blank-test", Certainty::Exact, How::Listed),
        ("etc/a.conf", Certainty::Exact, How::Listed),
        ("var/lib/blank-test", Certainty::Exact, How::Listed),
        ("var/lib/blank-test/state", Certainty::Exact, How::Ghost),
        ("var/lib/blank-test/other", Certainty::Directory, How::Listed),
        ("var/cache/blank-x/y", Certainty::Likely, How::Script),
    ] {
        assert_eq!(told(&owners, path), ("blank-test".to_string(), certainty, how), "{path}");
    }
    let (_, package) = owners.packages().packages().next().unwrap();
    assert_eq!(package.versions, ["1:1.2-3"]);
}

#[test]
fn what_pacman_installed_is_told_from_its_own_database() {
    if [PACMAN, TAR].iter().any(is_missing) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let (tree, root) = (work.path().join("tree"), work.path().join("root"));
    let info = "pkgname = blank-test\npkgbase = blank-test\npkgver = 1:1.2-3\nsize = 4\narch = any\n\
        backup = etc/a.conf\n";
    write(&tree.join(".PKGINFO"), info);
    write(&tree.join(".INSTALL"), "post_install() {\n mkdir -p /var/cache/blank-x\n}\n");
    write(&tree.join("etc/a.conf"), "");
    write(&tree.join("usr/bin/blank-test"), "");
    fs::create_dir_all(tree.join("var/lib/blank-test")).unwrap();
    let package = work.path().join("blank-test-1:1.2-3-any.pkg.tar.gz");
    let names = [".PKGINFO", ".INSTALL", "etc", "usr", "var"].map(c);
    let options = [c("--force-local"), c("-C"), path(&tree), c("-czf"), path(&package)];
    TAR.run(options.into_iter().chain(names)).unwrap();
    write(&work.path().join("conf"), "[options]\nArchitecture = auto\nSigLevel = Never\n");
    fs::create_dir_all(root.join("var/lib/pacman")).unwrap();
    let mut args = vec![c("-U"), c("--noconfirm"), c("--noscriptlet")];
    for (option, value) in [
        ("--config", work.path().join("conf")),
        ("--root", root.clone()),
        ("--dbpath", root.join("var/lib/pacman")),
        ("--cachedir", work.path().join("cache")),
        ("--logfile", work.path().join("log")),
        ("--hookdir", work.path().join("hooks")),
        ("--gpgdir", work.path().join("gpg")),
    ] {
        args.extend([c(option), path(&value)]);
    }
    args.push(path(&package));
    PACMAN.run(args).unwrap();

    let owners = read(&root);
    assert_eq!(owners.warnings(), [""; 0]);
    for (path, certainty, how) in [
        ("usr/bin/blank-test", Certainty::Exact, How::Listed),
        ("var/lib/blank-test", Certainty::Exact, How::Listed),
        ("var/lib/blank-test/x", Certainty::Directory, How::Listed),
        ("var/lib/pacman/local/blank-test-1:1.2-3/desc", Certainty::Exact, How::DatabaseRecord),
        ("etc/a.conf.pacsave", Certainty::Likely, How::DerivedFrom),
        ("var/cache/blank-x", Certainty::Likely, How::Script),
    ] {
        assert_eq!(told(&owners, path), ("blank-test".to_string(), certainty, how), "{path}");
    }
}

#[test]
fn what_cannot_be_read_is_told_and_hides_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let info = dir.path().join("var/lib/dpkg/info");
    write(&info.join("good.list"), "/etc/good\n");
    fs::File::create(info.join("huge.list")).unwrap().set_len(4 << 30).unwrap();
    symlink("/etc/passwd", info.join("link.list")).unwrap();
    write(&dir.path().join("var/lib/rpm/Packages.db"), "");
    write(&dir.path().join("var/lib/ucf"), "a file");
    let owners = read(dir.path());
    assert_eq!(told(&owners, "etc/good").0, "good");
    assert_eq!(
        owners.warnings(),
        [
            "cannot read /var/lib/dpkg/info/huge.list: it has 4294967296 bytes, and at most 16777216 are read",
            "cannot read /var/lib/dpkg/info/link.list: it is not a plain file",
            "cannot read /var/lib/rpm/Packages.db: it is in a format other than SQLite, which is not read",
        ]
    );
}

#[test]
fn no_link_leads_out_of_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    write(&outside.join("info/evil.list"), "/etc/evil\n");
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("var/lib")).unwrap();
    symlink(&outside, root.join("var/lib/dpkg")).unwrap();
    symlink("../../../outside", root.join("var/lib/pacman")).unwrap();
    let owners = read(&root);
    assert_eq!((owners.warnings(), owners.packages().path_count()), (&[][..], 0));
}

#[test]
fn a_tree_without_anything_has_no_owners_and_no_warnings() {
    let dir = tempfile::tempdir().unwrap();
    let owners = read(dir.path());
    assert_eq!(owners.warnings(), [""; 0]);
    assert_eq!(owners.owner_of(b"etc/x", &OwnerFacts::UNKNOWN), None);
}
