//! The real path of something that was named through symbolic links, so that whoever refuses to follow
//! them can say what to name instead.

use std::collections::VecDeque;

use dirfd::TreePath;

/// As many links as the kernel follows on one way (path_resolution(7)).
pub(crate) const MAX_LINKS: usize = 40;

/// The first link on the way to a path. What the path itself names does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkOnTheWay {
    pub(crate) link: TreePath,
    /// What the link says.
    pub(crate) target: Vec<u8>,
    /// The same path without links on the way; `None` if they lead in a circle.
    pub(crate) real: Option<TreePath>,
}

impl LinkOnTheWay {
    /// Follows the links on the way to `path` as the kernel does below a root directory, above which no
    /// `..` leads. `link_target` tells what a path says that has no link before its last name; `None` if
    /// it is no link, or not there: what is missing is taken for a directory.
    pub(crate) fn find(
        path: &TreePath,
        mut link_target: impl FnMut(&TreePath) -> Option<Vec<u8>>,
    ) -> Option<Self> {
        let mut first = None;
        let mut followed = 0;
        let mut real = TreePath::root();
        let mut left: VecDeque<Vec<u8>> =
            path.as_bytes().split(|&b| b == b'/').map(<[u8]>::to_vec).collect();
        while let Some(name) = left.pop_front() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    real = real.parent().unwrap_or_default();
                    continue;
                }
                _ => {}
            }
            let here = real.join(&name);
            // The last name is what the path itself names.
            let Some(target) = link_target(&here).filter(|_| !left.is_empty()) else {
                real = here;
                continue;
            };
            let (link, says) = first.get_or_insert((here, target.clone()));
            followed += 1;
            if followed > MAX_LINKS {
                return Some(Self { link: link.clone(), target: says.clone(), real: None });
            }
            if target.starts_with(b"/") {
                real = TreePath::root();
            }
            for part in target.rsplit(|&b| b == b'/') {
                left.push_front(part.to_vec());
            }
        }
        first.map(|(link, target)| Self { link, target, real: Some(real) })
    }

    /// Why the path cannot be used, to follow "cannot …: ".
    pub(crate) fn reason(&self) -> String {
        format!("{} is a link", self.link)
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        match &self.real {
            Some(real) => format!("name the real path, {real}"),
            None => "correct the link, which leads in a circle and so to no real path".to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: [(&str, &str); 13] = [
        ("/opt", "usr/opt"),
        ("/var/opt2", "../usr/opt"),
        ("/var/run", "/run"),
        ("/first", "./second//"),
        ("/second", "/var/third"),
        ("/var/third", "../var/opt2/more"),
        ("/usr/opt/more/up", "../.."),
        ("/out", "../../../etc/.."),
        ("/top", "/"),
        ("/round", "about/x"),
        ("/about", "round"),
        ("/self", "self"),
        ("/gone", "not/there/../yet"),
    ];

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    fn find(text: &str) -> Option<LinkOnTheWay> {
        let target = |place: &TreePath| {
            let link = LINKS.iter().find(|(link, _)| path(link) == *place);
            link.map(|(_, target)| target.as_bytes().to_vec())
        };
        LinkOnTheWay::find(&path(text), target)
    }

    #[test]
    fn a_path_through_links_has_one_real_path() {
        for (named, link, real) in [
            ("/opt/data", "/opt", "/usr/opt/data"),
            ("/var/opt2/data", "/var/opt2", "/usr/opt/data"),
            ("/var/run/app/x", "/var/run", "/run/app/x"),
            ("/first/a b", "/first", "/usr/opt/more/a b"),
            ("/first/up/data", "/first", "/usr/data"),
            ("/out/data", "/out", "/data"),
            ("/top/opt/data", "/top", "/usr/opt/data"),
            ("/gone/data", "/gone", "/not/yet/data"),
            // What the path itself names is not followed.
            ("/var/opt2/more/up", "/var/opt2", "/usr/opt/more/up"),
        ] {
            let found = find(named).unwrap();
            assert_eq!((found.link, found.real), (path(link), Some(path(real))), "{named}");
        }
        for without in ["/usr/opt/data", "/opt", "/", "/self"] {
            assert_eq!(find(without), None, "{without}");
        }
    }

    #[test]
    fn links_in_a_circle_lead_to_no_real_path() {
        for (named, link, target) in [
            ("/round/data", "/round", "about/x"),
            ("/about/data", "/about", "round"),
            ("/self/data", "/self", "self"),
        ] {
            let found = find(named).unwrap();
            assert_eq!((found.link.clone(), found.real.clone()), (path(link), None), "{named}");
            assert_eq!(found.target, target.as_bytes(), "{named}");
            assert!(found.hint().contains("leads in a circle"), "{found:?}");
        }
    }

    /// As many as the kernel follows, and one more.
    #[test]
    fn a_long_chain_is_followed_as_far_as_the_kernel_does() {
        let chain = |count: usize| {
            let target = |place: &TreePath| {
                let number: usize = std::str::from_utf8(place.as_bytes()).ok()?.parse().ok()?;
                (number > 0).then(|| format!("{}", number - 1).into_bytes())
            };
            LinkOnTheWay::find(&path(&format!("/{count}/x")), target).unwrap().real
        };
        assert_eq!(chain(MAX_LINKS), Some(path("/0/x")));
        assert_eq!(chain(MAX_LINKS + 1), None);
    }
}
