//! The fast ring: what a guest that is nothing but a kernel, an initrd of ours and a script can show.

use std::path::Path;

use vm_tests::minimal::Minimal;
use vm_tests::stories::{self, SUITE};

mod ci {
    use super::*;

    #[test]
    fn the_command_runs_in_an_initrd_that_has_nothing_else() {
        let Some(command) = stories::command() else { return };
        let guest = Minimal::of(SUITE).with(&command);
        let said = guest.run("blankroot --version; uname -r; mount", Vec::new());
        let version = format!("blankroot {}", env!("CARGO_PKG_VERSION"));
        assert!(said.contains(&version), "{said}");
        assert!(Path::new(&command).is_file());
    }
}
