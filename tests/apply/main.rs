//! `apply` on real mounts: whatever the list and whatever is there, the second plan is empty; and
//! nobody who controls a parent leads it elsewhere.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod announced;
mod declared;
mod ground;
mod hostile;
mod hostile_copy;
mod hostile_keep;
mod leased;
mod left_behind;
mod limits;
mod property;
