//! The room in which the harness starts other programs.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

/// Runs a program to its end without input; panics with all that it said if it fails.
pub fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Vec<u8> {
    let mut command = command(program);
    let output = command.args(args).output().unwrap_or_else(|why| cannot(program, &why));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{command:?}` ended with {}: {said}", output.status);
    output.stdout
}

/// Starts a program without input; what it complains about goes to the harness's own output.
pub fn start<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Child {
    let mut command = command(program);
    let started = command.stdout(Stdio::null()).args(args).spawn();
    started.unwrap_or_else(|why| cannot(program, &why))
}

/// Starts a program that may well fail: nobody is told.
pub fn try_start<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Child {
    let mut command = command(program);
    let started = command.stdout(Stdio::null()).stderr(Stdio::null()).args(args).spawn();
    started.unwrap_or_else(|why| cannot(program, &why))
}

/// Whether a program is installed.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn cannot(program: &str, why: &std::io::Error) -> ! {
    panic!("cannot start {program}: {why}\n  mend: tools/setup vm")
}

#[expect(clippy::disallowed_methods, reason = "this is the room where the harness starts programs")]
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command
}
