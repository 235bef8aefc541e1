//! `keep` in a running system: data is copied to the storage, which is another subvolume, the
//! configuration is changed, and the copy is mounted in the place of the data.

use std::fs;

use backends::Unfinished;

use super::is_done;
use crate::power_cuts::ground::{self, NOTES};
use crate::power_cuts::host::Host;
use crate::power_cuts::known::{CONFIG, Known, below, same};
use crate::power_cuts::scenario::Scenario;

/// A configuration that is not whole.
const CONFIG_IN_PARTS: &str = "etc/.blankroot.toml.tmp-";
/// What the storage gets, and where it is before it is whole.
const STORED: [&str; 2] = ["srv", COPY_IN_PARTS];
const COPY_IN_PARTS: &str = ".blankroot.tmp-";
/// The lock of whoever edits the configuration.
const LOCK: &str = "etc/.blankroot.toml.lock";

/// A directory is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep;

impl Keep {
    /// Nothing of what is not to be moved has changed, and the data is in live as it was. Whether the
    /// configuration has the entry.
    fn check_all(host: &Host<'_>, known: &Known) -> bool {
        let survey = host.survey();
        known.check_blank(host, &survey);
        known.check_old_roots(host, &survey, &known.old_roots.iter().collect::<Vec<_>>());
        let live = known.live(host, &survey);
        assert_eq!(live.id, known.live.id, "live is another tree");
        known.live.check(host, live, "live", &[CONFIG, CONFIG_IN_PARTS, LOCK]);
        same(&known.storage, &host.walk("persist"), "the storage", &STORED);
        Known::check_unfinished(&survey, |left| matches!(left, Unfinished::Leftover(_)));
        let config = fs::read(host.top().join("root").join(CONFIG)).unwrap();
        let declared = config == known.config_after;
        assert!(declared || config == ground::config().as_bytes(), "a configuration that is torn");
        declared
    }

    /// The storage has all of the data.
    fn check_stored(host: &Host<'_>, known: &Known) {
        let wanted = below(&known.live.tree, NOTES);
        same(&wanted, &below(&host.walk("persist"), NOTES), "what is in the storage", &[]);
    }
}

impl Scenario for Keep {
    fn name(&self) -> &'static str {
        "keep"
    }

    fn prepare(&self, host: &Host<'_>) {
        ground::install(host);
        ground::live(host, 3);
    }

    fn script(&self, _known: &Known) -> String {
        format!(
            "mkdir /sysroot\nmount -o subvol=root -t btrfs /dev/$dev /sysroot\nmount -o \
             subvol=persist -t btrfs /dev/$dev /sysroot/persist\nblankroot keep --root /sysroot \
             /{NOTES}\nmark done\numount /sysroot/{NOTES} /sysroot/persist /sysroot\n"
        )
    }

    fn check(&self, host: &Host<'_>, known: &Known, said: &[String]) {
        let declared = Self::check_all(host, known);
        assert!(declared || !is_done(said), "an entry that was told of is lost");
        if declared {
            Self::check_stored(host, known);
        }
    }

    fn again(&self, host: &Host<'_>, known: &Known) {
        let mounts = host.mount_live();
        host.run_on_live(&["keep", "--even-if-unseen", &format!("/{NOTES}")]).expect(0);
        // Where it was kept already, this is what the boot does.
        host.run_on_live(&["apply"]).expect(0);
        let seen = support::oracle::walk(&host.live().join(NOTES));
        same(&below(&known.live.tree, NOTES), &seen, "what a program sees", &[]);
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let place = host.live().join(NOTES);
        let is_mounted = table.lines().any(|line| line.split(' ').nth(4) == place.to_str());
        assert!(is_mounted, "it is not mounted");
        host.unmount_live(mounts);
    }

    fn check_converged(&self, host: &Host<'_>, known: &Known) {
        assert!(Self::check_all(host, known), "the configuration lacks the entry");
        assert!(!host.top().join("root").join(LOCK).exists(), "the lock is still there");
        let is_in_parts = |path: &Vec<u8>| path.starts_with(COPY_IN_PARTS.as_bytes());
        assert!(!host.walk("persist").keys().any(is_in_parts), "a copy in parts is still there");
        Self::check_stored(host, known);
    }
}
