#!/usr/bin/env bash
# Expected: `rpm --root ROOT` keeps its database in ROOT at the place where the distributions with rpm have it,
#           var/lib/rpm or usr/lib/sysimage/rpm, whoever runs it: so that what is installed from Debian into a root
#           for another machine is found there by that machine's rpm, and by whoever reads its databases.
# Seen:     Debian's rpm is set up as a tool beside dpkg, and has its database in the home of who runs it. With
#           `--root` the path of that home is made inside of the root. Another user has another database of the same
#           root, which is empty; the usual places are not made.
# Versions: rpm 4.18.0+dfsg-1+deb12u1.
# Output:
#   in the root: home/one/.rpmdb/rpmdb.sqlite
#   packages that are installed, asked by the same user: 1, by another one: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cd "$work"
version=4.18.0+dfsg-1+deb12u1
apt-get download -qq rpm=$version rpm-common=$version librpm9=$version librpmbuild9=$version librpmio9=$version \
    librpmsign9=$version liblua5.3-0=5.3.6-2 2>/dev/null
for package in ./*.deb; do dpkg -x "$package" tools; done
export LD_LIBRARY_PATH=$work/tools/usr/lib/x86_64-linux-gnu RPM_CONFIGDIR=$work/tools/usr/lib/rpm
PATH=$work/tools/usr/bin:$PATH
mkdir -p root build

printf '%s\n' 'Name: sample' 'Version: 1' 'Release: 1' 'Summary: A sample' 'License: MIT' 'BuildArch: noarch' \
    '%description' 'A sample.' '%files' >sample.spec
HOME=$work/build rpmbuild -bb --quiet --define "_topdir $work/build" sample.spec >/dev/null 2>&1
HOME=/home/one rpm --root "$work/root" --nodeps -i build/RPMS/noarch/sample-1-1.noarch.rpm

count() { HOME=$1 rpm --root "$work/root" -qa | wc -l; }
places=$(cd root && find . -name 'rpmdb.sqlite' | sed 's|^\./||')
same=$(count /home/one)
other=$(count /home/other)
echo "in the root: $places"
echo "packages that are installed, asked by the same user: $same, by another one: $other"
[ "$places $same $other" = "home/one/.rpmdb/rpmdb.sqlite 1 0" ] || { echo "this has changed" >&2; exit 1; }
