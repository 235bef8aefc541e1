//! The promises of every backend, and what only ZFS has to keep, on a real pool: `BLANKROOT_TEST_POOL`
//! names one that may be filled. `vm-tests` has a guest in which there is one.

pub mod diffing;
pub mod layouts;
pub mod own;
pub mod pool_fixture;
#[cfg(feature = "faults")]
pub mod stops;

/// Blank is a snapshot of live, as those have it who erase their darlings.
mod blank_of_live {

    use crate::conformance::conformance_tests;
    use crate::zfs::tests::pool_fixture::Bed;

    conformance_tests!(Bed::with_blank_of_live);
}

/// Blank is a snapshot of a dataset of its own.
mod blank_apart {

    use crate::conformance::conformance_tests;
    use crate::zfs::tests::pool_fixture::Bed;

    conformance_tests!(Bed::with_blank_apart);
}
