//! Writes units into the directory that systemd gave: all of them, or none.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use dirfd::fault::change;
use dirfd::path::Escaped;
use dirfd::{Error, Result, atomic_file};
use rustix::fs::{self, AtFlags, Mode, OFlags};

use crate::systemd::unit_set::{Link, Unit, Units};

/// Writes `units` into `dir`, which exists. Returns the units that another generator had made
/// already, and which are left as they are.
pub(crate) fn write_units(dir: &Path, units: &Units) -> Result<Vec<String>> {
    let mut writer = Writer::open(dir)?;
    let written = writer.all(units);
    if written.is_err() {
        writer.take_back(units);
    }
    written
}

struct Writer<'d> {
    path: &'d Path,
    dir: OwnedFd,
    /// The links that were made.
    links: Vec<PathBuf>,
}

impl<'d> Writer<'d> {
    fn open(path: &'d Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fs::open(path, flags, Mode::empty())
            .map_err(|e| Error::io(format!("open the directory {}", Escaped::of_path(path)), e))?;
        Ok(Self { path, dir, links: Vec::new() })
    }

    fn all(&mut self, units: &Units) -> Result<Vec<String>> {
        let mut there = Vec::new();
        for unit in &units.files {
            match self.unit(unit) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    there.push(unit.name.clone());
                }
                Err(error) => return Err(self.cannot("write", &unit.name, error)),
            }
        }
        // Last: until then nothing that was written is started.
        for link in units.links.iter().filter(|link| !there.contains(&link.unit)) {
            self.link(link).map_err(|error| self.cannot("link", &link.unit, error))?;
        }
        Ok(there)
    }

    fn unit(&self, unit: &Unit) -> io::Result<()> {
        let path = Path::new(&unit.name);
        let dir = match path.parent() {
            Some(parent) if parent != Path::new("") => Some(self.directory(parent)?),
            _ => None,
        };
        let dir = dir.as_ref().unwrap_or(&self.dir);
        let name = path.file_name().unwrap_or_default();
        atomic_file::create(dir.as_fd(), name, unit.text.as_bytes(), 0o644)
    }

    fn link(&mut self, Link { dir: name, unit }: &Link) -> io::Result<()> {
        let dir = self.directory(Path::new(name))?;
        let target = Path::new("..").join(unit);
        match change("units: link", || Ok(fs::symlinkat(&target, &dir, unit.as_str())?)) {
            Ok(()) => self.links.push(Path::new(name).join(unit)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Opens a directory of this one and makes it where another generator has not.
    fn directory(&self, name: &Path) -> io::Result<OwnedFd> {
        let mode = Mode::from_raw_mode(0o755);
        match change("units: make directory", || Ok(fs::mkdirat(&self.dir, name, mode)?)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(&self.dir, name, flags, Mode::empty())?)
    }

    /// Half a set could hide what the other half was to bring. Best effort: the failure that led
    /// here is the one to tell.
    fn take_back(&self, units: &Units) {
        self.links.iter().for_each(|link| self.unlink(link));
        for unit in &units.files {
            let path = Path::new(&unit.name);
            // Another generator may have made a unit of this name: only our own text goes.
            match atomic_file::read(self.dir.as_fd(), path) {
                Ok(text) if text == unit.text.as_bytes() => self.unlink(path),
                _ => {}
            }
        }
    }

    fn unlink(&self, path: &Path) {
        let _ = change("units: take back", || Ok(fs::unlinkat(&self.dir, path, AtFlags::empty())?));
    }

    fn cannot(&self, verb: &str, name: &str, error: io::Error) -> Error {
        Error::io(format!("{verb} the unit {name} in {}", Escaped::of_path(self.path)), error)
    }
}
