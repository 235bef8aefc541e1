use std::fs;

use super::*;

/// The schema that rpm 4.20 makes (`lib/backend/sqlite.cc`), as far as it is read.
const SCHEMA: &str =
    "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)";
const DATABASE: &str = "usr/lib/sysimage/rpm/rpmdb.sqlite";

fn place() -> (tempfile::TempDir, std::path::PathBuf, HostRoot) {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join(DATABASE);
    fs::create_dir_all(database.parent().unwrap()).unwrap();
    let host = HostRoot::open(dir.path()).unwrap();
    (dir, database, host)
}

fn headers(host: &HostRoot) -> io::Result<Option<Vec<Vec<u8>>>> {
    let mut found = Vec::new();
    let is_there = for_each_header(host, DATABASE, |blob| found.push(blob.to_vec()))?;
    Ok(is_there.then_some(found))
}

#[test]
fn what_stands_in_the_wal_alone_is_read_and_the_tree_stays_as_it_is() {
    let (_dir, database, host) = place();
    assert_eq!(headers(&host).unwrap(), None);
    let writer = Connection::open(&database).unwrap();
    writer.pragma_update(None, "journal_mode", "wal").unwrap();
    writer.execute_batch(SCHEMA).unwrap();
    writer.execute("INSERT INTO Packages (blob) VALUES (x'0102')", []).unwrap();
    // Still open, so nothing of it is in the database itself.
    let names = |database: &Path| {
        let entries = fs::read_dir(database.parent().unwrap()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = (names(&database), fs::read(&database).unwrap());
    assert_eq!(before.0.len(), 3, "database, WAL and index: {:?}", before.0);
    assert_eq!(headers(&host).unwrap().unwrap(), [[1, 2]]);
    assert_eq!(before, (names(&database), fs::read(&database).unwrap()));
    // As a snapshot has it, which was made while the index was there or not.
    fs::remove_file(database.with_extension("sqlite-shm")).unwrap();
    assert_eq!(headers(&host).unwrap().unwrap(), [[1, 2]]);
}

#[test]
fn what_is_no_such_database_is_an_error_and_never_an_empty_list() {
    let (_dir, database, host) = place();
    fs::write(&database, "not a database, and longer than a header of one is".repeat(10)).unwrap();
    headers(&host).unwrap_err();
    fs::write(&database, "").unwrap();
    headers(&host).unwrap_err();
    fs::remove_file(&database).unwrap();
    let writer = Connection::open(&database).unwrap();
    let endless = "CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS \
        (SELECT x'00' UNION ALL SELECT blob FROM n) SELECT blob FROM n";
    writer.execute_batch(endless).unwrap();
    headers(&host).unwrap_err();
    drop(writer);
    fs::remove_file(&database).unwrap();
    nix::unistd::mkfifo(&database, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(headers(&host).unwrap_err().to_string(), "it is not a plain file");
}
