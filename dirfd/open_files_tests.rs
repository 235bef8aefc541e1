use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::stat::Place;
use crate::{TreePath, process_unit};

/// A process that holds something until it is dropped.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "the process whose handles are looked for")]
fn hold(script: &str, dir: &Path, arg: &Path) -> Holder {
    let mut child = Command::new("bash")
        .args(["-c", &format!("{script}; echo ready; read -r x")])
        .arg("holder")
        .arg(arg)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Once it has said so, it holds what it was told to.
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    Holder(child)
}

fn users_of(dir: &Path) -> Vec<User> {
    let proc: OwnedFd = File::open("/proc").unwrap().into();
    let opened = File::open(dir).unwrap();
    let census = Census::of_dir(opened.as_fd(), &TreePath::root()).unwrap();
    find_users(proc.as_fd(), &census, dir.as_os_str().as_bytes()).unwrap().users
}

fn fixture() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join(std::ffi::OsStr::from_bytes(b"a b\n\xff"));
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    std::fs::write(tree.join("sub/file"), "content").unwrap();
    (dir, tree)
}

#[test]
fn what_a_process_holds_is_found_with_its_name() {
    for (script, hold_is, shown) in [
        ("exec 7<\"$1/sub/file\"", Hold::Open, "/sub/file"),
        ("exec 7<\"$1/sub\"", Hold::Open, "/sub"),
        ("cd \"$1/sub\"", Hold::WorksIn, "/sub"),
        ("exec 7<\"$1/sub/file\"; rm \"$1/sub/file\"", Hold::Open, "/sub/file (deleted)"),
        // A name outside leads to the same file.
        ("ln \"$1/sub/file\" \"$1.other\"; exec 7<\"$1.other\"", Hold::Open, ".other"),
    ] {
        let (_dir, tree) = fixture();
        assert_eq!(users_of(&tree), [], "before: {script}");
        let holder = hold(script, Path::new("/"), &tree);
        let users = users_of(&tree);
        let [user] = users.as_slice() else { panic!("{script}: {users:?}") };
        let path = [tree.as_os_str().as_bytes(), shown.as_bytes()].concat();
        assert_eq!((user.hold, &user.path), (hold_is, &path), "{script}");
        assert_eq!(user.pid, holder.0.id() as i32);
        assert_eq!(user.command, b"bash");
        let text = user.to_string();
        assert!(text.contains("(bash, ") && text.contains("a b\\n\\xff"), "{text}");
        drop(holder);
        assert_eq!(users_of(&tree), [], "after: {script}");
    }
}

#[test]
fn a_program_that_runs_is_found_by_its_file_and_its_mapping() {
    let (_dir, tree) = fixture();
    std::fs::copy("/bin/bash", tree.join("shell")).unwrap();
    let _holder = hold("exec \"$1/shell\" -c 'echo ready; read -r x'", Path::new("/"), &tree);
    let users = users_of(&tree);
    let [user] = users.as_slice() else { panic!("{users:?}") };
    assert_eq!((user.hold, user.more), (Hold::Mapped, 1));
    assert_eq!(user.command, b"shell");
}

#[test]
fn a_bound_socket_is_found() {
    let (_dir, tree) = fixture();
    let script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]+'/s'); \
                  print('ready', flush=True); sys.stdin.read()";
    if !Path::new("/usr/bin/python3").exists() {
        println!("SKIPPED: there is no python3 to bind a socket with");
        return;
    }
    let short = tree.with_file_name("short");
    std::fs::create_dir(&short).unwrap();
    let _holder = hold(&format!("exec python3 -c \"{script}\" \"$1\""), Path::new("/"), &short);
    let users = users_of(&short);
    assert!(matches!(users.as_slice(), [user] if user.hold == Hold::Bound), "{users:?}");
}

#[test]
fn this_process_itself_is_left_out() {
    let (_dir, tree) = fixture();
    let _own = File::open(tree.join("sub/file")).unwrap();
    assert_eq!(users_of(&tree), []);
}

#[test]
fn what_could_not_be_looked_at_is_not_taken_for_nobody() {
    let unknown = |pid, unseen| {
        let unit = process_unit::unit_of_cgroup(b"0::/system.slice/nginx.service");
        Unknown { pid, command: b"a\nb".to_vec(), unit, unseen }
    };
    let both = vec![unknown(7, Unseen::Process), unknown(9, Unseen::Handles(2))];
    let mut found = Found { unknown: both, ..Found::default() };
    let error = found.refuse("keep /srv", true).unwrap_err().to_string();
    let which = "process 7 (a\\nb, nginx.service) could not be looked at; process 9 (a\\nb, \
                 nginx.service) has 2 files open that could not be looked at";
    let why = format!("cannot keep /srv: whether it is in use could not be told: {which}");
    assert_eq!(error, format!("{why}\n  hint: run it as root"));
    found.privileged = true;
    let error = found.refuse("keep /srv", false).unwrap_err().to_string();
    let hint = "\n  hint: stop it first: systemctl stop nginx.service; or give `--even-if-unseen`";
    assert!(error.starts_with(&format!("{why}{hint}")), "{error}");
    let note = found.refuse("keep /srv", true).unwrap().unwrap();
    assert_eq!(note, format!("whether this is in use could not be told: {which}"));
    assert_eq!(Found::default().refuse("keep /srv", false).unwrap(), None);
    // Who is seen to use it keeps it from being moved, whatever else was asked for.
    let user = User {
        pid: 12,
        command: vec![],
        unit: None,
        hold: Hold::Open,
        path: b"/srv".to_vec(),
        more: 0,
    };
    found.users.push(user);
    assert!(found.refuse("keep /srv", true).unwrap_err().to_string().contains("it is in use"));
}

/// What a user has mounted by FUSE keeps root out, and its server need not answer.
#[test]
fn a_handle_that_root_may_not_follow_hides_no_other() {
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        println!("SKIPPED: mounting what a user's FUSE would takes root and /dev/fuse");
        return;
    }
    let (_dir, tree) = fixture();
    let mounted = tree.with_file_name("fuse");
    std::fs::create_dir(&mounted).unwrap();
    // Its first descriptor, working directory and mapped files are others; the last one counts.
    let script = "read -r x; exec 5<>/dev/fuse \
                  && mount -i -t fuse -o fd=5,rootmode=40000,user_id=1,group_id=1 fuse \"$2\" \
                  && exec python3 -c 'import os, sys; os.open(sys.argv[2], os.O_PATH); \
                     os.open(sys.argv[1] + \"/sub/file\", os.O_RDONLY); \
                     print(\"ready\", flush=True); sys.stdin.read()' \"$1\" \"$2\"";
    let Some(holder) = in_user_namespace(script, &[&tree, &mounted]) else {
        println!("SKIPPED: nothing can be mounted by FUSE in a user namespace here");
        return;
    };
    let pid = holder.0.id() as i32;
    let mount = Path::new("/proc").join(pid.to_string()).join("root");
    let mount = mount.join(mounted.strip_prefix("/").unwrap());
    let refused = mount.metadata().unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied, "root looks into it");
    let proc: OwnedFd = File::open("/proc").unwrap().into();
    let opened = File::open(&tree).unwrap();
    let census = Census::of_dir(opened.as_fd(), &TreePath::root()).unwrap();
    let found = find_users(proc.as_fd(), &census, tree.as_os_str().as_bytes()).unwrap();
    let [user] = found.users.as_slice() else { panic!("{found:?}") };
    assert_eq!((user.pid, user.hold, user.more), (pid, Hold::Open, 0));
    // That the mount is another file system's is known all the same.
    assert!(found.unknown.iter().all(|unknown| unknown.pid != pid), "{found:?}");
}

/// Runs a script in a user and mount namespace where 0 is root and 1 another user, once it is mapped;
/// `None` if it ends before it says so.
#[expect(clippy::disallowed_methods, reason = "the process whose handles are looked for")]
fn in_user_namespace(script: &str, args: &[&Path]) -> Option<Holder> {
    let mut child = Command::new("unshare")
        .args(["--user", "--mount", "bash", "-c", script, "holder"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    let (entry, stdout) = (Path::new("/proc").join(child.id().to_string()), child.stdout.take()?);
    let holder = Holder(child);
    let own = std::fs::read_link("/proc/self/ns/user").ok()?;
    while std::fs::read_link(entry.join("ns/user")).ok()? == own {
        std::thread::yield_now();
    }
    for map in ["uid_map", "gid_map"] {
        std::fs::write(entry.join(map), "0 0 1\n1 1000 1\n").ok()?;
    }
    writeln!(stdin, "mapped").ok()?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).ok()?;
    // Its end would be the script's.
    std::mem::forget(stdin);
    (line == "ready\n").then_some(holder)
}

#[test]
fn the_message_names_process_unit_and_how_to_stop_it() {
    let unit = process_unit::unit_of_cgroup(b"0::/system.slice/nginx.service");
    let user = User {
        pid: 12,
        command: b"ng\x1binx".to_vec(),
        unit,
        hold: Hold::Open,
        path: b"/srv/x".to_vec(),
        more: 2,
    };
    let error =
        Found { users: vec![user], ..Found::default() }.refuse("keep /srv", false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot keep /srv: it is in use: process 12 (ng\\u{1b}inx, nginx.service) has /srv/x open \
         (and 2 more)\n  hint: stop it first: systemctl stop nginx.service"
    );
}

#[test]
fn a_census_tells_what_changed() {
    let (_dir, tree) = fixture();
    let (parent, name) = (File::open(tree.parent().unwrap()).unwrap(), c"a b\n\xff");
    let take = || {
        let place = Place { dir: parent.as_fd(), name };
        Census::take(place, &TreePath::root()).unwrap()
    };
    let first = take();
    assert_eq!((first.names, first.bytes), (3, 7));
    assert!(take().is_unchanged_since(&first));
    std::fs::write(tree.join("sub/file"), "CONTENT").unwrap();
    let second = take();
    assert!(!second.is_unchanged_since(&first));
    std::fs::hard_link(tree.join("sub/file"), tree.join("sub/other")).unwrap();
    let third = take();
    assert!(!third.is_unchanged_since(&second));
    assert_eq!((third.names, third.bytes), (4, 7), "a second name is no second file");
}
