//! The exit codes of a rollback, which tell the boot whether it may go on.

use std::process::ExitCode;

use crate::boot::command_line::BootRequest;
use crate::config::rollback_options::OnFailure;

/// How a rollback ended, for the one who started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done, nothing to do, or skipped by request.
    Done,
    /// 2: it could not be told what to do: bad usage, bad configuration, an error before it is known
    /// what is to happen on failure.
    CouldNotRun,
    /// 3: refused or failed, and the boot may go on with live as it is.
    MayBoot,
    /// 4: refused or failed, and the boot must stop.
    MustHalt,
}

impl Exit {
    /// The code for a refusal or failure: the kernel command line outweighs the configuration.
    pub(crate) fn after_failure(configured: OnFailure, asked: Option<&BootRequest>) -> Self {
        match (asked, configured) {
            (Some(BootRequest::Halt), _) => Self::MustHalt,
            (Some(BootRequest::Boot), _) | (_, OnFailure::Boot) => Self::MayBoot,
            (_, OnFailure::Halt) => Self::MustHalt,
        }
    }

    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::CouldNotRun => 2,
            Self::MayBoot => 3,
            Self::MustHalt => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_outweighs_the_configuration() {
        let unknown = BootRequest::Unknown(b"x".to_vec());
        for (configured, asked, code) in [
            (OnFailure::Boot, None, 3),
            (OnFailure::Halt, None, 4),
            (OnFailure::Boot, Some(BootRequest::Halt), 4),
            (OnFailure::Halt, Some(BootRequest::Boot), 3),
            (OnFailure::Halt, Some(unknown.clone()), 4),
            (OnFailure::Boot, Some(unknown), 3),
        ] {
            assert_eq!(Exit::after_failure(configured, asked.as_ref()).code(), code);
        }
        assert_eq!((Exit::Done.code(), Exit::CouldNotRun.code()), (0, 2));
    }
}
