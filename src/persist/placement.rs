//! Whether an entry is bound or linked: what is said of it, what its kind asks for, and what its data and its
//! program made of it; and whether the initrd does that already.

use dirfd::FileType;

use crate::catalogue::catalogue_entry::CatalogueEntry;
use crate::config::entry::{EntryKind, PlacementMethod};
use crate::persist::list::KeepEntry;

impl KeepEntry {
    /// What its list says, or else what is known of its path.
    pub(crate) fn stated_placement(&self) -> Option<PlacementMethod> {
        self.how.or_else(|| self.known.and_then(CatalogueEntry::how))
    }

    /// The same, and a mount for a directory: what does not depend on what is there.
    pub(crate) fn fixed_placement(&self) -> Option<PlacementMethod> {
        self.stated_placement()
            .or_else(|| (self.kind == EntryKind::Dir).then_some(PlacementMethod::Bind))
    }

    /// How it comes to its place, where storage has this. A file that nobody has made yet is linked, so that
    /// its program can make it through the link, and so is one that a program put in the place of a link: over
    /// a mount it could not.
    pub(crate) fn placement(
        &self,
        was_replaced: bool,
        stored: Option<FileType>,
    ) -> PlacementMethod {
        self.fixed_placement().unwrap_or_else(|| {
            let has_file = stored.map_or(self.create, |stored| stored == FileType::File);
            match has_file && !was_replaced {
                true => PlacementMethod::Bind,
                false => PlacementMethod::Symlink,
            }
        })
    }

    /// Whether the initrd sets it up, before any unit of the root runs.
    pub(crate) fn is_set_up_in_initrd(&self) -> bool {
        self.in_initrd.unwrap_or_else(|| self.known.is_some_and(|known| known.early))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::list::fixture::entries;

    #[test]
    fn what_is_said_comes_first_and_then_what_is_there() {
        use PlacementMethod::{Bind, Symlink};
        let one = |line: &str| entries(line).remove(0);
        for (list, stated, fixed) in [
            ("directories = [\"/srv/a\"]", None, Some(Bind)),
            (
                "directories = [{ path = \"/srv/a\", how = \"symlink\" }]",
                Some(Symlink),
                Some(Symlink),
            ),
            ("files = [\"/srv/a\"]", None, None),
            ("files = [{ path = \"/srv/a\", how = \"bind\" }]", Some(Bind), Some(Bind)),
            ("files = [\"/etc/machine-id\"]", Some(Bind), Some(Bind)),
        ] {
            assert_eq!(one(list).stated_placement(), stated, "{list}");
            assert_eq!(one(list).fixed_placement(), fixed, "{list}");
        }
        let open = one("files = [\"/srv/a\"]");
        let created = one("files = [{ path = \"/srv/a\", create = true }]");
        for (entry, was_replaced, stored, expected) in [
            (&open, false, Some(FileType::File), Bind),
            (&open, false, Some(FileType::Symlink), Symlink),
            (&open, false, None, Symlink),
            (&open, true, Some(FileType::File), Symlink),
            (&created, false, None, Bind),
            (&created, true, None, Symlink),
        ] {
            assert_eq!(
                entry.placement(was_replaced, stored),
                expected,
                "{was_replaced} {stored:?}"
            );
        }
    }
}
