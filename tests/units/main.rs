//! The generator and its units, as the installed systemd reads them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit;
mod escaping;
mod expire;
mod generator;
mod initrd;
mod order;
mod root;
mod systemd;
mod values;
mod verify;
