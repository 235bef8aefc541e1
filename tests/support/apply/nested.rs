//! Operations on nested subvolumes and on the stubs that snapshots leave of them.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{World, inode};
use crate::kernel::{create_subvolume, snapshot};
use crate::op::{Op, Pick};

pub(crate) fn run(world: &mut World<'_>, op: Op) -> Option<io::Result<()>> {
    Some(match op {
        Op::NestedCreate { place } => world.place(place).and_then(|path| {
            create_subvolume(&path)?;
            fs::write(path.join("inside"), "of the subvolume\n")
        }),
        Op::NestedSnapshot { nested, place } => dir_with_inode(world, nested, 256)
            .and_then(|from| snapshot(&from, &world.place(place)?, false)),
        Op::NestedDelete { nested } => {
            dir_with_inode(world, nested, 256).and_then(|path| super::names::remove(&path))
        }
        Op::RemoveStub { stub } => dir_with_inode(world, stub, 2).and_then(fs::remove_dir),
        _ => return None,
    })
}

fn dir_with_inode(world: &World<'_>, number: Pick, wanted: u64) -> io::Result<PathBuf> {
    let dirs = world.all(|f| f.file_type.is_dir());
    super::nth(dirs.into_iter().filter(|dir| inode(dir) == wanted).collect(), number)
}
