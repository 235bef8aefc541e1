//! `report`: pages for a browser, of one machine or of many, each in one file that needs nothing else.
//!
//! `machine_page` and `fleet_page` say what such a page tells, as data; `page_file` puts the data and the program that
//! shows it (`page/`) into one file.

pub(crate) mod fleet_page;
pub(crate) mod machine_page;
pub(crate) mod page_file;
pub(crate) mod page_groups;
pub(crate) mod page_rows;
pub(crate) mod report_command;
