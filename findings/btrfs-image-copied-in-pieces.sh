#!/usr/bin/env bash
# Expected: an image of a disk that `cp` copies, as a virtual machine's or a test's disk is, lies in about as many
#           pieces as before: its holes stay holes, and the default of `--sparse` makes no more than those.
# Seen:     of a source that has holes, `cp` makes a hole of every other block of zeros, too, without being asked.
#           A leaf of Btrfs has its keys at one end, its data at the other, and zeros between, so that each leaf
#           that is not full becomes several pieces: 8 pieces became three thousand, and an image of a Debian system
#           went from 150 to 19,500. To remove that one from ext4 mounted with `discard` took 45 seconds, and its last
#           user, PID 1 of a container, did not end for so long. Only `--sparse=never` makes one piece, with all holes
#           written. An image of ext4 hardly changes.
# Versions: coreutils 9.1-1, btrfs-progs 6.2-1+deb12u2, e2fsprogs 1.47.0-2+b2, Linux 6.18.
# Output:
#   btrfs: 8 pieces, 3022 once copied
#   ext4: 12 pieces, 93 once copied
#   (the first and the last number of each line vary a little)
set -euo pipefail
[ "${1-}" = inside ] || exec unshare --mount --propagation private "$0" inside
work=$(mktemp -d)
trap 'cd /; umount "$work/m" 2>/dev/null || :; rm -r "$work"' EXIT
cd "$work"
apt-get download -qq btrfs-progs=6.2-1+deb12u2 e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2 coreutils=9.1-1 \
    2>/dev/null
for package in ./*.deb; do dpkg -x "$package" tools; done
PATH=$work/tools/bin:$work/tools/sbin:$work/tools/usr/bin:$PATH
export LD_LIBRARY_PATH=$work/tools/lib/x86_64-linux-gnu:$work/tools/usr/lib/x86_64-linux-gnu

pieces() { python3 -c 'import os, sys
image, count, end = os.open(sys.argv[1], os.O_RDONLY), 0, 0
while True:
    try:
        end = os.lseek(image, os.lseek(image, end, os.SEEK_DATA), os.SEEK_HOLE)
    except OSError:
        break
    count += 1
print(count)' "$1"; }
# image TYPE: the pieces of a file system with 20,000 files, before and after it is copied.
image() {
    truncate -s 1G "$1"
    "mkfs.$1" -q "$1" >/dev/null 2>&1
    mkdir -p m
    mount -o loop "$1" m
    python3 -c 'import os
for folder in range(40):
    os.mkdir(f"m/{folder}")
    for name in range(500):
        with open(f"m/{folder}/file-{name}", "wb") as file:
            file.write(os.urandom(1) * 5000)'
    umount m
    cp "$1" copy
    before=$(pieces "$1") after=$(pieces copy)
    echo "$1: $before pieces, $after once copied"
    rm copy
}
image btrfs
[ "$before" -lt 100 ] && [ "$after" -gt 1000 ] || { echo "this has changed" >&2; exit 1; }
image ext4
[ "$before" -lt 100 ] && [ "$after" -lt 500 ] || { echo "this has changed" >&2; exit 1; }
