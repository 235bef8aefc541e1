//! What is interrupted.

mod expire;
mod init;
mod keep;
mod rollback;

pub use expire::Expire;
pub use init::Init;
pub use keep::Keep;
pub use rollback::Rollback;

use super::scenario::Scenario;

/// All of them.
pub const ALL: [&dyn Scenario; 6] = [
    &Rollback { live_is_default: false },
    &Rollback { live_is_default: true },
    &Init { empty: false },
    &Init { empty: true },
    &Keep,
    &Expire,
];

/// What a scenario's script says when the command has ended well.
const DONE: &str = "done";

fn is_done(said: &[String]) -> bool {
    said.iter().any(|mark| mark == DONE)
}
