//! What a mount is about to hide, held open: so that it can be looked at once more when nobody can
//! open it any longer.

use std::os::fd::{AsFd, OwnedFd};

use backends::census::Census;
use backends::descent::open_dir;
use backends::stat::of_open;
use backends::{Error, FileType, Result, TreePath};
use rustix::fs::{self, Mode, OFlags};

use crate::moving::look::There;

/// What a mount hides, still open.
pub struct Hidden {
    /// Where it is.
    pub there: There,
    dir: Option<OwnedFd>,
    file: Option<OwnedFd>,
}

impl Hidden {
    /// Opens it.
    pub fn open(there: &There, path: &TreePath) -> Result<Self> {
        let failed = |why| Error::io(format!("open {path}"), why);
        let parent = there.parent.try_clone().map_err(failed)?;
        let (mut dir, mut file) = (None, None);
        if there.stat.facts.file_type == FileType::Dir {
            dir = Some(open_dir(there.parent.as_fd(), &there.name).map_err(failed)?);
        } else {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = fs::openat(&there.parent, there.name.as_c_str(), flags, Mode::empty());
            file = Some(opened.map_err(|why| failed(why.into()))?);
        }
        let there = There { parent, name: there.name.clone(), ..*there };
        Ok(Self { there, dir, file })
    }

    /// What it is made of, by now.
    pub fn census(&self, path: &TreePath) -> Result<Census> {
        match (&self.dir, &self.file) {
            (Some(dir), _) => Census::of_dir(dir.as_fd(), path),
            (None, Some(file)) => of_open(file.as_fd())
                .map(Census::of_file)
                .map_err(|why| Error::io(format!("look at {path}"), why)),
            (None, None) => Err(Error::new(format!("look at {path}"), "it is not open")),
        }
    }
}
