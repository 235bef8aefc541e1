//! Why a pool is not one to roll back on.

use super::found::Found;
use super::output::Pool;

use super::{Zfs, half_done};
use crate::survey::Obstacle;

/// What stands in the way on this pool.
pub fn of(of: &Zfs, found: &Found, pool: &Pool) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    if pool.is_read_only {
        let name = of.names.top.pool();
        obstacles.push(Obstacle {
            reason: format!("the pool `{name}` was imported read-only"),
            mend: Some(format!("import it again: `zpool export {name} && zpool import -N {name}`")),
        });
    }
    if !found.inside_live.is_empty() {
        let list = found.inside_live.join("`, `");
        obstacles.push(Obstacle {
            reason: format!(
                "inside of live are datasets that would be set aside with it: `{list}`"
            ),
            mend: Some(format!(
                "move them out of it, as with `zfs rename -u '{}' '{}/NAME'`",
                found.inside_live.first().map_or("", String::as_str),
                of.names.top
            )),
        });
    }
    if found.live.is_none() && half_done::is_parked(of, found) {
        obstacles.push(Obstacle {
            reason: "a rollback was interrupted between two of its steps".into(),
            mend: Some("run `blankroot rollback` or `blankroot expire`, which complete it".into()),
        });
    }
    obstacles
}
