//! A real terminal for a command that fills the screen: tmux runs it, sends keys, and tells what is to be seen.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use dirfd::process::Program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const TMUX: Program = Program::new("tmux", "tmux");
/// Runs what it is given, and says how that ended, once all that it printed is to be seen.
const SCRIPT: &str = "\"$@\"; echo ended with $?; exec sleep 1000";
/// How long something may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command in a terminal of its own, which goes when this is dropped.
pub struct Terminal {
    /// Has the socket, and the configuration of tmux.
    dir: TempDir,
}

impl Terminal {
    /// Whether there can be one; else says why not.
    pub fn is_there() -> bool {
        let is_there = TMUX.find().is_some();
        if !is_there {
            support::sandbox::skip("there is no tmux to drive a terminal with");
        }
        is_there
    }

    /// Starts a command in a terminal of this size, with these variables.
    pub fn start(words: &[OsString], variables: &[&str], size: (u16, u16)) -> Self {
        let terminal = Self { dir: tempfile::tempdir().unwrap() };
        let config = "set -g escape-time 0\nset -g status off\n";
        fs::write(terminal.dir.path().join("tmux.conf"), config).unwrap();
        let (columns, lines) = (size.0.to_string(), size.1.to_string());
        let mut args: Vec<&OsStr> = ["new-session", "-d", "-x", &columns, "-y", &lines]
            .into_iter()
            .chain(["sh", "-c", SCRIPT, "sh", "env"])
            .map(OsStr::new)
            .collect();
        args.extend(variables.iter().map(OsStr::new));
        args.extend(words.iter().map(OsString::as_os_str));
        terminal.tmux(&args);
        terminal
    }

    fn tmux<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        let (socket, config) = (self.dir.path().join("socket"), self.dir.path().join("tmux.conf"));
        let first = ["-u".as_ref(), "-S".as_ref(), socket.as_os_str(), "-f".as_ref()];
        let all = first.into_iter().chain([config.as_os_str()]);
        let all = all.chain(args.iter().map(AsRef::as_ref));
        String::from_utf8_lossy(&TMUX.run(all).unwrap()).into_owned()
    }

    /// Presses keys, by their names in tmux.
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"][..], keys].concat());
    }

    pub fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    pub fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &lines]);
    }

    /// What is to be seen. A line that was too long is one.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J"])
    }

    /// The same with what paints it.
    pub fn painted_screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// The value of a variable of tmux's.
    pub fn value(&self, name: &str) -> String {
        self.tmux(&["display-message", "-p", &format!("#{{{name}}}")]).trim_end().to_string()
    }

    /// Waits until all of these are to be seen, and returns the screen.
    #[track_caller]
    pub fn wait_for(&self, texts: &[&str]) -> String {
        self.wait_until(&format!("{texts:?}"), |screen| {
            texts.iter().all(|text| screen.contains(text))
        })
    }

    #[track_caller]
    pub fn wait_until(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let screen = self.screen();
            if is_there(&screen) {
                return screen;
            }
            assert!(started.elapsed() < PATIENCE, "no {what} in\n{screen}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The command's process.
    pub fn process(&self) -> i32 {
        let shell = self.value("pane_pid");
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Ends it as if somebody had pulled the plug: nobody tells the command.
    pub fn kill(&self) {
        let server = Pid::from_raw(self.value("pid").parse().unwrap());
        kill(server, Signal::SIGKILL).unwrap();
    }

    /// Waits until the command has ended with this code, with the terminal as it was, and returns what it printed.
    #[track_caller]
    pub fn wait_for_end(&self, code: u8) -> String {
        let screen = self.wait_for(&["ended with "]);
        assert!(screen.contains(&format!("ended with {code}\n")), "{screen}");
        assert_eq!(self.value("alternate_on"), "0", "{screen}");
        assert_eq!(self.value("mouse_any_flag"), "0", "{screen}");
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.dir.path().join("socket");
        let _ = TMUX.run(["-S".as_ref(), socket.as_os_str(), "kill-server".as_ref()]);
    }
}
