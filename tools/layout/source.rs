//! Source files as far as their layout matters: where comments, strings and tests are, and what is imported.

use std::path::Path;
use std::{fs, io};

/// One file of a crate.
pub struct SourceFile {
    /// Relative to the project's directory.
    pub path: String,
    /// The crate's folder, then the modules down to this one.
    pub module: Vec<String>,
    /// The text without comments, strings and characters; its lines are those of the file.
    code: String,
}

/// Reads every file of these crates, in the order of their paths.
pub fn read_crates(folders: &[&str]) -> io::Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    let mut directories: Vec<_> =
        folders.iter().map(|folder| Path::new(folder).to_path_buf()).collect();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            // An integration test is a crate of its own.
            if path.is_dir() && path != Path::new("backends/tests") {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(SourceFile::new(&path.to_string_lossy(), &fs::read_to_string(&path)?));
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

impl SourceFile {
    fn new(path: &str, text: &str) -> Self {
        let mut module: Vec<String> =
            path.trim_end_matches(".rs").split('/').map(str::to_string).collect();
        if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            module.pop();
        }
        Self { path: path.to_string(), module, code: blank_out(text) }
    }

    /// Whether the whole file is compiled for tests alone.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("_tests.rs")
            || self.path.ends_with("_fixture.rs")
            || self.module.iter().any(|part| part == "tests" || part == "conformance")
    }

    /// Lines with code, those of tests left out.
    pub fn production_lines(&self) -> usize {
        self.production_code().lines().filter(|line| !line.trim().is_empty()).count()
    }

    /// The paths that this file imports or names from its crate's root on, each from the crate's folder on.
    pub fn imported_paths(&self) -> Vec<Vec<String>> {
        let tokens = tokens(self.production_code());
        let mut found = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let begins = at == 0 || tokens[at - 1] != "::";
            // What a module makes visible of its own children is no import.
            let reexported = at >= 2 && tokens[at - 1] == "use" && tokens[at - 2] == "pub";
            if begins && !reexported && *token == "crate" {
                let root = vec![self.module[0].clone()];
                collect_paths(&tokens, at + 1, root, &mut found);
            } else if begins && !reexported && *token == "super" {
                let parent = self.module[..self.module.len() - 1].to_vec();
                collect_paths(&tokens, at + 1, parent, &mut found);
            }
        }
        found
    }

    /// Statements that read a file to its end and do not say how much of it at most.
    pub fn statements_that_read_to_the_end(&self) -> Vec<&str> {
        let reads = ["fs::read(", "read_to_string(", "read_to_end("];
        let statements = self.production_code().split([';', '{', '}']).map(str::trim);
        statements
            .filter(|statement| reads.iter().any(|read| statement.contains(read)))
            .filter(|statement| !statement.contains(".take("))
            .collect()
    }

    /// The code up to the tests, which stand last in a file.
    fn production_code(&self) -> &str {
        let tests = self.code.find("#[cfg(test)]\nmod ").or(self.code.find("#[cfg(test)]\n#[path"));
        tests.map_or(&self.code[..], |tests| &self.code[..tests])
    }
}

/// Follows `::name`, `::{…}` and `::*` from `at` on; returns where the path ends.
fn collect_paths(
    tokens: &[&str],
    mut at: usize,
    mut path: Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    while tokens.get(at) == Some(&"::") {
        match tokens.get(at + 1) {
            Some(&"{") => {
                at += 2;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    if tokens[at] == "," {
                        at += 1;
                        continue;
                    }
                    let mut branch = path.clone();
                    if tokens[at] != "self" {
                        branch.push(tokens[at].to_string());
                    }
                    at = collect_paths(tokens, at + 1, branch, found);
                    while tokens.get(at).is_some_and(|token| *token != "," && *token != "}") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Some(name) if is_name(name) => path.push((*name).to_string()),
            _ => break,
        }
        at += 2;
    }
    found.push(path);
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::` and single other characters.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        found.push(token);
        rest = after.trim_start();
    }
    found
}

/// Takes comments, strings and characters out of a text, and keeps its line breaks.
fn blank_out(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = length_of_comment(rest).or_else(|| length_of_literal(rest));
        match length {
            // A string is code that stands on its lines, and a comment is not.
            Some(length) => {
                let is_literal = !rest.starts_with("//") && !rest.starts_with("/*");
                for (at, line) in rest[..length].split('\n').enumerate() {
                    if at > 0 {
                        code.push('\n');
                    }
                    if is_literal && !line.trim().is_empty() {
                        code.push('"');
                    }
                }
                rest = &rest[length..];
            }
            None => {
                // A name is taken whole, so that the `r` at its end begins no string.
                let is_part = |c: char| c.is_alphanumeric() || c == '_';
                let name = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
                let length = if is_part(first) { name } else { first.len_utf8() };
                code.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
    }
    code
}

fn length_of_comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| rest.find("*/").map_or(rest.len(), |end| end + 2))
}

fn length_of_literal(rest: &str) -> Option<usize> {
    let prefix = rest.find(|c: char| !['b', 'c', 'r'].contains(&c)).unwrap_or(rest.len());
    if prefix > 2 {
        return None;
    }
    let (letters, after) = rest.split_at(prefix);
    if letters.contains('r') {
        let hashes = after.find(|c| c != '#')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let content = after[hashes..].strip_prefix('"')?;
        return content.find(&end).map(|at| prefix + hashes + 1 + at + end.len());
    }
    if let Some(content) = after.strip_prefix('"') {
        return end_of_quoted(content, '"').map(|end| prefix + 1 + end);
    }
    // `'a'` is a character, `'a` a lifetime.
    let content = after.strip_prefix('\'')?;
    let mut characters = content.chars();
    match (characters.next()?, characters.next()) {
        ('\\', _) => end_of_quoted(content, '\'').map(|end| prefix + 1 + end),
        (one, Some('\'')) => Some(prefix + 1 + one.len_utf8() + 1),
        _ => None,
    }
}

/// The length of a quoted text whose quote was opened, with the one that closes it.
fn end_of_quoted(content: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in content.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(at + character.len_utf8()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(text: &str) -> Vec<String> {
        let file = SourceFile::new("src/boot/stamp.rs", text);
        file.imported_paths().iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn imports_are_found_in_every_shape() {
        let text = "use crate::{config::{self, Config}, host};\nuse super::facts::Boot as Now;\n\
                    fn f() -> crate::ui::Style { \"crate::no\"; 'c'; r#\"crate::no\"# } // crate::no\n\
                    pub use crate::reexport::X;\n#[cfg(test)]\nmod tests { use crate::only::tests; }";
        let expected = [
            "src::config",
            "src::config::Config",
            "src::host",
            "src::boot::facts::Boot",
            "src::ui::Style",
        ];
        assert_eq!(imports(text), expected);
    }

    #[test]
    fn lines_of_code_are_counted_without_comments_and_tests() {
        let text = "//! Doc.\n\nfn f() {\n    // why\n    let s = \"two\n\n      lines\";\n}\n/* a\n b */\n\
                    #[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(SourceFile::new("src/log.rs", text).production_lines(), 4);
    }

    #[test]
    fn a_read_to_the_end_needs_a_bound_in_its_own_statement() {
        let text = "fn f() {\n    one.read_to_end(&mut bytes)?;\n    two\n        .take(5)\n        \
                    .read_to_end(&mut bytes)?;\n    if true { fs::read(path) } else { // fs::read(\n    }\n}\n\
                    #[cfg(test)]\nmod tests { fn g() { fs::read_to_string(path); } }";
        let file = SourceFile::new("src/log.rs", text);
        let found = file.statements_that_read_to_the_end();
        assert_eq!(found, ["one.read_to_end(&mut bytes)?", "fs::read(path)"]);
    }
}
