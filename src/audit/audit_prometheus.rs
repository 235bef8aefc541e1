//! What an audit found as metrics, in Prometheus's text format: for the textfile collector of node_exporter.
//!
//! No sample has a time of its own, and no label a path: the exporter refuses the whole file for the one, and each
//! path would be a time series for the other.

use chrono::{DateTime, Utc};
use dirfd::{Error, Result};
use prometheus::{Gauge, GaugeVec, Opts, Registry, TextEncoder};

use crate::audit::audit_record::{AuditSummary, RecordedGroups};

/// The metrics of one audit.
pub(crate) fn describe_metrics(
    time: DateTime<Utc>,
    summary: &AuditSummary,
    groups: &RecordedGroups,
) -> Result<String> {
    encode(time, summary, groups)
        .map_err(|why| Error::new("write the metrics of the audit", why.to_string()))
}

fn encode(
    time: DateTime<Utc>,
    summary: &AuditSummary,
    groups: &RecordedGroups,
) -> prometheus::Result<String> {
    let registry = Registry::new();
    let gauge = |name: &str, help: &str, value: f64| -> prometheus::Result<()> {
        let gauge = Gauge::with_opts(Opts::new(name, help))?;
        gauge.set(value);
        registry.register(Box::new(gauge))
    };
    gauge(
        "blankroot_audit_time_seconds",
        "When the audit was taken, in seconds since 1970.",
        number(time.timestamp()),
    )?;
    gauge(
        "blankroot_audit_fails",
        "Strays that fail the audit, in paths.",
        count(summary.fails.count),
    )?;
    gauge(
        "blankroot_audit_fails_bytes",
        "Bytes of the regular files among the strays that fail the audit.",
        count(summary.fails.bytes),
    )?;
    gauge("blankroot_audit_told", "All other strays, in paths.", count(summary.told.count))?;
    gauge(
        "blankroot_audit_told_bytes",
        "Bytes of the regular files among all other strays.",
        count(summary.told.bytes),
    )?;
    gauge(
        "blankroot_audit_old_roots",
        "Old roots that were asked what they had.",
        f64::from(summary.old_roots),
    )?;
    let classes = family(
        &registry,
        (
            "blankroot_audit_strays",
            "All strays by class, in paths; none where no old root was asked.",
        ),
        &["class"],
    )?;
    if summary.old_roots > 0 {
        for (word, number) in summary.classes.iter() {
            classes.with_label_values(&[word]).set(count(number));
        }
    }
    let owners = family(
        &registry,
        ("blankroot_audit_owner_fails", "Strays that fail the audit by owner, in paths."),
        &["kind", "owner"],
    )?;
    for group in &groups.groups {
        let (kind, name) = match &group.owner {
            Some(owner) => (owner.kind.as_str(), owner.name.as_str()),
            None => (group.of.as_str(), ""),
        };
        owners.with_label_values(&[kind, name]).set(count(group.paths));
    }
    if groups.groups_left_out > 0 {
        owners.with_label_values(&["others", ""]).set(count(groups.paths_left_out));
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

fn family(
    registry: &Registry,
    (name, help): (&str, &str),
    labels: &[&str],
) -> prometheus::Result<GaugeVec> {
    let family = GaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, exact up to 2^53")]
fn count(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, exact up to 2^53")]
fn number(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::audit_record::RecordedEvent;
    use crate::audit::audit_record::record_fixture::audit_of_nginx;

    #[test]
    fn every_count_is_a_gauge_and_no_label_is_a_path() {
        let mut record = audit_of_nginx(7);
        record.groups.groups[0].owner.as_mut().unwrap().name = "a\"b\\c\nd".to_string();
        let RecordedEvent::Audit(summary) = &record.event else { panic!("{record:?}") };
        let text = describe_metrics(record.time, summary, &record.groups).unwrap();
        insta::assert_snapshot!(text, @r#"
        # HELP blankroot_audit_fails Strays that fail the audit, in paths.
        # TYPE blankroot_audit_fails gauge
        blankroot_audit_fails 2
        # HELP blankroot_audit_fails_bytes Bytes of the regular files among the strays that fail the audit.
        # TYPE blankroot_audit_fails_bytes gauge
        blankroot_audit_fails_bytes 1100
        # HELP blankroot_audit_old_roots Old roots that were asked what they had.
        # TYPE blankroot_audit_old_roots gauge
        blankroot_audit_old_roots 5
        # HELP blankroot_audit_owner_fails Strays that fail the audit by owner, in paths.
        # TYPE blankroot_audit_owner_fails gauge
        blankroot_audit_owner_fails{kind="package",owner="a\"b\\c\nd"} 2
        # HELP blankroot_audit_strays All strays by class, in paths; none where no old root was asked.
        # TYPE blankroot_audit_strays gauge
        blankroot_audit_strays{class="changing"} 7
        blankroot_audit_strays{class="new"} 2
        blankroot_audit_strays{class="same"} 0
        blankroot_audit_strays{class="some"} 0
        # HELP blankroot_audit_time_seconds When the audit was taken, in seconds since 1970.
        # TYPE blankroot_audit_time_seconds gauge
        blankroot_audit_time_seconds 1795946400
        # HELP blankroot_audit_told All other strays, in paths.
        # TYPE blankroot_audit_told gauge
        blankroot_audit_told 7
        # HELP blankroot_audit_told_bytes Bytes of the regular files among all other strays.
        # TYPE blankroot_audit_told_bytes gauge
        blankroot_audit_told_bytes 70
        "#);
    }

    #[test]
    fn classes_are_not_told_where_no_old_root_was_asked() {
        let record = audit_of_nginx(7);
        let RecordedEvent::Audit(mut summary) = record.event else { panic!("{record:?}") };
        summary.old_roots = 0;
        let text = describe_metrics(record.time, &summary, &RecordedGroups::default()).unwrap();
        assert!(!text.contains("class=") && !text.contains("owner="), "{text}");
    }
}
