//! What a mount does not allow is not allowed by a copy of what is on it: no set-uid bits and no devices
//! come out of a user's own mount, and nothing at all out of her own file system.

use std::ffi::CString;
use std::fs;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use blankroot::persist::plan::{Adopt, ApplyOptions};
use dirfd::TreePath;
use dirfd::copy::temporary_copy::Aside;
use dirfd::stat::Place;
use nix::mount::{MsFlags, mount};
use rustix::fs::{FileType, Mode, OFlags, XattrFlags, makedev, mknodat};

use crate::ground::{Ground, as_root, config};

const ASKED: ApplyOptions = ApplyOptions { adopt: Adopt::Everything, mounts: true, early: false };

/// A tmpfs with these limits in live.
fn limited(ground: &Ground, limits: MsFlags) {
    fs::create_dir_all(ground.path("home/alice")).unwrap();
    let place = ground.path("home/alice");
    mount(Some("tmpfs"), &place, Some("tmpfs"), limits, Some("mode=0755")).unwrap();
    fs::create_dir(place.join("tree")).unwrap();
}

fn kept() -> blankroot::config::Config {
    let list = "[[storage]]\npath = \"/persist\"\ndirectories = [\"/home/alice/tree\"]\n\
                files = [{ path = \"/home/alice/tool\", how = \"bind\" }]";
    config(list).unwrap()
}

#[test]
fn no_privileges_are_copied_from_a_mount_without_them() {
    as_root(|| {
        let ground = Ground::new();
        limited(&ground, MsFlags::MS_NOSUID);
        let home = ground.path("home/alice");
        // Version 2 of a capability, `cap_setuid=ep`: struct vfs_cap_data of linux/capability.h.
        let capability = [1, 0, 0, 2, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (tool, mode) in [("tool", 0o4755), ("tree/inner", 0o2755), ("tree/plain", 0o644)] {
            fs::write(home.join(tool), "a program").unwrap();
            fs::set_permissions(home.join(tool), fs::Permissions::from_mode(mode)).unwrap();
        }
        let tool = home.join("tree/able");
        fs::write(&tool, "a program").unwrap();
        let none = XattrFlags::empty();
        rustix::fs::setxattr(&tool, "security.capability", &capability, none).unwrap();
        rustix::fs::setxattr(&tool, "trusted.test", b"x", none).unwrap();
        let (plan, outcome) = ground.apply_once(&kept(), ASKED);
        assert!(outcome.is_complete() && plan.refusals.is_empty(), "{outcome:?} {plan:?}");
        let stored = ground.path("persist/home/alice");
        for tool in ["tool", "tree/inner", "tree/able", "tree/plain"] {
            let mode = stored.join(tool).symlink_metadata().unwrap().mode();
            assert_eq!(mode & 0o7000, 0, "{tool}");
            let told =
                outcome.notes.iter().any(|note| note.starts_with(&format!("/home/alice/{tool} ")));
            assert_eq!(told, tool != "tree/plain", "{:?}", outcome.notes);
        }
        let able = stored.join("tree/able");
        let mut buffer = [0; 64];
        assert!(rustix::fs::getxattr(&able, "security.capability", &mut buffer).is_err());
        assert!(rustix::fs::getxattr(&able, "trusted.test", &mut buffer).is_ok());
    });
}

#[test]
fn all_privileges_are_copied_from_any_other_mount() {
    as_root(|| {
        let ground = Ground::new();
        limited(&ground, MsFlags::empty());
        let tool = ground.path("home/alice/tool");
        fs::write(&tool, "a program").unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o4755)).unwrap();
        let (_, outcome) = ground.apply_once(&kept(), ASKED);
        assert!(outcome.is_complete() && outcome.notes.is_empty(), "{outcome:?}");
        let stored = ground.path("persist/home/alice/tool");
        assert_eq!(stored.symlink_metadata().unwrap().mode() & 0o7777, 0o4755);
    });
}

#[test]
fn no_device_is_copied_from_a_mount_without_them() {
    as_root(|| {
        let ground = Ground::new();
        limited(&ground, MsFlags::MS_NODEV);
        let dir = File::open(ground.path("home/alice/tree")).unwrap();
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(&dir, "disk", FileType::BlockDevice, mode, makedev(7, 200)).unwrap();
        let (_, outcome) = ground.apply_once(&kept(), ASKED);
        assert_eq!(outcome.failed.len(), 1, "{outcome:?}");
        let text = outcome.failed[0].1.to_string();
        assert!(text.starts_with("cannot copy /home/alice/tree/disk: "), "{text}");
        assert!(!ground.path("persist/home/alice/tree").exists());
    });
}

/// Nothing answers for it, so that nothing but what the kernel itself tells can be asked.
#[test]
fn nothing_is_copied_from_or_to_a_file_system_that_a_user_runs() {
    as_root(|| {
        let ground = Ground::new();
        let device = match File::options().read(true).write(true).open("/dev/fuse") {
            Ok(device) => device,
            Err(why) => return support::sandbox::skip(&format!("/dev/fuse: {why}")),
        };
        fs::create_dir_all(ground.path("mnt")).unwrap();
        fs::write(ground.path("data"), "data").unwrap();
        let options =
            format!("fd={},rootmode=40000,user_id=1000,group_id=1000", device.as_raw_fd());
        let place = ground.path("mnt");
        mount(Some("hers"), &place, Some("fuse"), MsFlags::empty(), Some(&*options)).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let open = |path: &str| rustix::fs::open(ground.path(path), flags, Mode::empty()).unwrap();
        let (hers, own) = (open("mnt"), open("."));
        let (shown, name) = (TreePath::parse(b"/data").unwrap(), CString::new("data").unwrap());
        for (from, to) in [(&hers, &own), (&own, &hers)] {
            let from = Place { dir: from.as_fd(), name: &name };
            let place = Place { dir: to.as_fd(), name: &name };
            let made = Aside::make(from, place, to.as_fd(), (&shown, &shown), &mut |_, _| {});
            let text = made.unwrap_err().to_string();
            assert!(text.contains("FUSE") && text.contains("1000"), "{text}");
        }
    });
}
