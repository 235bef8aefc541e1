//! The configuration as a file that a command is about to change.

use std::path::{Path, PathBuf};

use backends::path::Escaped;
use backends::{Error, Result};

use crate::config::{Config, DEFAULT_FILE};
use crate::keep;

/// The file and its text.
pub struct Editing {
    /// Where it is.
    pub file: PathBuf,
    /// What it says.
    pub text: String,
}

impl Editing {
    /// Reads the file that `config` was read from, unless it cannot be changed there.
    pub fn open(config: &Config) -> Result<Self> {
        let file = config.file.clone();
        let shown = Escaped(file.as_os_str().as_encoded_bytes()).to_string();
        let action = format!("change the configuration {shown}");
        let failed = |why| Error::io(action.clone(), why);
        if file.symlink_metadata().map_err(failed)?.is_symlink() {
            let real = file.canonicalize().map_err(failed)?;
            let bytes = real.as_os_str().as_encoded_bytes();
            let why = format!("it is a link to {}", Escaped(bytes));
            let mend = if bytes.starts_with(b"/nix/store/") {
                "declare it in the configuration that this file is made of".to_string()
            } else {
                format!("name the file itself with `--config {}`", Escaped(bytes))
            };
            return Err(Error::new(action, why).mend(mend));
        }
        let text = backends::file::read_path(&file, backends::file::MAX_OWN).map_err(failed)?;
        let text = String::from_utf8(text).map_err(|why| Error::new(action, why))?;
        Ok(Self { file, text })
    }

    /// What the owner may want to know about it: where it is, it may not survive itself.
    pub fn notes(&self, config: &Config, root: &Path) -> Option<String> {
        let usual = root.join(DEFAULT_FILE.trim_start_matches('/'));
        let path = DEFAULT_FILE.trim_start_matches('/').as_bytes();
        let kept = keep::list(config).iter().any(|entry| {
            backends::TreePath::parse(path).is_ok_and(|path| path.is_within(&entry.path))
        });
        (self.file == usual && !kept).then(|| {
            format!(
                "{DEFAULT_FILE} is not kept itself, so this change is gone at the next boot: run \
                 `blankroot keep {DEFAULT_FILE}`"
            )
        })
    }
}
