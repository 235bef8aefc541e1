#!/usr/bin/env bash
# Expected: a file that is bind-mounted over cannot be replaced by a rename: rename(2) gives EBUSY.
# Seen:     that holds only for who sees the mount. A process in another mount namespace in which the place is
#           no mount point (a service with PrivateMounts= that unmounted it, say) replaces the file, and the
#           mount disappears from every namespace without an error: from then on the machine reads the new
#           file, and the one that was bound keeps its old content.
# Versions: busybox-static 1:1.35.0-4+deb12u1+b1, Linux 6.18.
# Output:
#   where it is mounted: Device or resource busy
#   after a rename in another namespace: the mount is gone; the place says new, what was bound says kept
set -euo pipefail
[ "${1-}" = inside ] || exec unshare --mount --propagation private "$0" inside
work=$(mktemp -d)
trap 'cd /; umount -l "$work/t" 2>/dev/null || :; rm -r "$work"' EXIT
cd "$work"
apt-get download -qq busybox-static=1:1.35.0-4+deb12u1+b1 2>/dev/null
dpkg -x busybox-static_*.deb tools
busybox=$work/tools/bin/busybox

mkdir t
$busybox mount -t tmpfs t t
echo live >t/conf
echo kept >t/stored
$busybox mount -o bind t/stored t/conf
echo new >t/next
$busybox mv t/next t/conf 2>error && first=replaced || first=$(sed 's/.*: //' error)
echo "where it is mounted: $first"
unshare --mount --propagation private sh -c "$busybox umount t/conf && echo new >t/next && $busybox mv t/next t/conf"
grep -q " $work/t/conf " /proc/self/mountinfo && second=mounted || second=gone
echo "after a rename in another namespace: the mount is $second; the place says $(cat t/conf), what was bound says $(cat t/stored)"
[ "$second/$(cat t/conf)/$(cat t/stored)" = gone/new/kept ] && [[ $first == *busy ]] ||
    { echo "this has changed" >&2; exit 1; }
