//! `explain`: why a path has its verdict, whose it is, what old roots had there, and what to do.

pub(crate) mod explain_command;
pub(crate) mod explanation;
pub(crate) mod explanation_json;
pub(crate) mod explanation_text;
