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
        refuse_host_path(path, root, what)?;
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

/// With `--root DIR`, `DIR/etc` is what people may type for `/etc`: a path of this host, and none that
/// the root has.
pub fn refuse_host_path(path: &Path, root: &Path, what: &str) -> Result<()> {
    let Ok(below) = path.strip_prefix(root) else { return Ok(()) };
    let in_root = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    if root == Path::new("/") || in_root(path).symlink_metadata().is_ok() {
        return Ok(());
    }
    let bytes = |path: &Path| Escaped(path.as_os_str().as_bytes()).to_string();
    let why = format!(
        "it is a path of this host, and paths are named as the root at {} has them",
        bytes(root)
    );
    Err(Error::new(format!("{what} `{}`", bytes(path)), why)
        .mend(format!("name it {}", bytes(&Path::new("/").join(below)))))
}
