//! Whether what has a path can be something that a user has put there: only root may have been able to,
//! or its owner, who has gained nothing. Pure.
//!
//! The rule is that of systemd-tmpfiles for unsafe path transitions, and counts directories too in
//! which others than their owner may write.

use std::fmt;

use dirfd::stat::{SET_ID, Stat};
use dirfd::{FileType, TreePath};

use crate::persist::step::Owner;

const WRITABLE: u16 = 0o022;

/// Why the owner and mode of something are not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnsafeTransition {
    /// The reason.
    pub(crate) why: String,
    /// What to do about it.
    pub(crate) hint: String,
}

impl fmt::Display for UnsafeTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for UnsafeTransition {}

/// The directories down to something, as far as they were passed.
#[derive(Clone, Debug, Default)]
pub(crate) struct AncestorChain {
    /// The last one.
    above: Option<(TreePath, u32, u16)>,
    /// One that others than root control.
    shared: Option<TreePath>,
}

impl AncestorChain {
    /// Goes on to the directory `path`, of this owner and with this mode.
    pub(crate) fn enter(
        &mut self,
        path: TreePath,
        uid: u32,
        mode: u16,
    ) -> Result<(), UnsafeTransition> {
        self.check_owner(&path, uid)?;
        if uid != 0 || mode & WRITABLE != 0 {
            self.shared = Some(path.clone());
        }
        self.above = Some((path, uid, mode));
        Ok(())
    }

    /// An error if another user than root, and than its owner `uid`, may have put `path` there.
    pub(crate) fn check_owner(&self, path: &TreePath, uid: u32) -> Result<(), UnsafeTransition> {
        let Some((dir, owner, mode)) = &self.above else { return Ok(()) };
        let why = match *owner {
            0 if mode & WRITABLE == 0 => return Ok(()),
            0 => {
                format!("{dir} has mode {mode:04o}, so that others than root can put {path} there")
            }
            owner if owner == uid => return Ok(()),
            owner => format!("{dir} belongs to {owner}, and {path} in it to {uid}"),
        };
        let why = format!("{why}: its owner and mode are not changed");
        let hint = format!("see what {path} is, and give it its declared owner and mode by hand");
        Err(UnsafeTransition { why, hint })
    }

    /// An error if a regular file would get set-user-ID or set-group-ID bits although somebody else
    /// than root may have written it.
    pub(crate) fn check_set_id(
        &self,
        path: &TreePath,
        stat: &Stat,
        owner: Option<Owner>,
        mode: Option<u16>,
    ) -> Result<(), UnsafeTransition> {
        let facts = &stat.facts;
        let sets = mode.is_some_and(|mode| mode & SET_ID != 0);
        if !sets || facts.file_type != FileType::File {
            return Ok(());
        }
        let to = owner.map_or(facts.uid, |owner| owner.uid);
        let by = match &self.shared {
            Some(dir) => format!("others than root can write in {dir}"),
            None if facts.uid != 0 && facts.uid != to => format!("{} could write it", facts.uid),
            None => return Ok(()),
        };
        let why = format!("{path} is to have set-user-ID or set-group-ID bits, and {by}");
        let hint = "declare a mode without them, or keep it where root alone can write".to_string();
        Err(UnsafeTransition { why, hint })
    }
}
