//! Paths in words: where a link leads by its text, and what a shell takes. Pure.

use backends::TreePath;
pub(super) use backends::path::shell_path as shell;

/// The path that a link at `link` stands for; `None` if it leads above the root.
pub(super) fn follow(link: &TreePath, to: &[u8]) -> Option<TreePath> {
    let parent = match link.as_bytes().iter().rposition(|&b| b == b'/') {
        Some(at) if !to.starts_with(b"/") => &link.as_bytes()[..at],
        _ => &[],
    };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in parent.split(|&b| b == b'/').chain(to.split(|&b| b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    TreePath::parse(&parts.join(&b'/')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_by_their_text() {
        let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
        for (link, to, expected) in [
            ("/var/log", "/persist/log", Some("/persist/log")),
            ("/var/log", "../persist/./log/", Some("/persist/log")),
            ("/a", "b", Some("/b")),
            ("/a/b", "../../..", None),
            ("/a/b", "/", Some("/")),
        ] {
            let found = follow(&path(link), to.as_bytes());
            assert_eq!(found, expected.map(path), "{link} -> {to}");
        }
    }
}
