#!/usr/bin/env bash
# Expected: what `promtool check metrics` accepts without a word, the textfile collector of node_exporter exports: it
#           reads the same text format, and a linter would tell of a sample that no collector takes.
# Seen:     a sample with a timestamp passes the check. node_exporter then drops the whole file, the sample without
#           a timestamp in it, too, and its metrics tell that something was dropped, but not from which file. The
#           file beside it is exported.
# Versions: prometheus 2.42.0+ds-5+b6, prometheus-node-exporter 1.5.0-1+b6.
# Output:
#   promtool: accepted, and said nothing
#   exported: 0 of 2 samples of that file, 1 of 1 of the one beside it
#   node_textfile_scrape_error 1
set -euo pipefail
if [ "${1-}" != inside ]; then
    work=$(mktemp -d)
    trap 'rm -r "$work"' EXIT
    cd "$work"
    apt-get download -qq prometheus=2.42.0+ds-5+b6 prometheus-node-exporter=1.5.0-1+b6 2>/dev/null
    for package in ./*.deb; do dpkg -x "$package" tools; done
    cd - >/dev/null
    # A network of its own, so that the port is free and nobody else sees it.
    unshare --net --pid --fork --kill-child --mount-proc "$0" inside "$work"
    exit
fi
cd "$2"
ip link set lo up
mkdir files
# sample NAME WORD...: a sample as the check wants it, with what follows the name.
sample() { printf '# HELP %s Told by a test.\n# TYPE %s gauge\n' "$1" "$1" && echo "$@"; }
{ sample audit_last_run 1; sample audit_changes 3 1700000000000; } >files/stamped.prom
sample beside 1 >files/beside.prom

said=$(tools/usr/bin/promtool check metrics <files/stamped.prom 2>&1)
[ -z "$said" ] || { echo "promtool says: $said" >&2; exit 1; }
echo "promtool: accepted, and said nothing"

tools/usr/bin/prometheus-node-exporter --collector.disable-defaults --collector.textfile \
    --collector.textfile.directory=files --web.listen-address=127.0.0.1:9100 2>exporter.log &
exporter=$!
until (exec 3<>/dev/tcp/127.0.0.1/9100) 2>/dev/null; do kill -0 "$exporter"; sleep 0.1; done
exec 3<>/dev/tcp/127.0.0.1/9100
printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
cat <&3 >metrics
count() { grep -c "^\($1\) " metrics || true; }
dropped=$(count 'audit_last_run\|audit_changes')
beside=$(count beside)
error=$(grep '^node_textfile_scrape_error ' metrics)
echo "exported: $dropped of 2 samples of that file, $beside of 1 of the one beside it"
echo "$error"
[ "$dropped/$beside/$error" = "0/1/node_textfile_scrape_error 1" ] || { echo "this has changed" >&2; exit 1; }
! grep '^node_textfile' metrics | grep -q stamped || { echo "the file is named by now" >&2; exit 1; }
