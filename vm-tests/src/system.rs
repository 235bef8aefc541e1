//! A Debian that was set up by the README's words, booted and told what to do; whether it is in a machine or in
//! namespaces is no matter of most promises.

use std::thread;
use std::time::{Duration, Instant};

use crate::console::quoted;
use crate::guest::Root;

/// How long a command may take to come true.
const PATIENCE: Duration = Duration::from_secs(1200);

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it wrote, to standard error too.
    pub text: String,
    /// How it ended.
    pub status: i32,
}

/// A system that can be booted. It is up only between a boot and the end of that.
pub trait System {
    /// The file system of its root.
    fn root(&self) -> Root;

    /// Boots it; returns when everything is up.
    fn boot(&mut self);

    /// Runs a command of a shell.
    fn try_run(&mut self, command: &str) -> Answer;

    /// Runs a command that ends this boot, and waits for that.
    fn run_last(&mut self, command: &str);

    /// Words for the kernel command line of the next boot alone.
    fn say_to_kernel(&mut self, words: &str);

    /// What the initrd has said in this boot, where its owner sees it.
    fn initrd_said(&mut self) -> String;

    /// Runs a command of a shell; panics unless it ends with 0. Returns what it wrote.
    fn run(&mut self, command: &str) -> String {
        let answer = self.try_run(command);
        assert_eq!(answer.status, 0, "`{command}` failed:\n{}", quoted(&answer.text));
        answer.text
    }

    /// Whether a command of a shell ends with 0.
    fn holds(&mut self, command: &str) -> bool {
        self.try_run(command).status == 0
    }

    /// Runs a command of a shell again and again until it ends with 0.
    fn wait_for_command(&mut self, command: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.holds(command) {
            assert!(Instant::now() < until, "`{command}` does not come true");
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Shuts it down as its owner would.
    fn shut_down(&mut self) {
        self.run_last("systemctl reboot");
    }

    /// Shuts it down as its owner would and boots it again.
    fn reboot(&mut self) {
        self.shut_down();
        self.boot();
    }

    /// Shows the old roots in `/tmp/top/old-roots`, until [`unmount_old_roots`](Self::unmount_old_roots).
    fn mount_old_roots(&mut self) {
        self.run(self.root().mount_old_roots());
    }

    /// Whoever wants to delete an old root finds it unmounted.
    fn unmount_old_roots(&mut self) {
        self.run("umount -R /tmp/top");
    }
}
