#!/usr/bin/env bash
# Expected: `chattr +C` on a file with content fails, or works. And `cp --reflink=always` within one Btrfs
#           works whatever flags a file has.
# Seen:     chattr ends with 0 and changes nothing (likewise `-C` on one that has it), so that only reading
#           the flags again tells. A file without the flag cannot be cloned into a directory that hands the
#           flag down (EINVAL), and `--reflink=auto` copies every byte there without a word.
# Versions: e2fsprogs 1.47.0-2+b2, coreutils 9.1-1, btrfs-progs 6.2-1+deb12u2, Linux 6.18.
# Output:
#   chattr +C on content: status 0, flags ''; -C on one that has it: status 0, flags 'C'
#   clone into the directory: refused: Invalid argument; with auto: a copy with flags 'C'
set -euo pipefail
[ "${1-}" = inside ] || exec unshare --mount --propagation private "$0" inside
work=$(mktemp -d)
trap 'cd /; umount "$work/m" 2>/dev/null || :; rm -r "$work"' EXIT
cd "$work"
apt-get download -qq btrfs-progs=6.2-1+deb12u2 e2fsprogs=1.47.0-2+b2 coreutils=9.1-1 2>/dev/null
for package in ./*.deb; do dpkg -x "$package" tools; done
PATH=$work/tools/bin:$work/tools/usr/bin:$work/tools/sbin:$PATH
flags() { lsattr -d "$1" | cut -d' ' -f1 | tr -d -; }

truncate -s 300M image
mkfs.btrfs -q image >/dev/null 2>&1
mkdir m
mount -o loop image m
head -c 100000 /dev/urandom >m/file
chattr +C m/file && first=$(flags m/file)
mkdir m/nocow
chattr +C m/nocow
echo x >m/nocow/born
chattr -C m/nocow/born && second=$(flags m/nocow/born)
echo "chattr +C on content: status 0, flags '$first'; -C on one that has it: status 0, flags '$second'"
cp --reflink=always m/file m/nocow/clone 2>error && third=cloned || third=refused
cp --reflink=auto m/file m/nocow/copy
echo "clone into the directory: $third: $(sed 's/.*: //' error); with auto: a copy with flags '$(flags m/nocow/copy)'"
[ "$first/$second/$third/$(flags m/nocow/copy)" = /C/refused/C ] || { echo "this has changed" >&2; exit 1; }
