#!/usr/bin/env bash
# Expected: what chattr sets are flags, which neither `cp -a` nor `rsync -aX` copies: a copy has none of them,
#           and to a file system without them it is as good as any.
# Seen:     on Btrfs `chattr +c` also writes an extended attribute, btrfs.compression, and alone of all flags it
#           travels with `cp -a` and `rsync -aX`; its opposite, +m, does not. On another file system that attribute
#           has no place: cp leaves it out without a word, while rsync copies everything and ends with 23, as if
#           something were lost. A script that takes that for a failed backup never ends well on such a tree.
# Versions: btrfs-progs 6.2-1+deb12u2, e2fsprogs 1.47.0-2+b2, rsync 3.2.7-1+deb12u5, coreutils 9.1-1, Linux 6.18.
# Output:
#   attributes after chattr +c: btrfs.compression; after +m, +C and +A: none
#   flags of copies on the same Btrfs: of c 'c', of m '', of C '', of A ''
#   to ext4: cp -a ends with 0, rsync -aX with 23, and all 4 files are there both times
set -euo pipefail
[ "${1-}" = inside ] || exec unshare --mount --propagation private "$0" inside
work=$(mktemp -d)
trap 'cd /; umount "$work/b" "$work/e" 2>/dev/null || :; rm -r "$work"' EXIT
cd "$work"
apt-get download -qq btrfs-progs=6.2-1+deb12u2 e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2 \
    rsync=3.2.7-1+deb12u5 libpopt0=1.19+dfsg-1 libxxhash0=0.8.1-1 coreutils=9.1-1 2>/dev/null
for package in ./*.deb; do dpkg -x "$package" tools; done
PATH=$work/tools/bin:$work/tools/sbin:$work/tools/usr/bin:$PATH
export LD_LIBRARY_PATH=$work/tools/lib/x86_64-linux-gnu:$work/tools/usr/lib/x86_64-linux-gnu

truncate -s 200M b.img e.img
mkfs.btrfs -q b.img >/dev/null 2>&1
mkfs.ext4 -q e.img
mkdir b e
mount -o loop b.img b
mount -o loop e.img e
mkdir b/from
for flag in c m C A; do
    : >"b/from/$flag"
    chattr "+$flag" "b/from/$flag"
done
attributes() { python3 -c 'import os, sys
print(*{name for file in sys.argv[1:] for name in os.listxattr(file)} or ["none"])' "$@"; }
flags() { lsattr "$1" | sed 's/ .*//; s/-//g'; }

of_c=$(attributes b/from/c) others=$(attributes b/from/m b/from/C b/from/A)
told="attributes after chattr +c: $of_c; after +m, +C and +A: $others"
echo "$told"
cp -a b/from b/copy
copied="of c '$(flags b/copy/c)', of m '$(flags b/copy/m)', of C '$(flags b/copy/C)', of A '$(flags b/copy/A)'"
echo "flags of copies on the same Btrfs: $copied"
cp=0 rsync=0
cp -a b/from e/cp 2>/dev/null || cp=$?
rsync -aX b/from/ e/rsync 2>/dev/null || rsync=$?
there=$(find e/cp e/rsync -type f | wc -l)
echo "to ext4: cp -a ends with $cp, rsync -aX with $rsync, and all $((there / 2)) files are there both times"
expected="attributes after chattr +c: btrfs.compression; after +m, +C and +A: none"
[ "$told/$copied/$cp $rsync $there" = "$expected/of c 'c', of m '', of C '', of A ''/0 23 8" ] ||
    { echo "this has changed" >&2; exit 1; }
