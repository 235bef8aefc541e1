#!/usr/bin/env bash
# Expected: Btrfs never gives an inode number out twice in one subvolume: numbers count up, and a deleted file's
#           is not used again. So a number that a snapshot and its origin both have is the same file.
# Seen:     true only as long as the file system stays mounted. At the next mount the count goes on from the
#           highest number in use: what is deleted last and made again after a reboot has the former number, in
#           a directory of the same number. Only the generation in the inode's item tells the two apart.
# Versions: btrfs-progs 6.2-1+deb12u2, Linux 6.18.
# Output:
#   before: 257 258; made again in the same mount: 259; after a new mount: 257 258
#   generation of inode 257 in live and in the snapshot: 9/7
set -euo pipefail
[ "${1-}" = inside ] || exec unshare --mount --propagation private "$0" inside
work=$(mktemp -d)
trap 'cd /; umount "$work/m" 2>/dev/null || :; rm -r "$work"' EXIT
cd "$work"
apt-get download -qq btrfs-progs=6.2-1+deb12u2 2>/dev/null
dpkg -x btrfs-progs_*.deb tools
PATH=$work/tools/bin:$work/tools/sbin:$PATH
numbers() { stat -c %i m/live/app m/live/app/bin | paste -sd' '; }
generation() { # of inode 257 in a subvolume
    btrfs inspect-internal dump-tree -t "$1" image |
        grep -A1 'item [0-9]* key (257 INODE_ITEM' | sed -n 's/.*generation \([0-9]*\) .*/\1/p'
}

truncate -s 300M image
mkfs.btrfs -q image >/dev/null 2>&1
mkdir m
mount -o loop image m
btrfs subvolume create m/live >/dev/null
mkdir m/live/app
echo one >m/live/app/bin
first=$(numbers)
btrfs subvolume snapshot -r m/live m/blank >/dev/null
rm -r m/live/app
mkdir m/live/app
same_mount=$(stat -c %i m/live/app)
rmdir m/live/app
umount m
mount -o loop image m
mkdir m/live/app
echo two >m/live/app/bin
again=$(numbers)
umount m
generations=$(generation 256)/$(generation 257)
echo "before: $first; made again in the same mount: $same_mount; after a new mount: $again"
echo "generation of inode 257 in live and in the snapshot: $generations"
[ "$first" = "$again" ] && [ "$same_mount" != 257 ] && [ "${generations%/*}" != "${generations#*/}" ] ||
    { echo "this has changed" >&2; exit 1; }
