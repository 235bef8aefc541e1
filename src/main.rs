//! The command `blankroot`.

fn main() {}
