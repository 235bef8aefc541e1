//! `report`: writes a page for a browser.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::arguments::{Cli, Report};
use crate::cli::invocation::{Failure, load_config};
use crate::report::fleet_page::write_fleet_page;
use crate::report::machine_page::write_machine_page;
use crate::ui::output_file;

/// It names what only root may see.
const MODE: u32 = 0o600;

pub(crate) fn run(cli: &Cli, args: &Report) -> Result<ExitCode, Failure> {
    let page = match &args.fleet {
        Some(dir) => write_fleet_page(dir)?,
        None => {
            let root = &args.root.root;
            let config = load_config(cli, root)?;
            write_machine_page(config.open_backend(root)?.as_ref(), &config, root)?
        }
    };
    match args.html == OsStr::new("-") {
        true => io::stdout().lock().write_all(page.as_bytes())?,
        false => output_file::replace(&args.html, page.as_bytes(), MODE, "the page")?,
    }
    Ok(ExitCode::SUCCESS)
}
