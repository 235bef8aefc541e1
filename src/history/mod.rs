//! `history`: the lives of the root, what each of them lost, and the versions of a path over all of them.

pub(crate) mod all_roots;
pub(crate) mod history_command;
pub(crate) mod history_json;
pub(crate) mod history_text;
pub(crate) mod path_versions;
pub(crate) mod root_lives;
pub(crate) mod row_versions;
