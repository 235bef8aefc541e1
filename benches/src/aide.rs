//! AIDE's database of a tree as it was before its changes, and its check of the tree after them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use crate::Result;
use crate::measure::{Measured, has_program};

/// Its status is the sum of 1, 2 and 4 where something was added, removed and changed; errors are above that.
const DIFFERENCES: i32 = 7;

/// A database of one tree.
pub struct Aide {
    config: PathBuf,
}

impl Aide {
    /// Why there can be none, if there can be none.
    pub fn unavailable() -> Option<&'static str> {
        (!has_program("aide")).then_some("aide is not installed")
    }

    /// Reads the tree into a database in the directory `outside`.
    pub fn prepare(tree: &Path, outside: &Path) -> Result<Self> {
        let (config, database) = (outside.join("aide.conf"), outside.join("aide.db"));
        let (database, workers) = (database.display(), available_parallelism()?);
        // What `diff` compares: type, mode, user, group, size, links, attributes and content.
        let compared = "ftype+p+u+g+s+l+xattrs+sha256";
        let tree = tree.to_string_lossy().replace('.', "\\.");
        let text = format!(
            "database_in=file:{database}\ndatabase_out=file:{database}\ngzip_dbout=no\n\
             num_workers={workers}\n{tree} {compared}\n"
        );
        fs::write(&config, text)?;
        let aide = Self { config };
        aide.command("--init").output()?;
        Ok(aide)
    }

    /// What changed since.
    pub fn check(&self) -> Measured {
        self.command("--check").may_end_with(DIFFERENCES)
    }

    fn command(&self, action: &str) -> Measured {
        let config = ["--config".as_ref(), self.config.as_os_str()];
        Measured::new(Path::new("aide"), [action.as_ref()].into_iter().chain(config))
    }
}
