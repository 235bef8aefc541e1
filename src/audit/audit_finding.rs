//! Judges each stray by `[audit]`: it fails the audit, or is only told. Pure.

use std::borrow::Borrow;
use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use dirfd::Result;

use crate::audit::audit_record::{AuditResult, AuditSummary};
use crate::catalogue::catalogue_entry::Advice;
use crate::config::Config;
use crate::config::audit_options::{AuditOptions, FailOn};
use crate::diff::classify::Verdict;
use crate::diff::owner_groups::{Group, GroupOf, group_strays};
use crate::diff::ownerships::Ownerships;
use crate::diff::summary::{Tally, new_bytes};
use crate::diff::{DiffReport, DiffRow};
use crate::evidence::classes::{Class, ClassCounts};
use crate::owners::Owner;

/// What an audit found.
#[derive(Debug, Default)]
pub(crate) struct AuditFinding {
    /// How many old roots were asked.
    old_roots: u16,
    /// All strays.
    strays: Tally,
    /// Those that fail the audit.
    fails: Tally,
    /// Of all strays.
    classes: ClassCounts,
    /// Those that fail the audit, by owner.
    groups: BTreeMap<GroupOf, Group>,
    /// The places of these among all changes, in order.
    failing: Vec<usize>,
}

impl AuditFinding {
    /// Judges what a report shows. Owners are read where the verdict may depend on them, or something is found.
    pub(crate) fn of<'v, O: Borrow<Ownerships<'v>>>(
        report: &DiffReport<'_>,
        config: &Config,
        read_owners: impl FnOnce() -> Result<O>,
    ) -> Result<Self> {
        let mut found = Self { old_roots: report.boots(), ..Self::default() };
        let options = &config.audit;
        let catalogue = LazyCell::new(|| config.catalogue());
        // Another version of a cache that all old roots had alike is no news, since it changes now and then.
        let is_disposable = |path: &[u8]| {
            let advice = catalogue.find(path).map(|found| found.entry.advice);
            matches!(advice, Some(Advice::Forget))
        };
        let is_news = |row: &DiffRow<'_>| {
            report.is_news(row) && !(row.class == Some(Class::Same) && is_disposable(row.path))
        };
        let mut needs_owners = false;
        for_each_stray(report, |row| {
            found.strays.add(new_bytes(row.kind, row.facts));
            found.classes.add(ClassCounts::one(row.class));
            needs_owners |= fails(options, row.path, is_news(row), None)
                || (!options.fail_owners.is_empty() && !is_told(options, row.path, None));
        });
        if !needs_owners {
            return Ok(found);
        }
        let owners = read_owners()?;
        found.groups = group_strays(report, owners.borrow(), |row, owner| {
            let fails = fails(options, row.path, is_news(row), owner);
            if fails {
                found.fails.add(new_bytes(row.kind, row.facts));
                found.failing.push(row.at);
            }
            fails
        });
        Ok(found)
    }

    /// The same in numbers; `since` names the old root from which on they were asked, `at` the event.
    pub(crate) fn summary(&self, since: Option<String>, at: Option<String>) -> AuditSummary {
        let told = Tally {
            count: self.strays.count - self.fails.count,
            bytes: self.strays.bytes.saturating_sub(self.fails.bytes),
        };
        AuditSummary {
            at,
            result: if self.fails.count == 0 { AuditResult::Clean } else { AuditResult::Found },
            since,
            old_roots: self.old_roots,
            fails: self.fails,
            told,
            classes: self.classes.into(),
        }
    }

    /// Packages that were installed, updated or removed since blank, as titles.
    pub(crate) fn package_titles(&self) -> impl Iterator<Item = String> {
        let of_packages = self.groups.iter().filter(|(of, _)| of.is_of_packages());
        of_packages.map(|(of, group)| of.title(group))
    }

    /// Whether the change at this place fails the audit.
    pub(crate) fn fails_at(&self, at: usize) -> bool {
        self.failing.binary_search(&at).is_ok()
    }

    /// What fails the audit, by owner.
    pub(crate) fn groups(&self) -> &BTreeMap<GroupOf, Group> {
        &self.groups
    }
}

fn for_each_stray(report: &DiffReport<'_>, mut see: impl FnMut(&DiffRow<'_>)) {
    let Ok(()) = report.for_each::<Infallible>(|row| {
        if row.verdict == Verdict::Stray {
            see(row);
        }
        Ok(())
    });
}

fn is_told(options: &AuditOptions, path: &[u8], owner: Option<&Owner>) -> bool {
    options.tell_paths.covers(path).is_some()
        || owner.is_some_and(|owner| options.tell_owners.names(owner))
}

/// Whether a stray fails the audit. What is only told outweighs what fails; a list outweighs the class.
fn fails(options: &AuditOptions, path: &[u8], is_news: bool, owner: Option<&Owner>) -> bool {
    if is_told(options, path, owner) {
        return false;
    }
    let is_listed = options.fail_paths.covers(path).is_some()
        || owner.is_some_and(|owner| options.fail_owners.names(owner));
    is_listed
        || match options.fail {
            FailOn::New => is_news,
            FailOn::Stray => true,
            FailOn::Listed => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn options(audit: &str) -> AuditOptions {
        let text = format!("[root]\nbackend = \"tmpfs\"\n[audit]\n{audit}");
        Config::parse(Path::new("f"), text.as_bytes()).unwrap().audit
    }

    #[test]
    fn a_stray_is_judged_by_lists_first_and_then_by_whether_it_is_news() {
        let (nginx, alice) = (Owner::Package("nginx".into()), Owner::User("alice".into()));
        let (new, changing) = (true, false);
        for (audit, path, is_news, owner, expected) in [
            ("", "srv/x", new, None, true),
            ("", "srv/x", changing, None, false),
            ("fail = 'stray'", "srv/x", changing, None, true),
            ("fail = 'listed'", "srv/x", new, Some(&nginx), false),
            ("fail = 'listed'\nfail_paths = ['/srv']", "srv/x", changing, None, true),
            ("fail_paths = ['/etc/**']", "etc", changing, None, false),
            ("fail_owners = ['nginx']", "srv/x", changing, Some(&nginx), true),
            ("fail_owners = ['nginx']", "srv/x", changing, Some(&alice), false),
            ("tell_owners = ['user alice']", "srv/x", new, Some(&alice), false),
            ("tell_owners = ['package alice']", "srv/x", new, Some(&alice), true),
            ("tell_paths = ['/srv']\nfail = 'stray'", "srv/x", new, None, false),
            // What is only told outweighs what fails.
            ("tell_paths = ['/srv/x']\nfail_paths = ['/srv']", "srv/x", new, None, false),
            ("tell_owners = ['nginx']\nfail_paths = ['/etc']", "etc/x", new, Some(&nginx), false),
        ] {
            let found = fails(&options(audit), path.as_bytes(), is_news, owner);
            assert_eq!(found, expected, "{audit:?} {path} {is_news} {owner:?}");
        }
    }
}
