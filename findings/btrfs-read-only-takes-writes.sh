#!/usr/bin/env bash
# Expected: a subvolume that `btrfs property set ro true` made read-only does not change any more.
# Seen:     whoever had a file open for writing goes on writing to it; only a new open is refused. So the
#           property alone makes no snapshot that can be trusted: the content can differ from what was
#           looked at afterwards. A snapshot that was made read-only (`snapshot -r`) has no such writers.
# Versions: btrfs-progs 6.2-1+deb12u2, Linux 6.18.
# Output:
#   ro: ro=true
#   write by an old descriptor: accepted
#   new file: refused
#   content after a new mount: before after
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
btrfs subvolume create m/s >/dev/null
exec 9>>m/s/log
echo before >&9
btrfs property set m/s ro true
echo "ro: $(btrfs property get m/s ro)"
echo after >&9 && echo "write by an old descriptor: accepted"
exec 9>&-
(echo >m/s/new) 2>/dev/null && echo "new file: accepted" || echo "new file: refused"
sync -f m
umount m
mount -o loop image m
seen=$(cat m/s/log)
echo "content after a new mount: $(tr '\n' ' ' <<<"$seen")"
[ "$seen" = $'before\nafter' ] && [ ! -e m/s/new ] || { echo "this has changed" >&2; exit 1; }
