//! What takes long to make, kept outside the checkout under a hash of all that it is made of.

use std::env;
use std::fs::{self, File};
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{FlockOperation, flock};

/// A higher number makes everything anew.
const FORMAT: &str = "1";

/// The directory of the artefact `name` that is made of `inputs`. Where it is missing, `make` fills a
/// directory, which gets its name when it is complete; who comes meanwhile waits. What the name had of
/// other inputs goes then, unless somebody uses it.
pub fn artefact(name: &str, inputs: &[&[u8]], make: impl FnOnce(&Path)) -> PathBuf {
    let cache = directory();
    fs::create_dir_all(&cache).unwrap();
    let done = cache.join(format!("{name}@{:016x}", hash(inputs)));
    let lock = File::create(cache.join(format!("{name}.lock"))).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    if !done.exists() {
        println!("vm: making {name}, which is not in the cache");
        let started = Instant::now();
        let unfinished = cache.join(format!("{name}@unfinished"));
        clean(&cache, name);
        fs::create_dir(&unfinished).unwrap();
        make(&unfinished);
        move_to(&unfinished, &done);
        println!("vm: made {name} in {} s", started.elapsed().as_secs());
    }
    use_until_the_end(&done);
    done
}

/// Deletes all that is called `name`, and what nobody finished of it, but for what is in use.
fn clean(cache: &Path, name: &str) {
    for entry in fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()) {
        let found = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if found.split_once('@').is_none_or(|(found, _)| found != name) {
            continue;
        }
        let dir = File::open(&entry).unwrap();
        if flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
            delete(&entry);
        }
    }
}

/// Keeps [`clean`] from deleting it as long as this process lives.
fn use_until_the_end(done: &Path) {
    let dir = File::open(done).unwrap();
    flock(&dir, FlockOperation::LockShared).unwrap();
    std::mem::forget(dir);
}

#[expect(clippy::disallowed_methods, reason = "a directory of the cache, which nobody uses")]
fn delete(entry: &Path) {
    fs::remove_dir_all(entry).unwrap();
}

/// Where everything is kept.
pub fn directory() -> PathBuf {
    let base = env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into()));
    base.unwrap_or_else(|| home().join(".cache")).join("blankroot/vm")
}

#[expect(clippy::disallowed_methods, reason = "a cache entry gets its name when it is complete")]
fn move_to(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

/// The same for the same compiler, which is enough for a cache.
fn hash(inputs: &[&[u8]]) -> u64 {
    #[expect(
        deprecated,
        reason = "the only hash of std that has no random key and a fixed algorithm"
    )]
    let mut hasher = std::hash::SipHasher::new();
    hasher.write(FORMAT.as_bytes());
    for input in inputs {
        hasher.write_usize(input.len());
        hasher.write(input);
    }
    hasher.finish()
}
