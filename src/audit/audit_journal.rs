//! Records in the journal: one entry for each record and one for each of its groups, with fields by which programs find
//! the machine that has something of an owner. `boot/systemd/blankroot.catalog` explains the entries to people
//! (`journalctl -x`).

use std::path::Path;

use dirfd::path::Escaped;

use crate::audit::audit_record::{
    AuditSummary, LostSummary, Record, RecordedEvent, RecordedGroup, RecordedOwner,
};
use crate::audit::audit_text::{describe_lost, headline};
use crate::log::write_to_journal;
use crate::ui::figures;

/// The kind of an entry about an audit: `journalctl MESSAGE_ID=…`.
const AUDIT_MESSAGE_ID: &str = "9acc9bd4b3364b64897470d9a4b5e61b";
/// Of one about a root that is gone.
const LOST_MESSAGE_ID: &str = "27f2e29a87e342ef8b2aa976f45828bd";
/// Of one about the strays of one owner, in either.
const STRAYS_MESSAGE_ID: &str = "bbc47481fa6f4ba199482a39c7c21d1e";

/// Maximum number of groups that have an entry of their own.
const GROUPS: usize = 20;

/// Tells the journal of the machine whose root is `root`. Best effort: the record itself is written down.
pub(crate) fn tell_journal(root: &Path, record: &Record) {
    write_to_journal(root, || {
        match &record.event {
            RecordedEvent::Audit(summary) => send_audit(summary),
            RecordedEvent::Lost(summary) => send_lost(summary),
        }
        let event = match &record.event {
            RecordedEvent::Audit(_) => "audit",
            RecordedEvent::Lost(_) => "lost",
        };
        record.groups.groups.iter().take(GROUPS).for_each(|group| send_group(event, group));
    });
}

fn send_audit(summary: &AuditSummary) {
    let message = headline(summary);
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                tracing::Level::$level,
                message_id = AUDIT_MESSAGE_ID,
                blankroot_event = "audit",
                blankroot_fails = summary.fails.count,
                blankroot_fails_bytes = summary.fails.bytes,
                blankroot_told = summary.told.count,
                blankroot_new = summary.classes.new,
                blankroot_old_roots = summary.old_roots,
                "{message}"
            )
        };
    }
    if summary.fails.count > 0 { event!(WARN) } else { event!(INFO) }
}

fn send_lost(summary: &LostSummary) {
    tracing::event!(
        tracing::Level::INFO,
        message_id = LOST_MESSAGE_ID,
        blankroot_event = "lost",
        blankroot_old_root = summary.root,
        blankroot_strays = summary.strays.count,
        blankroot_strays_bytes = summary.strays.bytes,
        blankroot_new = summary.new,
        "{}",
        describe_lost(summary)
    );
}

fn send_group(event: &str, group: &RecordedGroup) {
    let RecordedGroup { title, owner, of, paths, bytes, topmost, .. } = group;
    let owner_name = owner.as_ref().map(|RecordedOwner { name, .. }| name.as_str());
    let owner_kind = owner.as_ref().map_or(of.as_str(), |owner| owner.kind.as_str());
    let first = topmost.first().map(|top| Escaped(&top.path.0).to_string());
    let strays = figures::count_noun(*paths, "stray", "strays");
    let named = first.as_ref().map_or_else(String::new, |path| format!(", first {path}"));
    tracing::event!(
        tracing::Level::INFO,
        message_id = STRAYS_MESSAGE_ID,
        blankroot_event = event,
        blankroot_owner = owner_name,
        blankroot_owner_kind = owner_kind,
        blankroot_paths = paths,
        blankroot_bytes = bytes,
        blankroot_path = first,
        "{title}: {strays} ({}){named}",
        figures::format_size(*bytes)
    );
}
