//! What old roots tell of a change: digests of them, and the class of a path that follows.

pub(crate) mod after_boot;
pub(crate) mod ask_old_roots;
pub mod classes;
pub mod digest;
pub(crate) mod digest_columns;
pub(crate) mod digest_command;
pub mod digest_format;
#[cfg(test)]
pub(crate) mod evidence_fixture;
pub(crate) mod make_digest;
pub(crate) mod path_template;
pub(crate) mod read_files;
pub(crate) mod regenerated;
pub(crate) mod stored_digests;
pub(crate) mod topmost_added;
