//! Writes the configuration that a command has edited.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use backends::path::Escaped;
use backends::{Error, Result, file};

/// Writes the configuration, unless somebody else has changed it since it was read.
pub fn write_config(path: &Path, before: &str, after: &str) -> Result<()> {
    let shown = Escaped(path.as_os_str().as_encoded_bytes()).to_string();
    let failed = |why| Error::io(format!("write {shown}"), why);
    let name = path.file_name().unwrap_or_default();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let dir = File::open(parent.unwrap_or(Path::new("."))).map_err(failed)?;
    let now = file::read(dir.as_fd(), Path::new(name)).map_err(failed)?;
    if now != before.as_bytes() {
        return Err(Error::new(format!("write {shown}"), "it was changed meanwhile")
            .mend("run the command again"));
    }
    file::rewrite(dir.as_fd(), name, after.as_bytes()).map_err(|why| {
        let read_only = why.kind() == std::io::ErrorKind::ReadOnlyFilesystem;
        let error = failed(why);
        if read_only { error.mend("declare it where the file is made") } else { error }
    })
}
