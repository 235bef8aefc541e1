//! What a command starts from: its configuration, machine and paths as they were asked for, and how it ends
//! without a result.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dirfd::path::Escaped;
use dirfd::{Error, Result, TreePath};

use crate::boot::command_line::CommandLine;
use crate::boot::init_plan::InitRefusal;
use crate::cli::arguments::Cli;
use crate::config::reader::ConfigError;
use crate::config::{Config, DEFAULT_FILE};
use crate::host::{HostRoot, Machine, is_not_found};
use crate::persist::list::kept_configuration;

/// Why a command ended without its result.
#[derive(Debug)]
pub enum Failure {
    /// Something could not be done.
    Error(Error),
    /// Several things could not be done.
    Errors(Vec<Error>),
    /// The configuration cannot be used.
    Config(ConfigError),
    /// Nothing was done, for these reasons.
    Refused(Vec<InitRefusal>),
    /// The output could not be written.
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Where the configuration is: named on the command line, or at its usual place below `root`.
pub(crate) fn config_file(cli: &Cli, root: &Path) -> PathBuf {
    match &cli.config {
        Some(file) => file.clone(),
        None => root.join(DEFAULT_FILE.trim_start_matches('/')),
    }
}

/// Reads the configuration. The one below `root` may be blank's older one: where it keeps itself, and
/// a storage has it, that one counts.
pub(crate) fn load_config(cli: &Cli, root: &Path) -> Result<Config, ConfigError> {
    let config = Config::load(&config_file(cli, root))?;
    if cli.config.is_some() {
        return Ok(config);
    }
    match kept_configuration(&config, root) {
        Some(kept) => Config::load(&kept),
        None => Ok(config),
    }
}

/// The kernel command line of `host`, if it is what booted the root that is at `root`: a root that is
/// mounted elsewhere than at `/` is another system's, unless the host is named, too.
pub(crate) fn command_line_of(root: &Path, host: &Path) -> Result<Option<CommandLine>> {
    if root != host && host == Path::new("/") {
        return Ok(None);
    }
    match HostRoot::open(host)?.read("proc/cmdline") {
        Ok(line) => Ok(Some(CommandLine::parse(&line))),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(Error::io("read the kernel command line", error)),
    }
}

/// The machine whose root is `root`. Its storages, and the one that is `asked` for, are below
/// `elsewhere`, if that is given.
pub(crate) fn open_machine(
    config: &Config,
    root: &Path,
    elsewhere: Option<&Path>,
    asked: Option<&TreePath>,
) -> Result<Machine> {
    let Some(base) = elsewhere else { return Machine::open(root) };
    let declared = config.storages.iter().map(|storage| &storage.path);
    Machine::with_storages_below(root, base, declared.chain(asked).cloned().collect())
}

/// A path as the reader names it, inside the tree: an absolute one as it is on the machine that
/// live is the root of, any other from the working directory on. `what` begins the message of an error.
pub(crate) fn in_tree(path: &Path, root: &Path, what: &str) -> Result<TreePath> {
    let shown = || format!("{what} `{}`", Escaped::of_path(path));
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
                return Err(Error::new(shown(), why).hint("name it by its absolute path"));
            }
        }
    };
    TreePath::parse(absolute.as_os_str().as_bytes())
        .map_err(|why| Error::new(shown(), format!("the path {why}")).hint("write it without"))
}

/// With `--root DIR`, `DIR/etc` is what people may type for `/etc`: a path of this host, and none that
/// the root has.
pub(crate) fn refuse_host_path(path: &Path, root: &Path, what: &str) -> Result<()> {
    let Ok(below) = path.strip_prefix(root) else { return Ok(()) };
    let in_root = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    if root == Path::new("/") || in_root(path).symlink_metadata().is_ok() {
        return Ok(());
    }
    let bytes = |path: &Path| Escaped::of_path(path).to_string();
    let why = format!(
        "it is a path of this host, and paths are named as the root at {} has them",
        bytes(root)
    );
    Err(Error::new(format!("{what} `{}`", bytes(path)), why)
        .hint(format!("name it {}", bytes(&Path::new("/").join(below)))))
}
