//! The README's own commands, so that what it says is what is tested.

/// The commands of the block that a comment `<!-- vm-test: NAME -->` marks, one a line.
///
/// Panics where the README has no such block.
pub fn commands(readme: &str, name: &str) -> Vec<String> {
    let marker = format!("<!-- vm-test: {name} -->\n```sh\n");
    let (_, block) = readme.split_once(&marker).unwrap_or_else(|| panic!("no {marker:?}"));
    let (block, _) = block.split_once("```").unwrap_or_else(|| panic!("{name} has no end"));
    block.lines().map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_found_by_its_name() {
        let text = "a\n<!-- vm-test: x -->\n```sh\none\ntwo 2\n```\nb";
        assert_eq!(commands(text, "x"), ["one", "two 2"]);
    }
}
