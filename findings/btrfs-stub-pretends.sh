#!/usr/bin/env bash
# Expected: where a snapshot leaves an empty directory for a nested subvolume, root can use that directory, or
#           every change of it is refused.
# Seen:     chmod and chown succeed and change nothing; making a file or a directory in it is refused, with two
#           different errors; rmdir works, and mkdir under its name then gives an ordinary directory. So a
#           service whose state directory was a subvolume fails after a rollback, while what repairs owners and
#           modes (tmpfiles, StateDirectory=) reports success.
# Versions: btrfs-progs 6.2-1+deb12u2, coreutils 9.1-1, Linux 6.18.
# Output:
#   inode 2, mode 755 for one of mode 700
#   chmod and chown: done/done; mode and owner then: 755 0
#   mkdir and touch in it: Operation not permitted/Permission denied
set -euo pipefail
[ "${1-}" = inside ] || exec unshare --mount --propagation private "$0" inside
work=$(mktemp -d)
trap 'cd /; umount "$work/m" 2>/dev/null || :; rm -r "$work"' EXIT
cd "$work"
apt-get download -qq btrfs-progs=6.2-1+deb12u2 coreutils=9.1-1 2>/dev/null
for package in ./*.deb; do dpkg -x "$package" tools; done
PATH=$work/tools/bin:$work/tools/usr/bin:$work/tools/sbin:$PATH
try() { if "$@" 2>error; then echo 'done'; else sed 's/.*: //' error; fi; }

truncate -s 300M image
mkfs.btrfs -q image >/dev/null 2>&1
mkdir m
mount -o loop image m
btrfs subvolume create m/root >/dev/null
btrfs subvolume create m/root/machines >/dev/null
chmod 700 m/root/machines
btrfs subvolume snapshot m/root m/copy >/dev/null
stub=m/copy/machines
echo "inode $(stat -c %i $stub), mode $(stat -c %a $stub) for one of mode 700"
told="$(try chmod 700 $stub)/$(try chown 1:1 $stub)"
echo "chmod and chown: $told; mode and owner then: $(stat -c '%a %u' $stub)"
made="$(try mkdir $stub/a)/$(try touch $stub/b)"
echo "mkdir and touch in it: $made"
[ "$told/$(stat -c '%i %a %u' $stub)" = "done/done/2 755 0" ] &&
    [ "$made" = "Operation not permitted/Permission denied" ] &&
    rmdir $stub && mkdir $stub && touch $stub/b || { echo "this has changed" >&2; exit 1; }
