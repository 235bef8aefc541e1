//! What is interrupted.

mod expire;
mod init;
mod keep;
mod rollback;

pub use expire::Expire;
pub use init::Init;
pub use keep::Keep;
pub use rollback::Rollback;

/// What a scenario's script says when the command has ended well.
const DONE: &str = "done";

fn is_done(said: &[String]) -> bool {
    said.iter().any(|mark| mark == DONE)
}
