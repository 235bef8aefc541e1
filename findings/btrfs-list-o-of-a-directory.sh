#!/usr/bin/env bash
# Expected: `btrfs subvolume list -o DIR` lists the subvolumes below DIR, as btrfs-subvolume(8) says, and so
#           nothing for an empty directory.
# Seen:     it lists those of the subvolume that DIR lies in. For a plain directory of the top level these
#           are the system's own roots: a script that deletes what it prints deletes those.
# Versions: btrfs-progs 6.2-1+deb12u2, Linux 6.18.
# Output:
#   below the empty directory old-roots: root home
set -euo pipefail
[ "${1-}" = inside ] || exec unshare --mount --propagation private "$0" inside
work=$(mktemp -d)
trap 'cd /; umount "$work/m" 2>/dev/null || :; rm -r "$work"' EXIT
cd "$work"
apt-get download -qq btrfs-progs=6.2-1+deb12u2 2>/dev/null
dpkg -x btrfs-progs_*.deb tools
PATH=$work/tools/bin:$work/tools/sbin:$PATH

truncate -s 300M image
mkfs.btrfs -q image >/dev/null 2>&1
mkdir m
mount -o loop image m
btrfs subvolume create m/root >/dev/null
btrfs subvolume create m/home >/dev/null
mkdir m/old-roots
seen=$(btrfs subvolume list -o m/old-roots | sed 's/.* path //')
echo "below the empty directory old-roots: $(tr '\n' ' ' <<<"$seen")"
[ "$seen" = $'root\nhome' ] || { echo "this has changed" >&2; exit 1; }
