//! Paths as the reader names them.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use backends::path::Escaped;
use backends::{Error, Result, TreePath};

/// A path as the reader names it, inside the tree: an absolute one as it is on the machine that
/// live is the root of, any other from the working directory on. `what` begins the message of an error.
pub fn in_tree(path: &Path, root: &Path, what: &str) -> Result<TreePath> {
    let shown = || format!("{what} `{}`", Escaped(path.as_os_str().as_bytes()));
    let absolute = if path.is_absolute() {
        path.to_path_buf()
    } else {
        let action = "find the working directory";
        let here = std::env::current_dir().map_err(|e| Error::io(action, e))?;
        let root = root.canonicalize().map_err(|e| Error::io(shown(), e))?;
        match here.strip_prefix(&root) {
            Ok(below) => PathBuf::from("/").join(below).join(path),
            Err(_) => {
                let why = "the working directory is not below the root that is looked at";
                return Err(Error::new(shown(), why).mend("name it by its absolute path"));
            }
        }
    };
    TreePath::parse(absolute.as_os_str().as_bytes())
        .map_err(|why| Error::new(shown(), format!("the path {why}")).mend("write it without"))
}
