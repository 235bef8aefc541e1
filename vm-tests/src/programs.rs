//! The room in which the harness starts other programs.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;

/// Runs a program to its end without input; panics with all that it said if it fails.
pub fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Vec<u8> {
    let mut command = command(program);
    let output = command.args(args).output().unwrap_or_else(|why| cannot(program, &why));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{command:?}` ended with {}: {said}", output.status);
    output.stdout
}

/// Runs a program to its end without input, and leaves it to the caller how it should end.
pub fn output<S: AsRef<OsStr>>(
    program: impl AsRef<Path>,
    args: impl IntoIterator<Item = S>,
) -> Output {
    let program = program.as_ref().to_string_lossy();
    command(&program).args(args).output().unwrap_or_else(|why| cannot(&program, &why))
}

/// Starts a program without input that does not outlive this process, however that ends; what it
/// complains about goes to the harness's own output.
pub fn start<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Child {
    let mut command = bound(program);
    command.args(args);
    start_bound(command, program)
}

/// The same for a program that has to tidy up: it is told to end.
pub fn start_tidy<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Child {
    let mut command = bound_by("TERM", program);
    command.args(args);
    start_bound(command, program)
}

/// The same for a program that may well fail: nobody is told.
pub fn try_start<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Child {
    let mut command = bound(program);
    command.stderr(Stdio::null()).args(args);
    start_bound(command, program)
}

/// Whether a program is installed.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn cannot(program: &str, why: &io::Error) -> ! {
    panic!("cannot start {program}: {why}\n  hint: tools/setup vm")
}

/// A program that the kernel kills when the thread that started it ends.
fn bound(program: &str) -> Command {
    bound_by("KILL", program)
}

/// A program that gets a signal when the thread that started it ends.
fn bound_by(signal: &str, program: &str) -> Command {
    let mut command = command("setpriv");
    command.args(["--pdeathsig", signal, "--", program]).stdout(Stdio::null());
    command
}

/// Starts it from a thread that lives as long as this process: machines in statics are never dropped.
fn start_bound(command: Command, program: &str) -> Child {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static STARTER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
        let (jobs, wanted) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, started) in wanted {
                // Whoever asked for it waits for it.
                let _ = started.send(command.spawn());
            }
        });
        jobs
    });
    let (started, child) = mpsc::channel();
    STARTER.send((command, started)).expect("the thread lives");
    child.recv().expect("the thread answers").unwrap_or_else(|why| cannot(program, &why))
}

#[expect(clippy::disallowed_methods, reason = "this is the room where the harness starts programs")]
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command
}
