//! `history`: reads or makes the digests of all old roots, and tells what each lost, or which versions of a path
//! there are.

use std::io;
use std::process::ExitCode;

use chrono::Local;
use dirfd::Error;

use crate::cli::arguments::{Cli, Format, History};
use crate::cli::invocation::{Failure, in_tree, load_config};
use crate::history::all_roots::{AllRoots, Histories};
use crate::history::{history_json, history_text};
use crate::ui;

pub(crate) fn run(cli: &Cli, args: &History) -> Result<ExitCode, Failure> {
    let root = &args.root.root;
    let paths = args.paths.iter().map(|path| in_tree(path, root, "look for versions of"));
    let paths = paths.collect::<Result<Vec<_>, Error>>()?;
    let config = load_config(cli, root)?;
    let backend = config.open_backend(root)?;
    let roots = AllRoots::gather(backend.as_ref(), &config, root)?;
    let (out, style) = (io::stdout().lock(), ui::style_of_output(cli));
    if paths.is_empty() {
        let lives = roots.lives(&roots.changes_in_live()?, |_| {})?;
        match args.format {
            Format::Json => history_json::write_lives_json(&lives, out)?,
            Format::Human => history_text::write_lives(&lives, &style, &Local::now(), out)?,
        }
    } else {
        let Histories { of, of_paths, .. } =
            roots.histories(&paths, &roots.changes_in_live()?, 0)?;
        match args.format {
            Format::Json => history_json::write_versions_json(&of, &of_paths, out)?,
            Format::Human => {
                history_text::write_versions(&of, &of_paths, &style, &Local::now(), out)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
