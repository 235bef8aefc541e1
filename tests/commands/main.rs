//! Stories of the commands on real file systems: what their users would notice.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod apply;
mod audit;
mod boot_status;
mod browser;
mod doctor;
mod early;
mod evidence;
mod expire;
mod explaining;
mod hold;
mod init;
mod interrupted;
mod keep;
mod keepable;
mod leftovers;
mod lineage;
mod links_on_the_way;
mod machine;
mod other_backends;
mod own_list;
mod published_schemas;
mod reading;
mod refusals;
mod renaming;
mod report;
mod restore;
mod review;
mod rollback;
mod running;
mod status;
mod terminal;
mod users_mounts;
mod wiki;
mod without_exchange;
