//! `layout check` fails if two modules import each other, two files have one name or a file is read without a
//! bound; `layout count` prints the lines of production code: without blank lines, comments and tests.
//!
//! Modules are files here. What a module imports is read from its text, since a compiler that builds one
//! crate at a time does not mind modules that need each other.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::{env, io};

use source::SourceFile;

/// The folders of the product; tests, benchmarks and tools are free in how they are laid out.
const CRATES: [&str; 4] = ["src", "backends", "dirfd", "scratch"];
/// Names that the compiler gives a meaning.
const NAMES_OF_MODULES: [&str; 3] = ["mod.rs", "lib.rs", "main.rs"];

fn main() -> ExitCode {
    let ended = match env::args().nth(1).as_deref() {
        Some("check") => check(),
        Some("count") => count(),
        _ => Err(io::Error::other("usage: layout check|count, in the project's directory")),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("layout: {error}");
        ExitCode::from(2)
    })
}

fn check() -> io::Result<ExitCode> {
    let files = source::read_crates(&CRATES)?;
    let found =
        [files_of_one_name(&files), modules_in_a_circle(&files), reads_without_bound(&files)]
            .concat();
    for problem in &found {
        eprintln!("layout: {problem}");
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn files_of_one_name(files: &[SourceFile]) -> Vec<String> {
    let mut paths_by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in files {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        if !NAMES_OF_MODULES.contains(&name) {
            paths_by_name.entry(name).or_default().push(&file.path);
        }
    }
    paths_by_name
        .values()
        .filter(|paths| paths.len() > 1)
        .map(|paths| format!("these files have one name: {}", paths.join(", ")))
        .collect()
}

fn modules_in_a_circle(files: &[SourceFile]) -> Vec<String> {
    let modules: BTreeMap<String, &SourceFile> = files
        .iter()
        .filter(|file| !file.is_test())
        .map(|file| (file.module.join("::"), file))
        .collect();
    let imports: BTreeMap<&str, BTreeSet<String>> = modules
        .iter()
        .map(|(name, file)| {
            let imported = file.imported_paths().into_iter();
            let in_files = imported.filter_map(|path| module_of(&path, &modules));
            (name.as_str(), in_files.filter(|other| other != name).collect())
        })
        .collect();
    let mut found = Vec::new();
    for (module, others) in &imports {
        for other in others.iter().filter(|other| other.as_str() > *module) {
            if imports[other.as_str()].contains(*module) {
                found.push(format!("these modules import each other: {module}, {other}"));
            }
        }
    }
    found
}

/// Whoever reads a file to its end reads as much as its author likes. The kernel's pipe in `zfs_ioctls.rs` is bounded
/// by whoever reads the records of it.
fn reads_without_bound(files: &[SourceFile]) -> Vec<String> {
    let production =
        files.iter().filter(|file| !file.is_test() && !file.path.ends_with("/zfs_ioctls.rs"));
    let reads = production.flat_map(|file| {
        let statements = file.statements_that_read_to_the_end().into_iter();
        statements.map(|statement| format!("{}: a read without a bound: {statement}", file.path))
    });
    reads.collect()
}

/// The longest beginning of `path` that is a module.
fn module_of(path: &[String], modules: &BTreeMap<String, &SourceFile>) -> Option<String> {
    let beginnings = (1..=path.len()).rev().map(|length| path[..length].join("::"));
    beginnings.into_iter().find(|beginning| modules.contains_key(beginning))
}

fn count() -> io::Result<ExitCode> {
    let files = source::read_crates(&CRATES)?;
    let mut lines_by_folder: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for file in files.iter().filter(|file| !file.is_test()) {
        let mut parts = file.path.split('/');
        let folder: Vec<&str> = match (parts.next(), parts.next(), parts.next()) {
            (Some(root), Some(below), Some(_)) => vec![root, below],
            (Some(root), ..) => vec![root],
            (None, ..) => continue,
        };
        lines_by_folder.entry(folder.join("/")).or_default().push(file.production_lines());
    }
    let mut all = Vec::new();
    println!("{:<24} {:>6} {:>7} {:>7}", "folder", "files", "lines", "median");
    for (folder, lines) in &mut lines_by_folder {
        print_row(folder, lines);
        all.extend_from_slice(lines);
    }
    print_row("all", &mut all);
    Ok(ExitCode::SUCCESS)
}

fn print_row(title: &str, lines: &mut [usize]) {
    lines.sort_unstable();
    let median = lines.get(lines.len() / 2).copied().unwrap_or(0);
    println!("{title:<24} {:>6} {:>7} {median:>7}", lines.len(), lines.iter().sum::<usize>());
}
