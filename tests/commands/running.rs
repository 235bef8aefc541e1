//! Programs that run beside the command under test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A program that goes on until it is dropped.
pub struct Running(Child);

impl Running {
    /// Starts a shell's script; returns when it has said that it is `ready`, and so has what it is to
    /// have. It ends by itself if it reads no more of its input.
    pub fn start(command: &mut Command) -> Self {
        let command_line = format!("{command:?}");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "{command_line}");
        Self(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
