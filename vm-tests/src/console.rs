//! A serial line of a machine: all that it said, and a way to answer.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Why a machine that is on was not heard.
pub const TIME_IS_OVER: &str = "time is over";
/// How many of the last lines are told: all tasks that hang are among them.
const LAST: usize = 150;

/// One serial line. A thread reads it all the time: a machine stands still when nobody listens.
#[derive(Debug)]
pub struct Console {
    name: &'static str,
    stream: UnixStream,
    heard: Arc<Heard>,
    /// Up to here it was looked at.
    seen: usize,
}

#[derive(Debug, Default)]
struct Heard {
    text: Mutex<Text>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    ended: bool,
}

/// Words of a machine in which no line can be taken for one of ours.
pub fn quoted(said: &str) -> String {
    said.lines().map(|line| format!("| {line}\n")).collect()
}

impl Console {
    /// Connects to the socket that QEMU makes, which may take a moment.
    pub fn connect(name: &'static str, socket: &Path) -> Self {
        let until = Instant::now() + Duration::from_secs(20);
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(why) if Instant::now() > until => panic!("no {name} from QEMU: {why}"),
                // The socket cannot be waited for: it has no name yet.
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        };
        let heard = Arc::new(Heard::default());
        let (mut reader, into) = (stream.try_clone().unwrap(), Arc::clone(&heard));
        thread::spawn(move || into.listen(&mut reader));
        Self { name, stream, heard, seen: 0 }
    }

    /// Waits until the machine says `text`; returns what it said before.
    ///
    /// Panics with the end of what it said if it does not in time, or is gone.
    pub fn wait_for(&mut self, text: &str, within: Duration) -> String {
        match self.hear(text, within) {
            Ok(before) => before,
            Err(why) => {
                panic!("{}: waited for {text:?}, but {why}. It said:\n{}", self.name, self.tail())
            }
        }
    }

    /// The same with the reason why it was not heard.
    pub fn hear(&mut self, text: &str, within: Duration) -> Result<String, &'static str> {
        let until = Instant::now() + within;
        let mut heard = self.heard.lock();
        loop {
            if let Some(at) = find(&heard.bytes[self.seen..], text.as_bytes()) {
                let before = String::from_utf8_lossy(&heard.bytes[self.seen..self.seen + at]);
                self.seen += at + text.len();
                return Ok(before.into_owned());
            }
            heard = match self.heard.wait(heard, until)? {
                heard
                    if heard.ended
                        && find(&heard.bytes[self.seen..], text.as_bytes()).is_none() =>
                {
                    return Err("the machine is off");
                }
                heard => heard,
            };
        }
    }

    /// Waits until the machine is gone.
    pub fn hear_end(&self, within: Duration) -> Result<(), &'static str> {
        let until = Instant::now() + within;
        let mut heard = self.heard.lock();
        while !heard.ended {
            heard = self.heard.wait(heard, until)?;
        }
        Ok(())
    }

    /// Writes to the machine.
    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// All that it said.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().bytes).into_owned()
    }

    /// The last lines of what it said, quoted.
    pub fn tail(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        quoted(&lines[lines.len().saturating_sub(LAST)..].join("\n"))
    }
}

impl Heard {
    fn listen(&self, reader: &mut UnixStream) {
        let mut buffer = [0; 4096];
        loop {
            let count = reader.read(&mut buffer).unwrap_or(0);
            let mut text = self.lock();
            text.bytes.extend_from_slice(&buffer[..count]);
            text.ended = count == 0;
            self.more.notify_all();
            if text.ended {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Text> {
        self.text.lock().unwrap()
    }

    /// Waits for more.
    fn wait<'a>(
        &self,
        text: MutexGuard<'a, Text>,
        until: Instant,
    ) -> Result<MutexGuard<'a, Text>, &'static str> {
        if text.ended {
            return Ok(text);
        }
        let left = until.saturating_duration_since(Instant::now());
        let (text, waited) = self.more.wait_timeout(text, left).unwrap();
        if waited.timed_out() { Err(TIME_IS_OVER) } else { Ok(text) }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
