//! What systemd runs: the generator and the units that it writes.

pub mod generator;
pub mod initrd_units;
pub mod mount_units;
pub mod root_units;
pub mod unit_file;
