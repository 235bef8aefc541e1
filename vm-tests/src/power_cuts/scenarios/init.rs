//! `init` in a running system: the configuration is written, then blank is made, of live or empty.

use std::fs;

use backends::{Survey, Unfinished};
use support::oracle;

use super::is_done;
use crate::power_cuts::ground;
use crate::power_cuts::host::Host;
use crate::power_cuts::known::{CONFIG, Known, same};
use crate::power_cuts::scenario::Scenario;

/// The configuration, and what a cut leaves of one that was not whole: that is nobody's to delete, and so
/// it is in blank, too.
const MAY_DIFFER: [&str; 2] = [CONFIG, "etc/.blankroot.toml.tmp-"];

/// An initialisation.
#[derive(Clone, Copy, Debug)]
pub struct Init {
    /// Blank is to be empty.
    pub empty: bool,
}

impl Init {
    fn words(self) -> &'static [&'static str] {
        if self.empty { &["init", "--empty"] } else { &["init"] }
    }

    /// Live is as it was but for its configuration; blank is absent or whole.
    fn check_trees(self, host: &Host<'_>, known: &Known, survey: &Survey) -> bool {
        let live = known.live(host, survey);
        assert_eq!(live.id, known.live.id, "live is another tree");
        known.live.check(host, live, "live", &MAY_DIFFER);
        assert!(survey.old_roots.is_empty(), "{:?}", survey.old_roots);
        let Some(blank) = survey.blank.tree() else { return false };
        assert!(blank.read_only, "blank is writable");
        let (held, live) = (host.walk("root-blank"), host.walk("root"));
        if self.empty {
            let root: Vec<&oracle::Entry> = held.values().collect();
            assert!(root.len() == 1 && root[0].facts.mode == 0o755, "blank is not empty");
        } else {
            same(&live, &held, "blank", &[]);
        }
        true
    }
}

impl Scenario for Init {
    fn name(&self) -> &'static str {
        if self.empty { "init-empty" } else { "init" }
    }

    fn prepare(&self, host: &Host<'_>) {
        ground::install(host);
    }

    fn script(&self, known: &Known) -> String {
        let (id, words) = (&known.file_system, self.words().join(" "));
        format!(
            "mkdir -p /sysroot /dev/disk/by-uuid\nln -s /dev/$dev /dev/disk/by-uuid/{id}\nmount -o \
             subvol=root -t btrfs /dev/$dev /sysroot\nblankroot {words} --root /sysroot\nmark \
             done\numount /sysroot\n"
        )
    }

    fn check(&self, host: &Host<'_>, known: &Known, said: &[String]) {
        let survey = host.survey();
        let has_blank = self.check_trees(host, known, &survey);
        let config = fs::read(host.top().join("root").join(CONFIG)).ok();
        if let Some(config) = &config {
            let (found, whole) = (config.escape_ascii(), known.config_after.escape_ascii());
            assert!(*config == known.config_after, "a configuration of {found} and not {whole}");
        }
        assert!(!has_blank || config.is_some(), "there is a blank and no configuration");
        assert!(!is_done(said) || has_blank, "a blank that was told of is lost");
        Known::check_unfinished(&survey, |left| matches!(left, Unfinished::Leftover(_)));
    }

    fn again(&self, host: &Host<'_>, _known: &Known) {
        // The disk has another name here than in the guest.
        host.configure(&ground::config());
        let config = host.config();
        let there = host.top().join("root").join(CONFIG).exists();
        let also: &[&str] = if there { &["--config", config.to_str().unwrap()] } else { &[] };
        let mounts = host.mount_live();
        host.run_on_live(&[self.words(), also].concat()).expect(0);
        host.unmount_live(mounts);
    }

    fn check_converged(&self, host: &Host<'_>, known: &Known) {
        let survey = host.survey();
        assert!(self.check_trees(host, known, &survey), "there is no blank");
        assert!(survey.has_old_dir, "there is no directory of old roots");
        assert!(host.top().join("root").join(CONFIG).is_file(), "there is no configuration");
        if self.empty {
            return;
        }
        // What was made can be used.
        host.boot();
        host.run(&["rollback"]).expect(0);
        let survey = host.survey();
        known.live.check(host, known.live(host, &survey), "live", &MAY_DIFFER);
    }
}
