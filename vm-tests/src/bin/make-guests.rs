//! Makes all that guests in CI are made of, but for what the package under test is a part of: it takes minutes, and
//! much of that is waiting, so that it can be done beside anything else.

use vm_tests::guest::{Guest, Initrd};
use vm_tests::minimal::Minimal;
use vm_tests::stories::{SUITE, is_skipped};

fn main() {
    if is_skipped() {
        return;
    }
    Guest::debian(SUITE, Initrd::InitramfsTools);
    Minimal::of(SUITE);
    Minimal::with_zfs(SUITE);
    Guest::debian(SUITE, Initrd::Dracut);
    Guest::server(SUITE);
    Guest::fleet(SUITE);
}
