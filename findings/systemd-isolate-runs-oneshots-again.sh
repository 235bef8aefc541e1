#!/usr/bin/env bash
# Expected: a target that is isolated and needs units that are all active already starts nothing but itself. In an
#           initrd, initrd-switch-root.target needs the root's mount in this way, and whatever that requires has
#           done its work by then.
# Seen:     systemd goes through the wants of active units, too, and of what these want in turn. A oneshot service
#           at the end of such a row that is inactive again, since it has done its work, is started once more, and
#           in an initrd it may be ended in the middle, by the switch to the root. Where the row has an order
#           (After=) in the place of one Wants=, it runs once.
# Versions: systemd 252.39-1~deb12u2.
# Output:
#   import.target wanted: the service ran 2 times
#   import.target only waited for: the service ran 1 times
set -euo pipefail
[ "${1-}" = inside ] ||
    exec unshare --mount --pid --cgroup --fork --kill-child --mount-proc --propagation private "$0" inside
work=$(mktemp -d)
trap 'cd /; kill -KILL ${manager-} 2>/dev/null; wait 2>/dev/null; rm -r "$work"' EXIT
cd "$work"
apt-get download -qq systemd=252.39-1~deb12u2 libsystemd-shared=252.39-1~deb12u2 2>/dev/null
for package in ./*.deb; do dpkg -x "$package" tools; done
# A manager of a user asks whether systemd runs the machine, and is run here with units of its own.
mount -t tmpfs tmpfs /run
mkdir -p units runtime /run/systemd/system
export LD_LIBRARY_PATH=$work/tools/usr/lib/x86_64-linux-gnu/systemd XDG_RUNTIME_DIR=$work/runtime
export SYSTEMD_UNIT_PATH=$work/units
systemctl() { tools/bin/systemctl --user "$@"; }

# unit NAME LINE...
unit() { local name=$1; shift; printf '%s\n' "$@" >"units/$name"; }
unit default.target '[Unit]' 'Description=Nothing'
unit ask.service '[Unit]' 'DefaultDependencies=no' \
    '[Service]' 'Type=oneshot' "ExecStart=/bin/sh -c 'echo ran >>$work/runs'"
unit import.target '[Unit]' 'DefaultDependencies=no' 'Wants=ask.service'
unit prepare.service '[Unit]' 'DefaultDependencies=no' 'After=import.target' 'Wants=import.target' \
    '[Service]' 'Type=oneshot' 'RemainAfterExit=yes' 'ExecStart=/bin/true'
unit mounted.service '[Unit]' 'DefaultDependencies=no' 'Requires=prepare.service' 'After=prepare.service' \
    '[Service]' 'Type=oneshot' 'RemainAfterExit=yes' 'ExecStart=/bin/true'
unit begin.target '[Unit]' 'DefaultDependencies=no' 'Wants=import.target' 'Requires=mounted.service'
unit leave.target '[Unit]' 'DefaultDependencies=no' 'Requires=mounted.service' 'AllowIsolate=yes'

tools/lib/systemd/systemd --user --log-target=null >/dev/null 2>&1 &
manager=$!
until [ -S runtime/systemd/private ]; do kill -0 "$manager"; sleep 0.1; done

# runs: how often the service ran from the first target until the second was isolated.
runs() {
    rm -f runs
    systemctl start begin.target
    systemctl isolate leave.target
    systemctl is-active -q leave.target mounted.service
    wc -l <runs
}
first=$(runs)
echo "import.target wanted: the service ran $first times"
systemctl stop begin.target leave.target mounted.service prepare.service import.target
sed -i '/^Wants=/d' units/prepare.service
systemctl daemon-reload
second=$(runs)
echo "import.target only waited for: the service ran $second times"
[ "$first/$second" = 2/1 ] || { echo "this has changed" >&2; exit 1; }
