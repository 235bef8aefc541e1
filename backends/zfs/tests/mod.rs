//! The promises of every backend, and what only ZFS has to keep, on a real pool: `BLANKROOT_TEST_POOL`
//! names one that may be filled. `vm-tests` has a guest in which there is one.

mod bed;
mod diffing;
mod layouts;
mod own;
#[cfg(feature = "faults")]
mod stops;

/// Blank is a snapshot of live, as those have it who erase their darlings.
mod blank_of_live {
    use super::bed::Bed;
    use crate::conformance::conformance_tests;

    conformance_tests!(Bed::with_blank_of_live);
}

/// Blank is a snapshot of a dataset of its own.
mod blank_apart {
    use super::bed::Bed;
    use crate::conformance::conformance_tests;

    conformance_tests!(Bed::with_blank_apart);
}
