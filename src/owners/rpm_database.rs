//! Reads rpm's database of a tree, whole and as it was committed last.
//!
//! It is an SQLite database in WAL mode: what was committed last may stand in `rpmdb.sqlite-wal` alone. Where the
//! tree is read-only, SQLite cannot open it (it needs `-shm` beside it), and told that it is immutable it leaves
//! the WAL out without a word. So both files are copied to a private directory, and opened there.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use dirfd::stat::{Moment, of_open};
use rusqlite::{Connection, OpenFlags};

use crate::host::{HostRoot, is_not_found};

/// Maximum size in bytes of each of the two files: 5,000 packages with their changelogs have 300 MB.
const MAX_DATABASE: u64 = 1 << 30;
/// Maximum number of copies while the package manager writes.
const ATTEMPTS: usize = 3;
/// Maximum number of packages that are read.
const MAX_PACKAGES: usize = 100_000;

/// Calls `see` with the header of each installed package; `false` if the tree has no such database.
pub(crate) fn for_each_header(
    host: &HostRoot,
    database: &str,
    mut see: impl FnMut(&[u8]),
) -> io::Result<bool> {
    let private = tempfile::tempdir()?;
    let copy = private.path().join("rpmdb.sqlite");
    if !copy_database(host, database, &copy)? {
        return Ok(false);
    }
    read_copy(&copy, &mut see).map_err(io::Error::other)?;
    Ok(true)
}

/// Copies database and WAL as they were at one moment; `false` if there is none.
fn copy_database(host: &HostRoot, database: &str, copy: &Path) -> io::Result<bool> {
    let wal = format!("{database}-wal");
    for _ in 0..ATTEMPTS {
        let before = (state(host, database)?, state(host, &wal)?);
        if !copy_file(host, database, copy)? {
            return Ok(false);
        }
        if !copy_file(host, &wal, &copy.with_extension("sqlite-wal"))? {
            // Of an attempt before.
            File::create(copy.with_extension("sqlite-wal"))?;
        }
        if before == (state(host, database)?, state(host, &wal)?) {
            return Ok(true);
        }
    }
    Err(io::Error::other("it is being written"))
}

/// What changes with the content of a file; `None` if it is not there.
fn state(host: &HostRoot, path: &str) -> io::Result<Option<(u64, u64, Moment)>> {
    match host.open_path(path) {
        Ok(found) => {
            let stat = of_open(found.as_fd())?;
            Ok(Some((stat.inode, stat.facts.size, stat.changed)))
        }
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn copy_file(host: &HostRoot, from: &str, to: &Path) -> io::Result<bool> {
    let file = match host.plain_file(Path::new(from)) {
        Ok(file) => file,
        Err(error) if is_not_found(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    if size > MAX_DATABASE {
        let why = format!("it has {size} bytes, and at most {MAX_DATABASE} are read");
        return Err(io::Error::other(why));
    }
    io::copy(&mut file.take(MAX_DATABASE), &mut File::create(to)?)?;
    Ok(true)
}

fn read_copy(copy: &Path, see: &mut impl FnMut(&[u8])) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags)?;
    // No function of a schema that somebody else made runs here.
    connection.pragma_update(None, "trusted_schema", false)?;
    // A view of this name could run for ever.
    let kind = "SELECT 1 FROM sqlite_schema WHERE name = 'Packages' AND type = 'table'";
    connection.query_row(kind, [], |_| Ok(()))?;
    let mut statement = connection.prepare("SELECT blob FROM Packages")?;
    let mut rows = statement.query([])?;
    for _ in 0..MAX_PACKAGES {
        let Some(row) = rows.next()? else { break };
        see(row.get_ref(0)?.as_blob()?);
    }
    Ok(())
}

#[cfg(test)]
#[path = "rpm_database_tests.rs"]
mod tests;
