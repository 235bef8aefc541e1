//! What systemd runs: the generator and the units that it writes.

pub mod boot_configuration;
pub mod generator;
pub mod initrd_units;
pub(crate) mod mount_units;
pub(crate) mod root_units;
pub mod unit_file;
pub mod unit_set;
pub(crate) mod write_units;
