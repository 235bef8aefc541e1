#!/bin/bash
# dracut: puts the command, its systemd generator and the configuration into the initrd. The generator
# writes the unit that restores the root, with its order.

config=/etc/blankroot.toml

check() {
    if [[ ! -e ${dracutsysrootdir-}$config ]]; then
        [[ ! -L ${dracutsysrootdir-}$config ]] ||
            dwarning "blankroot: the next boot will not be rolled back: $config is a link to a file that is not there"
        # Only if it is asked for by name, which then fails on the missing file.
        return 255
    fi
    require_binaries blankroot
}

# Units need systemd: in an initrd without it, dracut leaves this module out and says so.
depends() {
    echo systemd
}

installkernel() {
    hostonly='' instmods btrfs
}

install() {
    inst_binary /usr/bin/blankroot
    inst_binary "${systemdutildir:?}/system-generators/blankroot-generator"
    # A file system of several devices is ready when udev has them all.
    inst_rules 64-btrfs.rules
    # A copy, also where it is a link into a storage.
    inst_simple "$(readlink -f "${dracutsysrootdir-}$config")" "$config"
    [[ ${dracutsysrootdir-} ]] || warn_of_problems
}

# A configuration that cannot be used is taken along all the same: at the boot the command tells what is
# wrong with it. As a dry run it ends with 2 for that alone; everything else that it finds here is about
# the running system.
warn_of_problems() {
    local problems
    problems=$(blankroot rollback --dry-run --config "$config" 2>&1 >/dev/null)
    if [[ $? == 2 ]]; then
        dwarning "blankroot: the next boot will not be rolled back: $problems"
    fi
}
