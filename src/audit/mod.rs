//! Audits: what is stray and should not be, judged by class and owner, written down where it stays, and told to
//! people, programs, the journal and Prometheus.

pub(crate) mod audit_command;
pub(crate) mod audit_finding;
pub(crate) mod audit_journal;
pub(crate) mod audit_prometheus;
pub(crate) mod audit_record;
pub(crate) mod audit_text;
pub mod ledger;
pub(crate) mod login_messages;
pub(crate) mod lost_roots;
pub(crate) mod since_root;
pub(crate) mod write_down;
