#!/usr/bin/env bash
# Expected: where /etc/passwd is a link to a file that survives reboots, or /etc/group is bound from one, the
#           tools that make accounts all follow it, or all refuse and change nothing.
# Seen:     useradd refuses the link, systemd-sysusers replaces it by a plain file without a word, so that the
#           file that was to survive never hears of the account. With /etc/group alone bound, useradd fails
#           after it has written the others: the user is in passwd and shadow, and her group is nowhere.
# Versions: passwd 1:4.13+dfsg1-1+deb12u2, systemd-standalone-sysusers 252.39-1~deb12u2.
# Output:
#   useradd with group bound: status 10, in etc/passwd etc/shadow
#   useradd with passwd linked: status 1
#   systemd-sysusers with passwd linked: status, what passwd is then, and lines of its target that name carol: 0/regular file/0
set -euo pipefail
[ "${1-}" = inside ] || exec unshare --mount --propagation private "$0" inside
work=$(mktemp -d)
trap 'cd /; umount "$work/etc/group" 2>/dev/null || :; rm -r "$work"' EXIT
cd "$work"
apt-get download -qq passwd=1:4.13+dfsg1-1+deb12u2 systemd-standalone-sysusers=252.39-1~deb12u2 2>/dev/null
for package in ./*.deb; do dpkg -x "$package" tools; done
useradd() { tools/usr/sbin/useradd --prefix "$work" --user-group --no-create-home "$1" 2>/dev/null; }
sysusers() { tools/bin/systemd-sysusers --root="$work" - 2>/dev/null; }
who() { grep -lw "$1" etc/passwd etc/shadow etc/group etc/gshadow stored/* | paste -sd' '; }

mkdir etc stored
echo 'root:x:0:0::/root:/bin/sh' >etc/passwd
echo 'root:*:1::::::' >etc/shadow
echo 'root:x:0:' >etc/group
echo 'root:*::' >etc/gshadow
cp etc/passwd etc/group stored

mount --bind stored/group etc/group
useradd alice && first=0 || first=$?
first="status $first, in $(who alice)"
umount etc/group
echo "useradd with group bound: $first"
ln -sf ../stored/passwd etc/passwd
useradd bob && second=0 || second=$?
echo "useradd with passwd linked: status $second"
echo "u carol 777" | sysusers && third=0 || third=$?
third=$third/$(stat -c %F etc/passwd)/$(grep -c carol stored/passwd || :)
echo "systemd-sysusers with passwd linked: status, what passwd is then, and lines of its target that name carol: $third"
[ "$first/$second/$third" = "status 10, in etc/passwd etc/shadow/1/0/regular file/0" ] ||
    { echo "this has changed" >&2; exit 1; }
