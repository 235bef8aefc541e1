#!/bin/bash
# dracut: puts the command, its systemd generator and the configuration into the initrd. The generator
# writes the unit that restores the root, with its order.

check() {
    [[ -e "${dracutsysrootdir-}/etc/blankroot.toml" ]] || return 255
    require_binaries blankroot || return 1
    return 0
}

depends() {
    echo systemd
    return 0
}

installkernel() {
    hostonly='' instmods btrfs
}

install() {
    local config=/etc/blankroot.toml generators=${systemdutildir:?}/system-generators
    inst_binary blankroot /usr/bin/blankroot
    inst_binary "$generators/blankroot-generator"
    # A copy, also where it is a link into a storage.
    inst_simple "$(readlink -f "${dracutsysrootdir-}$config")" "$config"
    # It is taken along all the same: at the boot the command tells what is wrong with it. As a dry run it
    # ends with 2 for that alone; everything else that it finds here is about the running system.
    local problems
    problems=$(blankroot rollback --dry-run --config "${dracutsysrootdir-}$config" 2>&1 >/dev/null)
    if [[ $? == 2 ]]; then
        dwarn "blankroot: the next boot will not be rolled back: $problems"
    fi
}
