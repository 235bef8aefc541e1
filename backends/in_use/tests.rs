use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::path::TreePath;
use crate::stat::Place;

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
    find(proc.as_fd(), &census, dir.as_os_str().as_bytes()).unwrap().users
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
    let found = Found { unlooked: vec![7, 9], ..Found::default() };
    let error = found.refuse("keep /srv").unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot keep /srv: whether it is in use could not be told: 2 processes could not be looked \
         at, process 7 for one\n  mend: run it as root"
    );
    let found = Found { unlooked: vec![7], privileged: true, ..Found::default() };
    let note = found.refuse("keep /srv").unwrap().unwrap();
    assert_eq!(note, "process 7 could not be looked at: whether it uses this is not known");
    assert_eq!(Found::default().refuse("keep /srv").unwrap(), None);
}

#[test]
fn the_message_names_process_unit_and_how_to_stop_it() {
    let unit = unit::of(b"0::/system.slice/nginx.service");
    let user = User {
        pid: 12,
        command: b"ng\x1binx".to_vec(),
        unit,
        hold: Hold::Open,
        path: b"/srv/x".to_vec(),
        more: 2,
    };
    let error = Found { users: vec![user], ..Found::default() }.refuse("keep /srv").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot keep /srv: it is in use: process 12 (ng\\u{1b}inx, nginx.service) has /srv/x open \
         (and 2 more)\n  mend: stop it first: systemctl stop nginx.service"
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
