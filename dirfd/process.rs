//! The one room in which processes start: a failure names the whole command, its status and what
//! it complained about.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::path::Escaped;
use crate::{Error, Result};

/// Where administrators' programs are, which the `PATH` of a user or a unit may lack.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A program of another package.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    name: &'static str,
    package: &'static str,
}

impl Program {
    /// The program `name`, which the Debian package `package` has.
    pub const fn new(name: &'static str, package: &'static str) -> Self {
        Self { name, package }
    }

    /// Where it is installed, if it is.
    pub fn find(&self) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .chain(SYSTEM_DIRECTORIES.map(PathBuf::from))
            .map(|dir| dir.join(self.name))
            .find(|file| file.is_file())
    }

    /// Runs it to its end without input and returns what it printed; an error unless it ended with
    /// status 0.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Vec<u8>> {
        self.run_with_input(args, b"")
    }

    /// The same with `input`, which has to fit into a pipe (64 KiB).
    pub fn run_with_input<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Result<Vec<u8>> {
        let args = owned_arguments(args);
        let output = self.output(&args, input)?;
        self.printed(&args, output)
    }

    /// The same as [`run`](Self::run), but it may also fail where `is_absence` finds in what it complained
    /// about that some of what it was asked for is not there, and nothing else.
    pub fn run_for_what_is_there<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        is_absence: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>> {
        let args = owned_arguments(args);
        let output = self.output(&args, b"")?;
        if !output.status.success() && is_absence(&output.stderr) {
            return Ok(output.stdout);
        }
        self.printed(&args, output)
    }

    fn output(&self, args: &[OsString], input: &[u8]) -> Result<Output> {
        let action = || format!("run `{}`", self.command_line(args));
        let file = self.find().ok_or_else(|| {
            Error::new(action(), format!("{} is not installed", self.name))
                .hint(format!("install the package {}", self.package))
        })?;
        start_process(&file, args, input).map_err(|e| Error::io(action(), e))
    }

    fn printed(&self, args: &[OsString], output: Output) -> Result<Vec<u8>> {
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(Error::new(format!("run `{}`", self.command_line(args)), describe_failure(&output)))
    }

    fn command_line(&self, args: &[OsString]) -> String {
        let mut line = self.name.to_string();
        for arg in args {
            line.push(' ');
            line.push_str(&Escaped(arg.as_bytes()).to_string());
        }
        line
    }
}

fn owned_arguments<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Vec<OsString> {
    args.into_iter().map(|arg| arg.as_ref().to_owned()).collect()
}

#[expect(clippy::disallowed_methods, reason = "this is the room where processes start")]
fn start_process(file: &Path, args: &[OsString], input: &[u8]) -> std::io::Result<Output> {
    let mut command = Command::new(file);
    // The messages of other programs end up in ours, which are English.
    command.args(args).env("LC_ALL", "C");
    if input.is_empty() {
        return command.stdin(Stdio::null()).output();
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // A program that ends without reading says by its status why.
    let fed = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(input));
    let output = child.wait_with_output()?;
    match fed {
        Err(why) if output.status.success() => Err(why),
        _ => Ok(output),
    }
}

/// How it ended and what it wrote to standard error, on one line.
fn describe_failure(output: &Output) -> String {
    let stderr: Vec<String> = output
        .stderr
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .map(|line| Escaped(line).to_string())
        .collect();
    if stderr.is_empty() {
        format!("it ended with {}", output.status)
    } else {
        format!("it ended with {}: {}", output.status, stderr.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Program = Program::new("sh", "dash");

    #[test]
    fn what_a_program_prints_comes_back() {
        assert_eq!(SHELL.run(["-c", "printf 'a b'"]).unwrap(), b"a b");
    }

    #[test]
    fn a_failure_names_the_command_the_status_and_the_complaint() {
        let error = SHELL.run(["-c", "echo no >&2; echo \"\u{1b}way\" >&2; exit 3"]).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot run `sh -c echo no"), "{text}");
        assert!(text.ends_with("it ended with exit status: 3: no; \\u{1b}way"), "{text}");
    }

    #[test]
    fn a_program_reads_its_input() {
        assert_eq!(SHELL.run_with_input(["-c", "cat"], b"a\0b").unwrap(), b"a\0b");
    }

    #[test]
    fn absence_is_told_from_other_failures() {
        let run = |text: &str| {
            let command = format!("echo there; echo '{text}' >&2; exit 1");
            SHELL.run_for_what_is_there(["-c", &command], |said| said.starts_with(b"no such"))
        };
        assert_eq!(run("no such thing").unwrap(), b"there\n");
        assert!(run("permission denied").is_err());
    }

    #[test]
    fn an_absent_program_is_told_with_its_package() {
        let error = Program::new("no-such-program", "its-package").run(["x"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot run `no-such-program x`: no-such-program is not installed\n  \
             hint: install the package its-package"
        );
    }
}
