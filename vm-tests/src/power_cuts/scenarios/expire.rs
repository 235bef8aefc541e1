//! `expire` in a running system: old roots are deleted, one after the other.

use std::fs;

use backends::{Survey, Unfinished};

use crate::power_cuts::ground;
use crate::power_cuts::host::Host;
use crate::power_cuts::known::{Held, Known, old_root};
use crate::power_cuts::scenario::Scenario;

/// So many of the oldest old roots are to go.
const DOOMED: usize = 2;
/// Long before the days that they stay.
const LONG_AGO: &str = "2001-02-03T04:05:06Z";

/// Two old roots of four expire.
#[derive(Clone, Copy, Debug)]
pub struct Expire;

impl Expire {
    fn check_staying(host: &Host<'_>, known: &Known) -> Survey {
        let survey = host.survey();
        known.check_blank(host, &survey);
        let live = known.live(host, &survey);
        assert_eq!(live.id, known.live.id, "live is another tree");
        known.live.check(host, live, "live", &[]);
        let staying: Vec<&Held> = known.old_roots.iter().skip(DOOMED).collect();
        assert_eq!(staying.len(), 2);
        known.check_old_roots(host, &survey, &staying);
        survey
    }
}

impl Scenario for Expire {
    fn name(&self) -> &'static str {
        "expire"
    }

    fn prepare(&self, host: &Host<'_>) {
        ground::install(host);
        ground::live(host, 5);
        for old in host.survey().old_roots.iter().take(DOOMED) {
            let path = host.top().join("old-roots").join(format!("{}.json", old.record.name));
            let mut record: serde_json::Value =
                serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            record["time"] = LONG_AGO.into();
            fs::write(path, serde_json::to_vec(&record).unwrap()).unwrap();
        }
        support::sandbox::sync(host.top());
    }

    fn script(&self, _known: &Known) -> String {
        // What is deleted is cleared away later, by the kernel.
        let wait = "sleep 1\nsync\n".repeat(3);
        let config = ground::config();
        format!(
            "mkdir /sysroot /etc\nmount -o subvol=root -t btrfs /dev/$dev /sysroot\ncat \
             >/etc/blankroot.toml <<'EOF'\n{config}EOF\nblankroot expire\nmark done\n{wait}umount \
             /sysroot\n"
        )
    }

    fn check(&self, host: &Host<'_>, known: &Known, _said: &[String]) {
        let survey = Self::check_staying(host, known);
        for doomed in known.old_roots.iter().take(DOOMED) {
            // What still passes for an old root is whole.
            if let Some(old) = old_root(&survey, &doomed.id) {
                doomed.check(host, &old.tree, "an old root that may go", &[]);
            }
        }
        Known::check_unfinished(&survey, |left| {
            use backends::Unfinished::{HalfDeleted, Leftover, RecordOnly};
            matches!(left, HalfDeleted { .. } | RecordOnly(_) | Leftover(_))
        });
    }

    fn again(&self, host: &Host<'_>, _known: &Known) {
        host.configure(&ground::config());
        host.run(&["expire"]).expect(0);
    }

    fn check_converged(&self, host: &Host<'_>, known: &Known) {
        let survey = Self::check_staying(host, known);
        assert_eq!(survey.old_roots.len(), 2, "{:?}", survey.old_roots);
        Known::check_unfinished(&survey, |left| matches!(left, Unfinished::Leftover(_)));
    }
}
