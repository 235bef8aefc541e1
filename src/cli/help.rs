//! Examples and exit codes, for `--help` and for the man pages.

/// Below `blankroot --help`.
pub(crate) const TOP: &str = "\
Start with `blankroot init --no-blank --storage DIR`, rebuild the initrd, then run `blankroot init`: where
/boot lies in the root, blank has to be made after that. Before the reboot look at `blankroot doctor`.
`blankroot COMMAND --help` has examples.";

macro_rules! long_help {
    ($name:ident, $examples:ident, $codes:ident,
     examples { $($example:literal: $what:literal,)* }
     codes { $($code:literal: $meaning:literal,)* }) => {
        const $examples: &[(&str, &str)] = &[$(($example, $what)),*];
        const $codes: &[(u8, &str)] = &[$(($code, $meaning)),*];
        /// Below the long help of the command.
        pub(crate) const $name: &str = concat!(
            "Examples:",
            $("\n  ", $example, "\n      ", $what,)*
            "\n\nExit status:",
            $("\n  ", $code, "  ", $meaning,)*
        );
    };
}

long_help!(INIT, INIT_EXAMPLES, INIT_CODES,
    examples {
        "blankroot init --dry-run": "See what would be done",
        "blankroot init --no-blank --storage /persist --keep /var/log": "First the configuration, with a path that is kept; then rebuild the initrd",
        "blankroot init": "Make the running root as it is now the blank one, with that initrd in it if /boot is a part of it",
        "blankroot init --storage /persist": "Both at once, where the initrd lies outside the root",
        "blankroot init --adopt root-blank": "Use a snapshot that another tool made",
        "blankroot init --root /mnt": "Set up the root that an installer has mounted at /mnt",
    }
    codes {
        0: "everything is there, made now or before",
        2: "something is wrong, and nothing more was done",
    }
);

long_help!(ROLLBACK, ROLLBACK_EXAMPLES, ROLLBACK_CODES,
    examples {
        "blankroot rollback --dry-run": "See what the next boot would do, or why it would not",
        "blankroot rollback --config /sysroot.toml": "What a unit in the initrd runs",
    }
    codes {
        0: "done, nothing to do, or skipped by `blankroot=skip` on the kernel command line",
        2: "the configuration or the command line cannot be used, and the kernel command line does not say `blankroot=boot` or `halt`",
        3: "refused or failed, and the boot may go on with the root as it is",
        4: "refused or failed, and the boot must stop",
    }
);

long_help!(DIGEST, DIGEST_EXAMPLES, DIGEST_CODES,
    examples {
        "blankroot digest": "What the unit runs before the machine goes down",
        "blankroot digest --within 60": "Take more time for it",
    }
    codes {
        0: "done, or nothing to do",
        1: "the time was up, and nothing was written",
        2: "nothing could be read or written",
    }
);

long_help!(EXPIRE, EXPIRE_EXAMPLES, EXPIRE_CODES,
    examples {
        "blankroot expire --dry-run": "See which old roots would be deleted, and why the others stay",
        "blankroot expire": "Make room and digests now; at the end of each boot a unit does so",
    }
    codes {
        0: "done, or nothing to do",
        1: "some could not be deleted, or have no digest; each reason was told, and all else is done",
        2: "nothing could be told or done",
    }
);

long_help!(HOLD, HOLD_EXAMPLES, HOLD_CODES,
    examples {
        "blankroot hold": "Before a reboot that is to find the root as it is now",
        "blankroot hold --release": "Change one's mind",
    }
    codes {
        0: "the next boot is held, or with `--release` it is not, by now or already",
        2: "it could not be done",
    }
);

long_help!(KEEP, KEEP_EXAMPLES, KEEP_CODES,
    examples {
        "blankroot keep --dry-run /var/lib/postgresql": "See the new lines and every step",
        "blankroot keep /var/lib/postgresql": "Keep a directory; stop its service first",
        "blankroot keep --storage /persist /etc/machine-id": "Keep a file, in this storage",
        "blankroot keep --symlink /srv/notes": "Link to its data instead of mounting it",
        "blankroot keep --from 000012 /srv/notes": "Keep what an old root had",
    }
    codes {
        0: "they are kept, by now or already",
        1: "something was refused or failed; the reason was told, and nothing is lost",
        2: "it could not be told what to do",
    }
);

long_help!(FORGET, FORGET_EXAMPLES, FORGET_CODES,
    examples {
        "blankroot forget /root/.cache": "A directory with all that is in it",
        "blankroot forget '/var/log/*.old'": "A pattern",
    }
    codes {
        0: "they are on the list, by now or already",
        2: "the configuration was not changed",
    }
);

long_help!(UNKEEP, UNKEEP_EXAMPLES, UNKEEP_CODES,
    examples {
        "blankroot unkeep --move-back /srv/notes": "Make it a part of live again",
        "blankroot unkeep --leave /srv/notes": "Leave the data in storage, where nothing needs it",
    }
    codes {
        0: "they are kept no more",
        1: "something was refused or failed; the reason was told, and nothing is lost",
        2: "it could not be told what to do",
    }
);

long_help!(RESTORE, RESTORE_EXAMPLES, RESTORE_CODES,
    examples {
        "blankroot restore /etc/hosts": "The only version that old roots have",
        "blankroot restore --from last /var/lib/notes": "A directory, as the last boot left it",
        "blankroot restore --from 12 --to /root /etc/hosts": "To /root/hosts, to compare the two",
        "blankroot restore --from 12 --overwrite --dry-run /etc/hosts": "See what would be set aside",
    }
    codes {
        0: "they are restored, by now or already",
        1: "something was refused or failed; the reason was told, and nothing is lost",
        2: "it could not be told what to do",
    }
);

long_help!(DIFF, DIFF_EXAMPLES, DIFF_CODES,
    examples {
        "blankroot diff": "Everything, new directories folded",
        "blankroot diff --all": "What comes back by itself, too",
        "blankroot diff --by owner": "Whose the strays are: a group for each package, unit and user",
        "blankroot diff --stat": "Where there is how much",
        "blankroot diff --flat /etc": "Each change below /etc on a line of its own",
        "blankroot diff -0 /var/lib | xargs -0 ls -ld": "Hand the paths to another program",
        "blankroot diff --format json | jq '.summary'": "For programs",
        "blankroot diff --storage": "What the storages hold that nothing keeps any more",
        "blankroot diff --storage -0 | xargs -0 ls -ld": "Look at all of that",
    }
    codes {
        0: "the changes were shown, or the leftovers, however many there are",
        2: "they could not be told, neither tree has a path that was named, or a storage is not there",
    }
);

long_help!(EXPLAIN, EXPLAIN_EXAMPLES, EXPLAIN_CODES,
    examples {
        "blankroot explain /var/lib/postgresql": "What it is, whose, since when, and what to do",
        "blankroot explain /etc/hosts --format json | jq '.paths[].advice'": "For programs",
    }
    codes {
        0: "it was told",
        2: "it could not be told",
    }
);

long_help!(REVIEW, REVIEW_EXAMPLES, REVIEW_CODES,
    examples {
        "blankroot review": "Decide, look at the plan (w), and have it done (y)",
        "blankroot review --dry-run": "Only print the plan in the end",
        "blankroot review --storage /persist": "Keep in this storage",
    }
    codes {
        0: "what was confirmed is done, nothing was to be written, or there are no strays",
        1: "something was refused or failed; the reason was told, and nothing is lost",
        2: "the strays could not be told or the configuration not be written, or there is no terminal",
    }
);

long_help!(AUDIT, AUDIT_EXAMPLES, AUDIT_CODES,
    examples {
        "blankroot audit": "What is new and stray, by owner",
        "blankroot audit --dry-run": "The same without a record",
        "blankroot audit --since 12": "What came after the old root 000012-…",
        "blankroot audit --format json | jq '.groups[].title'": "For programs",
        "blankroot audit --textfile /var/lib/prometheus/node-exporter/blankroot.prom": "For Prometheus",
        "blankroot audit --records": "What earlier audits found, and what former roots lost",
    }
    codes {
        0: "no stray fails the audit, or the records were shown",
        1: "at least one does",
        2: "it could not be told, or the metrics could not be written",
    }
);

long_help!(REPORT, REPORT_EXAMPLES, REPORT_CODES,
    examples {
        "blankroot report --html report.html": "This machine, as a page",
        "blankroot report --fleet /srv/records --html fleet.html": "All machines whose records were collected there",
    }
    codes {
        0: "the page was written",
        2: "it could not be told, or the page could not be written",
    }
);

long_help!(HISTORY, HISTORY_EXAMPLES, HISTORY_CODES,
    examples {
        "blankroot history": "The lives of the root, and what each of them lost",
        "blankroot history /etc/hosts": "Which versions of a file there are, and where",
        "blankroot history --format json | jq '.roots[-2].lost'": "What the last one lost, for programs",
    }
    codes {
        0: "it was told",
        2: "it could not be told",
    }
);

long_help!(APPLY, APPLY_EXAMPLES, APPLY_CODES,
    examples {
        "blankroot apply --dry-run": "See what is not in its place, and what would be done",
        "blankroot apply": "Do it; a second time there is nothing to do",
        "blankroot apply --adopt": "Move data that is in the way into storage",
        "blankroot apply --in-initrd --root /sysroot": "What a unit in the initrd runs",
        "blankroot apply --user": "As any user: link what ~/.config/blankroot.toml keeps",
    }
    codes {
        0: "every kept path is in its place",
        1: "some are not; each reason was told, and every other one is",
        2: "nothing could be told or done",
    }
);

long_help!(STATUS, STATUS_EXAMPLES, STATUS_CODES,
    examples {
        "blankroot status": "In words",
        "blankroot status --boot": "Only whether this boot was rolled back; its unit runs this",
        "blankroot status --format json | jq '.problems'": "For programs",
    }
    codes {
        0: "nothing is wrong",
        1: "something is wrong; it is listed with its hint",
        2: "it could not be told",
    }
);

long_help!(DOCTOR, DOCTOR_EXAMPLES, DOCTOR_CODES,
    examples {
        "blankroot doctor": "Before the first reboot, and after each change of the keep list",
        "blankroot doctor --format json | jq '.findings[].id'": "For programs",
    }
    codes {
        0: "nothing was found that is worse than a note",
        1: "something was found; it is listed with its hint",
        2: "not everything could be checked; what could not is listed, beside what was found",
    }
);

long_help!(DEMO, DEMO_EXAMPLES, DEMO_CODES,
    examples {
        "blankroot demo": "See everything in half a minute",
        "sudo blankroot demo": "The same with real snapshots",
    }
    codes {
        0: "the story was played",
        2: "it could not be played to its end; nothing is left of it",
    }
);

/// The exit codes of every command, by its name.
pub(crate) const EXIT_STATUS: &[(&str, &[(u8, &str)])] = &[
    ("init", INIT_CODES),
    ("rollback", ROLLBACK_CODES),
    ("hold", HOLD_CODES),
    ("expire", EXPIRE_CODES),
    ("digest", DIGEST_CODES),
    ("apply", APPLY_CODES),
    ("keep", KEEP_CODES),
    ("forget", FORGET_CODES),
    ("unkeep", UNKEEP_CODES),
    ("restore", RESTORE_CODES),
    ("diff", DIFF_CODES),
    ("explain", EXPLAIN_CODES),
    ("review", REVIEW_CODES),
    ("audit", AUDIT_CODES),
    ("report", REPORT_CODES),
    ("history", HISTORY_CODES),
    ("status", STATUS_CODES),
    ("doctor", DOCTOR_CODES),
    ("demo", DEMO_CODES),
];

const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    ("init", INIT_EXAMPLES),
    ("rollback", ROLLBACK_EXAMPLES),
    ("hold", HOLD_EXAMPLES),
    ("expire", EXPIRE_EXAMPLES),
    ("digest", DIGEST_EXAMPLES),
    ("apply", APPLY_EXAMPLES),
    ("keep", KEEP_EXAMPLES),
    ("forget", FORGET_EXAMPLES),
    ("unkeep", UNKEEP_EXAMPLES),
    ("restore", RESTORE_EXAMPLES),
    ("diff", DIFF_EXAMPLES),
    ("explain", EXPLAIN_EXAMPLES),
    ("review", REVIEW_EXAMPLES),
    ("audit", AUDIT_EXAMPLES),
    ("report", REPORT_EXAMPLES),
    ("history", HISTORY_EXAMPLES),
    ("status", STATUS_EXAMPLES),
    ("doctor", DOCTOR_EXAMPLES),
    ("demo", DEMO_EXAMPLES),
];

/// What each exit code of a command means.
pub fn exit_status(command: &str) -> &'static [(u8, &'static str)] {
    found(EXIT_STATUS, command)
}

/// Examples of a command, each with what it is for.
pub fn examples(command: &str) -> &'static [(&'static str, &'static str)] {
    found(EXAMPLES, command)
}

fn found<T>(table: &'static [(&str, &'static [T])], command: &str) -> &'static [T] {
    table.iter().find(|(name, _)| *name == command).map_or(&[], |(_, rows)| rows)
}
