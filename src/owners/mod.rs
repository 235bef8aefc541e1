//! To which package, unit or user a path belongs, and how sure that is: told by the package databases, units,
//! tmpfiles.d, maintainer scripts and accounts of the tree itself.
//!
//! Everything is read below one open root directory ([`read_tree`]); each format is a pure parser in a file of
//! its own, and [`join`] puts together what they tell. So blank, live and an old root are asked in the same way,
//! and no package manager is started.

pub mod claims;
pub mod derived_names;
pub mod dpkg;
pub mod installed_since;
pub mod join;
pub mod known_writers;
pub mod maintainer_scripts;
pub mod nix_store;
pub mod owner;
pub(crate) mod owner_json;
pub mod package_files;
pub mod pacman;
pub mod read_tree;
pub mod rpm;
pub mod rpm_database;
pub mod systemd_words;
pub mod tmpfiles;
pub mod unit_directories;
pub mod usr_merge;

pub use installed_since::{InstalledSince, installed_since, is_in_package_database};
pub use join::Owners;
pub use owner::{Certainty, How, Owner, OwnerFacts, Ownership};
