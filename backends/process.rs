//! The one room in which processes start: a failure names the whole command, its status and what
//! it complained about.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result};
use crate::path::Escaped;

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
        let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let action = || format!("run `{}`", self.command_line(&args));
        let file = self.find().ok_or_else(|| {
            Error::new(action(), format!("{} is not installed", self.name))
                .mend(format!("install the package {}", self.package))
        })?;
        let output = start(&file, &args).map_err(|e| Error::io(action(), e))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(Error::new(action(), complaint(&output)))
        }
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

#[expect(clippy::disallowed_methods, reason = "this is the room where processes start")]
fn start(file: &Path, args: &[OsString]) -> std::io::Result<Output> {
    // The messages of other programs end up in ours, which are English.
    Command::new(file).args(args).env("LC_ALL", "C").stdin(Stdio::null()).output()
}

/// How it ended and what it wrote to standard error, on one line.
fn complaint(output: &Output) -> String {
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
    fn an_absent_program_is_told_with_its_package() {
        let error = Program::new("no-such-program", "its-package").run(["x"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot run `no-such-program x`: no-such-program is not installed\n  \
             mend: install the package its-package"
        );
    }
}
