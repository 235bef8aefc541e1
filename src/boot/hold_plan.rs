//! Plans a hold: what is asked for and what is there → the one step, or nothing to do. Pure.

use std::fmt;

use backends::{Held, Hold};

/// What is asked of `hold`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedHold {
    /// The next boot is held by this.
    Set(Hold),
    /// No boot is held.
    Release,
}

/// The one change that a hold takes; printed as `--dry-run` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldStep {
    /// Write this hold.
    Write(Hold),
    /// Remove the one that is there.
    Remove,
}

/// Plans a hold or its release; the error says why there is nothing to do.
pub fn plan_hold(wanted: &WantedHold, there: Option<&Held>) -> Result<HoldStep, String> {
    match (wanted, there) {
        (WantedHold::Set(_), Some(Held::By(hold))) if hold.used_by.is_none() => Err(format!(
            "the next boot is held already, since {}",
            hold.time.format("%Y-%m-%d %H:%M:%S UTC")
        )),
        (WantedHold::Set(hold), _) => Ok(HoldStep::Write(hold.clone())),
        (WantedHold::Release, None) => Err("no boot is held".to_string()),
        (WantedHold::Release, Some(_)) => Ok(HoldStep::Remove),
    }
}

impl fmt::Display for HoldStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write(_) => "hold the next boot: it is not rolled back, and the one after it is",
            Self::Remove => "release the hold: the next boot is rolled back",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn a_pending_hold_stays_and_any_other_is_replaced() {
        let hold = Hold::new("a", DateTime::UNIX_EPOCH);
        let wanted = WantedHold::Set(Hold::new("b", DateTime::UNIX_EPOCH));
        let write = Ok(HoldStep::Write(Hold::new("b", DateTime::UNIX_EPOCH)));
        let used = Held::By(Hold { used_by: Some("b".into()), ..hold.clone() });
        let broken = Held::Unreadable("x".into());
        assert!(
            plan_hold(&wanted, Some(&Held::By(hold))).unwrap_err().contains("since 1970-01-01")
        );
        for there in [None, Some(&used), Some(&broken)] {
            assert_eq!(plan_hold(&wanted, there), write);
        }
        assert_eq!(plan_hold(&WantedHold::Release, Some(&broken)), Ok(HoldStep::Remove));
        assert!(plan_hold(&WantedHold::Release, None).is_err());
    }
}
