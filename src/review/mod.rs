//! `review`: a full-screen view of the strays, in which their owner decides what to keep and what to forget.
//!
//! `review_app` is what keys do to the state, and `review_screen` is how the state looks; neither knows a terminal.
//! Nothing is written before a plan was shown and confirmed, and that plan is made and done by `keep` and `forget`.

pub(crate) mod inside_view;
pub(crate) mod look_inside;
pub(crate) mod reading_pane;
pub(crate) mod review_app;
pub(crate) mod review_command;
pub(crate) mod review_jobs;
pub(crate) mod review_keys;
pub(crate) mod review_model;
pub(crate) mod review_plan;
pub(crate) mod review_screen;
pub(crate) mod review_terminal;
pub(crate) mod row_filter;
pub(crate) mod stray_tree;
