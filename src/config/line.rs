//! Where in a configuration's text a key of `[root]` stands, for messages that say what to change.

use toml::de::{DeTable, DeValue};

/// The number of the line, from 1, that gives the `key` of `[root]`; of `[root]` itself where the
/// key is not there. `None` where there is no such table.
pub fn of_root_key(text: &str, key: &str) -> Option<usize> {
    let (table, _) = DeTable::parse_recoverable(text);
    let table = table.into_inner();
    let (name, root) = table.iter().find(|(name, _)| name.get_ref() == "root")?;
    let DeValue::Table(root) = root.get_ref() else { return None };
    let span = root
        .iter()
        .find(|(name, _)| name.get_ref() == key)
        .map_or(name.span(), |(name, _)| name.span());
    Some(text.get(..span.start)?.bytes().filter(|&byte| byte == b'\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_key_is_found_or_that_of_its_table() {
        let text = "# x\n[root]\nbackend = \"btrfs\"\n\nblank = \"a\"\n";
        assert_eq!(of_root_key(text, "blank"), Some(5));
        assert_eq!(of_root_key(text, "old"), Some(2));
        assert_eq!(of_root_key("[rollback]", "old"), None);
    }
}
