//! Machines in QEMU that prove what Blankroot promises about a boot.
