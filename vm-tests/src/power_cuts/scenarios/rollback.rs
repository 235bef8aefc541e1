//! A boot: the rollback in the initrd, then the root that it made is mounted and used.

use std::ffi::OsStr;
use std::fs;

use backends::{Survey, Tree, Unfinished};

use super::is_done;
use crate::power_cuts::ground;
use crate::power_cuts::host::Host;
use crate::power_cuts::known::{Held, Known, old_root};
use crate::power_cuts::scenario::Scenario;
use crate::programs;

/// What the boot that goes on writes.
const USED: &str = "used";

/// A rollback, with or without moving the default subvolume.
#[derive(Clone, Copy, Debug)]
pub struct Rollback {
    /// Mounts that name no tree lead to live.
    pub live_is_default: bool,
}

impl Rollback {
    fn live<'s>(self, host: &Host<'_>, known: &Known, survey: &'s Survey) -> &'s Tree {
        known.check_blank(host, survey);
        known.check_old_roots(host, survey, &known.old_roots.iter().collect::<Vec<_>>());
        known.live(host, survey)
    }
}

impl Scenario for Rollback {
    fn name(&self) -> &'static str {
        if self.live_is_default { "rollback-of-default" } else { "rollback" }
    }

    fn prepare(&self, host: &Host<'_>) {
        ground::install(host);
        ground::live(host, 3);
        if self.live_is_default {
            let live = host.top().join("root");
            let args = ["subvolume", "set-default"].map(OsStr::new);
            programs::run("btrfs", args.into_iter().chain([live.as_os_str()]));
        }
    }

    fn script(&self, _known: &Known) -> String {
        let config = ground::config();
        let mount = if self.live_is_default { "mount" } else { "mount -o subvol=root" };
        format!(
            "mkdir /etc; cat >/etc/blankroot.toml <<'EOF'\n{config}EOF\nblankroot rollback\ngrep -q \
             rolled-back /run/blankroot/rollback.json\nmark done\nmkdir /sysroot\n{mount} -t btrfs \
             /dev/$dev /sysroot\necho used >/sysroot/{USED}\nsync\numount /sysroot\n"
        )
    }

    fn check(&self, host: &Host<'_>, known: &Known, said: &[String]) {
        let survey = host.survey();
        let live = self.live(host, known, &survey);
        if live.id == known.live.id {
            assert!(!is_done(said), "a rollback that was stamped is lost");
            known.live.check(host, live, "live, as before,", &[]);
        } else {
            known.blank.as_ref().unwrap().check(host, live, "live, replaced,", &[USED]);
            known.check_old_roots(host, &survey, &[&known.live]);
        }
        let default = self.live_is_default;
        assert!(!is_done(said) || survey.live_is_default == default, "where the default leads");
        Known::check_unfinished(&survey, |left| {
            use backends::Unfinished::{DefaultLeftBehind, FreshCopy, Leftover, RecordOnly};
            matches!(left, RecordOnly(_) | FreshCopy { .. } | Leftover(_) | DefaultLeftBehind(_))
        });
        let behind = |left: &Unfinished| matches!(left, Unfinished::DefaultLeftBehind(_));
        assert!(default || !survey.unfinished.iter().any(behind), "{:?}", survey.unfinished);
    }

    fn again(&self, host: &Host<'_>, _known: &Known) {
        host.configure(&ground::config());
        host.run(&["rollback"]).expect(0);
    }

    fn check_converged(&self, host: &Host<'_>, known: &Known) {
        let survey = host.survey();
        let live = self.live(host, known, &survey);
        assert_ne!(live.id, known.live.id, "live was not replaced");
        known.blank.as_ref().unwrap().check(host, live, "live", &[]);
        known.check_old_roots(host, &survey, &[&known.live]);
        assert_eq!(survey.live_is_default, self.live_is_default, "where the default leads");
        // If the boot had used the root that the interrupted rollback made, that is one, too.
        let expected = known.old_roots.iter().chain([&known.live]);
        let expected: Vec<&Held> = expected.collect();
        for old in &survey.old_roots {
            let is_known = expected.iter().any(|held| held.id == old.tree.id);
            if !is_known {
                let but = known.blank.as_ref().unwrap();
                but.check(host, &old.tree, "the root that was used since", &[USED]);
            }
        }
        assert!(survey.old_roots.len() <= expected.len() + 1, "{:?}", survey.old_roots);
        assert!(old_root(&survey, &known.live.id).is_some());
        Known::check_unfinished(&survey, |left| matches!(left, Unfinished::Leftover(_)));
        let stamp = fs::read_to_string(host.stamp()).unwrap();
        assert!(stamp.contains("rolled-back"), "{stamp}");
    }

    fn check_health(&self, host: &Host<'_>) {
        let mounts = host.mount_live();
        let config = host.config();
        host.run_on_live(&["status", "--config", config.to_str().unwrap()]).expect(0);
        host.unmount_live(mounts);
    }
}
