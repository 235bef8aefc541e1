//! What is in blank that should not be in every copy of it, and what the next rollback needs beside it: the
//! configuration, and room.

use backends::Obstacle;

use super::checks;
use super::facts::{BlankFacts, Facts, OwnConfig, Secret};
use super::finding::{Finding, Severity};
use super::way::shell;
use crate::plan::nested;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(blank) = &facts.blank {
        findings.extend(owner(blank));
        findings.extend(secrets(blank));
        findings.extend(identity(blank));
    }
    findings.extend(nested_trees(facts));
    findings.extend(immovable(facts));
    findings.extend(own_config(facts));
    findings.extend(old_roots_stay(facts));
    findings.extend(no_reserve(facts));
    findings
}

fn owner(blank: &BlankFacts) -> Option<Finding> {
    let root = blank.root;
    if (root.uid, root.gid, root.mode) == (0, 0, 0o755) {
        return None;
    }
    let dangerous = root.uid != 0 || root.mode & 0o022 != 0 || root.mode & 0o555 != 0o555;
    Some(Finding::new(
        &checks::BLANK_OWNER,
        if dangerous { Severity::Danger } else { Severity::Warning },
        format!(
            "the top directory of blank belongs to {}:{} and has the mode {:04o}",
            root.uid, root.gid, root.mode
        ),
        "after the next boot it is `/`: it should be 0:0 and 0755, or services refuse to start, or \
         others than root may write there",
        in_blank(blank, "`chown 0:0` and `chmod 0755` its top directory there"),
    ))
}

/// A change to blank, with what has to be done before and after it.
fn in_blank(blank: &BlankFacts, change: &str) -> String {
    match &blank.to_change_it {
        Some([before, after]) => format!("{before}, {change}, {after}"),
        None => change.to_string(),
    }
}

/// All of them are one thing to mend.
fn secrets(blank: &BlankFacts) -> Option<Finding> {
    let list = |kept: bool| -> Vec<&Secret> {
        blank.secrets.iter().filter(|secret| secret.kept == kept).collect()
    };
    let told = |secrets: &[&Secret]| -> String {
        let one = |secret: &&Secret| format!("{} ({})", secret.path, secret.what);
        secrets.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let (open, older) = (list(false), list(true));
    if open.is_empty() {
        return (!older.is_empty()).then(|| {
            Finding::new(
                &checks::BLANK_SECRET,
                Severity::Note,
                format!("blank has an older copy of {}", told(&older)),
                "it is not used, since the path is kept; but whoever gets blank gets it",
                format!(
                    "nothing, while blank stays on this machine; else {}",
                    in_blank(blank, "delete it there")
                ),
            )
        });
    }
    let words: Vec<String> = open.iter().map(|secret| shell(&secret.path)).collect();
    let more = match older.as_slice() {
        [] => String::new(),
        older => format!("; and an older copy of {}, which is kept", told(older)),
    };
    Some(Finding::new(
        &checks::BLANK_SECRET,
        Severity::Warning,
        format!("blank holds {}{more}", told(&open)),
        "it is the same at every boot, on every machine that blank is copied to, and in every old \
         root; a newer one is lost",
        format!(
            "`blankroot keep {}`; then {}",
            words.join(" "),
            in_blank(blank, "delete it in blank")
        ),
    ))
}

fn identity(blank: &BlankFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if blank.machine_id {
        findings.push(Finding::new(
            &checks::BLANK_MACHINE_ID,
            Severity::Note,
            "blank holds /etc/machine-id",
            "every machine that blank is copied to has the same identity, which DHCP and the \
             journal go by",
            "nothing, while blank stays on this machine; else keep /etc/machine-id and empty it in \
             blank",
        ));
    }
    if let Some(path) = &blank.random_seed {
        findings.push(Finding::new(
            &checks::BLANK_SEED,
            Severity::Warning,
            format!("blank holds a random seed, {path}"),
            "every boot would start from the same seed, and so would each machine that blank is \
             copied to",
            format!(
                "`blankroot keep /var/lib/systemd`; then {}",
                in_blank(blank, "delete it in blank")
            ),
        ));
    }
    findings
}

fn nested_trees(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let hold = &facts.nested_that_hold;
    if !hold.is_empty() {
        findings.push(Finding::new(
            &checks::NESTED_TREES,
            Severity::Warning,
            format!("live holds subvolumes with something in them: {}", nested::list(hold)),
            "blank has nothing of what is in them: after the next boot they are empty, and `expire` \
             deletes them with the old root",
            nested::MEND,
        ));
    } else if !facts.nested.is_empty() {
        findings.push(Finding::new(
            &checks::NESTED_TREES,
            Severity::Note,
            format!(
                "live has {}, empty: {}",
                nested::count(&facts.nested),
                nested::list(&facts.nested)
            ),
            "what is made in them is no part of blank, and goes with the old root",
            format!("nothing, while they are empty; else {}", nested::MEND),
        ));
    }
    if let Some(text) = facts.stubs.as_ref().and_then(nested::left_as_stubs) {
        findings.push(Finding::new(
            &checks::STUBS_LEFT,
            Severity::Warning,
            text,
            "each that is replaced is a subvolume to be made at every boot, so that there is a bound",
            "delete the subvolumes that nobody needs in live, then make blank anew",
        ));
    }
    findings
}

fn immovable(facts: &Facts) -> Vec<Finding> {
    let finding = |obstacle: &Obstacle| {
        Finding::new(
            &checks::IMMOVABLE,
            Severity::Danger,
            obstacle.reason.clone(),
            "the next rollback is refused, and every one after it",
            obstacle.mend.clone().unwrap_or_default(),
        )
    };
    facts.immovable.iter().map(finding).collect()
}

fn old_roots_stay(facts: &Facts) -> Option<Finding> {
    let told = match facts.old_roots_with_snapshots.as_slice() {
        [] => return None,
        [one] => format!("the old root {one} stays beyond the retention rules"),
        [first, .., last] => format!(
            "{} old roots, {first} to {last}, stay beyond the retention rules",
            facts.old_roots_with_snapshots.len()
        ),
    };
    Some(Finding::new(
        &checks::OLD_ROOTS_STAY,
        Severity::Warning,
        format!("{told}, because of snapshots that somebody made"),
        "`expire` keeps what somebody has a snapshot of, so that the pool fills with old roots",
        "leave the place of old roots out of what makes snapshots by itself, and delete these; or write \
         `snapshots = \"delete\"` into `retention` under [rollback]",
    ))
}

fn no_reserve(facts: &Facts) -> Option<Finding> {
    let how = facts.how_to_hold_room_back.as_ref()?;
    Some(Finding::new(
        &checks::NO_RESERVE,
        Severity::Note,
        "live may fill the whole pool, and nothing is held back",
        "in a pool without room no fresh copy is made: the root stays as it is until something is deleted",
        format!("{how}; or set a quota on live"),
    ))
}

fn own_config(facts: &Facts) -> Option<Finding> {
    let (severity, what) = match facts.own_config? {
        OwnConfig::Same => return None,
        OwnConfig::Other => (
            Severity::Warning,
            format!("the next boot finds another {} than the one in force now", facts.file),
        ),
        OwnConfig::Nothing => {
            (Severity::Danger, format!("{} will be gone after the next boot", facts.file))
        }
    };
    Some(Finding::new(
        &checks::CONFIG_LOST,
        severity,
        what,
        "what was decided since blank was made is forgotten, and what is kept by it is not kept",
        "`blankroot keep /etc/blankroot.toml`; the initrd has a copy of its own, to be built anew",
    ))
}
