//! Why a pool is not one to roll back on.

use std::collections::HashMap;
use std::ffi::OsString;

use dirfd::Result;

use crate::zfs::dataset_name::{Names, ZfsName};
use crate::zfs::datasets_found::{Found, as_id};
use crate::zfs::output::{Pool, Row};
use crate::zfs::properties::UNFINISHED;
use crate::zfs::{Zfs, commands, interrupted_exchange};
use crate::{Obstacle, Record, Tree, TreeId, Unfinished};

/// What keeps live from being exchanged. A copy has the key of what it is a copy of, and ZFS gives no dataset
/// a name outside of those with its key, unless the key is its own (`dsl_dir_rename_crypt_check` of
/// module/zfs/dsl_crypt.c).
pub fn find_immovable(of: &Zfs, found: &Found) -> Result<Vec<Obstacle>> {
    let Some(key) = found.live.as_ref().and_then(|live| live.encryption_root.as_deref()) else {
        return Ok(Vec::new());
    };
    let Names { live, old, blank, .. } = &of.names;
    let of_blank = blank.dataset();
    let above: Vec<ZfsName> = [live, old].into_iter().flat_map(ZfsName::above).collect();
    let asked: Vec<&ZfsName> = above.iter().chain([old, &of_blank]).collect();
    let rows = commands::look(&asked, blank)?;
    let row = |name: &ZfsName| rows.iter().find(|row| row.name == name.as_str());
    let beside = live.above().next();
    let nearest = [old.clone()].into_iter().chain(old.above()).find_map(|name| row(&name));
    let copy_has = key_of(row(&of_blank));
    let reason = if copy_has != key_of(beside.as_ref().and_then(row)) {
        let other = copy_has.unwrap_or("none");
        format!(
            "a copy of `{blank}` has the key of `{other}`, which what lies beside `{live}` has not: ZFS would \
             not give it that name"
        )
    } else if key != live.as_str() && Some(key) != key_of(nearest) {
        format!(
            "`{live}` has the key of `{key}`, which what lies in `{old}` has not: ZFS would not set it aside \
             there"
        )
    } else {
        return Ok(Vec::new());
    };
    let hint = "let all of them inherit one key: create an encrypted dataset, rename them so that they lie in \
                it, and give each its key with `zfs change-key -i`; or write `strategy = \"rollback\"` \
                under [rollback]";
    Ok(vec![Obstacle { reason, hint: Some(hint.into()) }])
}

fn key_of(row: Option<&Row>) -> Option<&str> {
    row.and_then(|row| row.encryption_root.as_deref())
}

/// What stands in the way on this pool.
pub fn obstacles_of_pool(of: &Zfs, found: &Found, pool: &Pool) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    if pool.is_read_only {
        let name = of.names.top.pool();
        obstacles.push(Obstacle {
            reason: format!("the pool `{name}` was imported read-only"),
            hint: Some(format!("import it again: `zpool export {name} && zpool import -N {name}`")),
        });
    }
    if let Some(old) = found.old.as_ref().filter(|old| old.read_only && !pool.is_read_only) {
        obstacles.push(Obstacle {
            reason: format!("`{}` is read-only, and no record can be written there", old.name),
            hint: Some(format!("run `zfs set readonly=off '{}'`", old.name)),
        });
    }
    if !found.inside_live.is_empty() {
        let list = found.inside_live.join("`, `");
        obstacles.push(Obstacle {
            reason: format!(
                "inside of live are datasets that would be set aside with it: `{list}`"
            ),
            hint: Some(format!(
                "move them out of it, as with `zfs rename -u '{}' '{}/NAME'`",
                found.inside_live.first().map_or("", String::as_str),
                of.names.top
            )),
        });
    }
    if found.live.is_none()
        && found.old_roots.iter().any(|row| interrupted_exchange::is_parked(of, row))
    {
        obstacles.push(Obstacle {
            reason: "a rollback was interrupted between two of its steps".into(),
            hint: Some("run `blankroot rollback` or `blankroot expire`, which complete it".into()),
        });
    }
    obstacles
}

// What a copy of blank that never became live may be used for: to become live, to be deleted, or nothing.

/// A copy of blank that somebody has written to may have been live, and put there by hand: the record
/// beside it does not tell of it. And one that is not told what it replaces may lack other properties, too,
/// which a clone gets in a transaction of its own: it can be deleted, and never become live. Of one that says so
/// itself, what counts as written is not known either.
pub fn doubt_fresh_copy(left: Unfinished, datasets: &HashMap<OsString, Row>) -> Unfinished {
    let row_of = |tree: &Tree| datasets.get(tree.name.file_name());
    let is_told = |tree: &Tree, record: &Record| {
        row_of(tree).is_some_and(|row| is_told_to_replace(row, &record.live))
    };
    let is_unfinished =
        |tree: &Tree| row_of(tree).is_some_and(|row| row.replaces == Some(UNFINISHED));
    match left {
        Unfinished::FreshCopy { mut tree, record } if is_unfinished(&tree) => {
            tree.pristine = None;
            Unfinished::FreshCopy { tree, record }
        }
        Unfinished::FreshCopy { tree, .. } if tree.pristine == Some(false) => {
            Unfinished::Foreign(tree.name)
        }
        Unfinished::FreshCopy { mut tree, record } if !is_told(&tree, &record) => {
            tree.pristine = None;
            Unfinished::FreshCopy { tree, record }
        }
        left => left,
    }
}

/// Whether a copy was told to replace this tree, which is what it was told last.
fn is_told_to_replace(copy: &Row, live: &TreeId) -> bool {
    copy.replaces.is_some_and(|guid| as_id(guid) == *live)
}
