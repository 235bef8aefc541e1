//! Writes the man pages and the shells' completions into a directory: `cargo run --example man DIR`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use blankroot::cli::COMPLETION_VARIABLE;
use blankroot::cli::arguments::Cli;
use blankroot::cli::help::{examples, exit_status};
use clap::{Command, CommandFactory};
use clap_complete::env::Shells;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// The page on the configuration, which is written by hand.
const CONFIGURATION: &str = include_str!("../docs/man/blankroot.toml.5");

const NAME: &str = "blankroot";

fn main() -> Result<(), Box<dyn Error>> {
    let Some(dir) = env::args_os().nth(1).map(PathBuf::from) else {
        return Err("usage: cargo run --example man DIR".into());
    };
    let mut command = Cli::command();
    command.build();
    man_pages(&command, &make(&dir, "man1")?)?;
    fs::write(make(&dir, "man5")?.join("blankroot.toml.5"), CONFIGURATION)?;
    let completions = make(&dir, "completions")?;
    // Each asks the command itself, which alone knows the old roots and what they have.
    for (shell, file) in
        [("bash", "blankroot.bash"), ("zsh", "_blankroot"), ("fish", "blankroot.fish")]
    {
        let shells = Shells::builtins();
        let shell = shells.completer(shell).ok_or("a shell that is not known")?;
        let mut script = Vec::new();
        shell.write_registration(COMPLETION_VARIABLE, NAME, NAME, NAME, &mut script)?;
        fs::write(completions.join(file), script)?;
    }
    Ok(())
}

fn make(dir: &Path, name: &str) -> std::io::Result<PathBuf> {
    let dir = dir.join(name);
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn man_pages(top: &Command, dir: &Path) -> Result<(), Box<dyn Error>> {
    let commands: Vec<&Command> =
        top.get_subcommands().filter(|command| command.get_name() != "help").collect();
    fs::write(dir.join("blankroot.1"), page(top, "blankroot", &[])?)?;
    for command in commands {
        let name = format!("blankroot-{}", command.get_name());
        let others = [("blankroot", 1)];
        fs::write(dir.join(format!("{name}.1")), page(command, &name, &others)?)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str, see: &[(&str, u8)]) -> Result<Vec<u8>, Box<dyn Error>> {
    let title = name.to_uppercase();
    let man = Man::new(command.clone()).title(title).section("1").manual("Blankroot");
    let man = man.source(concat!("blankroot ", env!("CARGO_PKG_VERSION")));
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut out)?;
    }
    let (examples, codes) = (examples(command.get_name()), exit_status(command.get_name()));
    let mut more = Roff::new();
    if !codes.is_empty() {
        more.control("SH", ["EXIT STATUS"]);
        for (code, meaning) in codes {
            more.control("TP", []).text([bold(code.to_string())]).text([roman(*meaning)]);
        }
    }
    if !examples.is_empty() {
        more.control("SH", ["EXAMPLES"]);
        for (line, what) in examples {
            more.control("TP", []).text([bold(*line)]).text([roman(*what)]);
        }
    }
    if !see.is_empty() {
        more.control("SH", ["SEE ALSO"]);
        let names = see.iter().map(|(name, section)| format!("{name}({section})"));
        more.text([roman(names.collect::<Vec<_>>().join(", "))]);
    }
    more.to_writer(&mut out)?;
    Ok(out)
}
