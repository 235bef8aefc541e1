//! A tree with one of every kind of file and of name that a file system may hold.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};
use rustix::process::geteuid;

/// `user::rw-, user:65534:r--, group::r--, mask::r--, other::---`, as linux/posix_acl_xattr.h has it.
const ACL: [u8; 44] = [
    2, 0, 0, 0, //
    1, 0, 6, 0, 255, 255, 255, 255, //
    2, 0, 4, 0, 254, 255, 0, 0, //
    4, 0, 4, 0, 255, 255, 255, 255, //
    16, 0, 4, 0, 255, 255, 255, 255, //
    32, 0, 0, 0, 255, 255, 255, 255, //
];
/// `cap_net_raw=ep`, as linux/capability.h has it (revision 2).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Fills an empty directory.
pub fn fill(root: &Path) {
    let name = |bytes: &[u8]| root.join(OsStr::from_bytes(bytes));
    for plain in [&b"plain"[..], b"with space", b"new\nline", b"\xff\xfe not UTF-8", &[b'n'; 255]] {
        fs::write(name(plain), plain).unwrap();
    }
    fs::write(name(b"empty"), b"").unwrap();
    fs::create_dir_all(name(b"dir/\xffinner/deeper")).unwrap();
    fs::write(name(b"dir/\xffinner/deeper/file"), vec![7; 300_000]).unwrap();
    fs::create_dir(name(b"dir-empty")).unwrap();
    fs::hard_link(name(b"plain"), name(b"dir/second name")).unwrap();
    symlink("../no\nwhere", name(b"link")).unwrap();
    symlink("/etc", name(b"dir/link to a directory")).unwrap();

    let sparse = File::create(name(b"sparse")).unwrap();
    sparse.write_all_at(b"in the middle", 2 << 20).unwrap();
    sparse.set_len(8 << 20).unwrap();

    let mode = Mode::from_raw_mode(0o620);
    mknodat(CWD, name(b"fifo"), FileType::Fifo, mode, 0).unwrap();
    drop(UnixListener::bind(name(b"socket")).unwrap());

    let unreadable = if geteuid().is_root() { 0 } else { 0o400 };
    let modes = [(&b"setuid"[..], 0o4755), (b"nobody reads", unreadable), (b"read-only", 0o444)];
    for (at, mode) in modes {
        fs::write(name(at), "x").unwrap();
        fs::set_permissions(name(at), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(name(b"dir-empty"), fs::Permissions::from_mode(0o3771)).unwrap();

    let set = |at: &[u8], attribute: &str, value: &[u8]| {
        lsetxattr(name(at), attribute, value, XattrFlags::empty()).unwrap();
    };
    set(b"plain", "user.note", b"\0binary\xff");
    set(b"dir", "user.long", &[b'v'; 1000]);
    fs::write(name(b"with ACL"), "x").unwrap();
    set(b"with ACL", "system.posix_acl_access", &ACL);
    set(b"dir-empty", "system.posix_acl_default", &ACL);
    if geteuid().is_root() {
        mknodat(CWD, name(b"device"), FileType::CharacterDevice, mode, makedev(1, 3)).unwrap();
        mknodat(CWD, name(b"disk"), FileType::BlockDevice, mode, makedev(7, 200)).unwrap();
        for owned in [&b"with space"[..], b"link", b"dir"] {
            std::os::unix::fs::lchown(name(owned), Some(1234), Some(5678)).unwrap();
        }
        set(b"setuid", "security.capability", &CAPABILITY);
        set(b"link", "trusted.note", b"of the link itself");
    }
}
