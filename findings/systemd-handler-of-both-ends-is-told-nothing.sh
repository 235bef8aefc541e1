#!/usr/bin/env bash
# Expected: a unit that handles the end of a service whichever it is, since OnSuccess= and OnFailure= both name it, is
#           told by $MONITOR_SERVICE_RESULT how the service ended: one service triggers it, once.
# Seen:     it gets none of the MONITOR_ variables. Each of the two settings counts as one that may have triggered it,
#           although both are of the same service, and with several systemd passes nothing on. With OnFailure= alone
#           it is told.
# Versions: systemd 252.39-1~deb12u2.
# Output:
#   named by OnFailure=: result `exit-code` of failing.service
#   named by both: result `` of nobody
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
# told.sh is where a shell finds the variables as they are.
printf 'echo "result \\`${MONITOR_SERVICE_RESULT-}\\` of ${MONITOR_UNIT:-nobody}" >%s/told.new; mv %s/told.new %s/told\n' \
    "$work" "$work" "$work" >told.sh
unit handler.service '[Unit]' 'DefaultDependencies=no' '[Service]' 'Type=oneshot' "ExecStart=/bin/sh $work/told.sh"
unit failing.service '[Unit]' 'DefaultDependencies=no' 'OnFailure=handler.service' \
    '[Service]' 'Type=oneshot' 'ExecStart=/bin/false'

tools/lib/systemd/systemd --user --log-target=null >/dev/null 2>&1 &
manager=$!
until [ -S runtime/systemd/private ]; do kill -0 "$manager"; sleep 0.1; done

# told: what the handler was told of one failure.
told() {
    rm -f told
    systemctl start failing.service 2>/dev/null && { echo "it did not fail" >&2; exit 1; }
    until [ -e told ]; do kill -0 "$manager"; sleep 0.1; done
    cat told
}
one=$(told)
echo "named by OnFailure=: $one"
sed -i '/^OnFailure=/a OnSuccess=handler.service' units/failing.service
systemctl daemon-reload
both=$(told)
echo "named by both: $both"
[ "$one/$both" = 'result `exit-code` of failing.service/result `` of nobody' ] ||
    { echo "this has changed" >&2; exit 1; }
