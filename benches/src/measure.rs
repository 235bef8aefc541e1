//! Runs a command as a whole process and tells how long it took and how much memory it held.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use crate::Result;

/// The first argument that makes this program measure the rest of its arguments.
///
/// A process of its own does it, since a child's peak of memory counts that of the process that it
/// was started from, and this one holds whole trees at times.
pub const ARGUMENT: &str = "--measure";

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Measured {
    command: Vec<OsString>,
    /// The highest exit status that is no failure.
    highest_status: i32,
}

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// From start to exit.
    pub time: Duration,
    /// Peak of resident memory, in bytes (`ru_maxrss`).
    pub peak: u64,
}

impl Measured {
    /// `program` with `args`.
    pub fn new<A: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = A>) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        let command = std::iter::once(program.into()).chain(args).collect();
        Self { command, highest_status: 0 }
    }

    /// The same where statuses up to this one tell a result and no failure.
    pub fn may_end_with(self, highest_status: i32) -> Self {
        Self { highest_status, ..self }
    }

    /// The same arguments for another program.
    pub fn by(&self, program: &Path) -> Self {
        Self::new(program, &self.command[1..])
    }

    /// Runs it once, its output to `/dev/null`.
    #[expect(clippy::disallowed_methods, reason = "measuring processes is what this is for")]
    pub fn run(&self) -> Result<Run> {
        let output = Command::new(env::current_exe()?)
            .args([ARGUMENT, &self.highest_status.to_string()])
            .args(&self.command)
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut numbers = text.split_whitespace().map(str::parse::<u64>);
        match (output.status.success(), numbers.next(), numbers.next()) {
            (true, Some(Ok(nanos)), Some(Ok(kib))) => {
                Ok(Run { time: Duration::from_nanos(nanos), peak: kib << 10 })
            }
            _ => {
                let stderr = String::from_utf8_lossy(&output.stderr);
                Err(format!("cannot run {:?}: {}: {stderr}", self.command, output.status).into())
            }
        }
    }

    /// Runs it once and returns its output.
    #[expect(clippy::disallowed_methods, reason = "measuring processes is what this is for")]
    pub fn output(&self) -> Result<Vec<u8>> {
        let (program, args) = self.command.split_first().ok_or("there is no command to run")?;
        let output = Command::new(program).args(args).stdin(Stdio::null()).output()?;
        if output.status.code().is_some_and(|status| status <= self.highest_status) {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(format!("cannot run {:?}: {}: {stderr}", self.command, output.status).into())
    }
}

/// Each `rounds` times, taking turns. What the other one read pushes caches out, so that each run
/// that counts comes right after one of the same command that does not.
pub fn in_turns(rounds: usize, ours: &Measured, peer: &Measured) -> Result<[Vec<Run>; 2]> {
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (runs, command) in runs.iter_mut().zip([ours, peer]) {
            command.run()?;
            runs.push(command.run()?);
        }
    }
    Ok(runs)
}

/// The median of the times, in seconds.
pub fn seconds(runs: &[Run]) -> f64 {
    median(runs.iter().map(|run| run.time.as_secs_f64()))
}

/// The highest peak of memory, in bytes.
pub fn peak(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.peak).max().unwrap_or(0)
}

/// The median; of an even count, the mean of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (len, half) if len.is_multiple_of(2) => values[half - 1].midpoint(values[half]),
        (_, half) => values[half],
    }
}

/// Whether a program is installed.
pub fn has_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

/// The other end of [`Measured::run`]: prints nanoseconds and KiB.
#[expect(clippy::disallowed_methods, reason = "measuring processes is what this is for")]
pub fn in_this_process(command: &[OsString]) -> Result<ExitCode> {
    let [highest_status, program, args @ ..] = command else {
        return Err("there is no command to measure".into());
    };
    let highest_status: i32 = highest_status.to_string_lossy().parse()?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let status = command.spawn()?.wait()?;
    let took = started.elapsed().as_nanos();
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    println!("{took} {peak}");
    let is_success = status.code().is_some_and(|status| status <= highest_status);
    Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }
}
