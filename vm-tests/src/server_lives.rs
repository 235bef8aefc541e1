//! What happens in a boot of the server: what somebody would miss afterwards.

/// Somebody works a day: a database, a network connection, the machine's name, a unit, and edited files.
pub const DAY_OF_WORK: &str = "set -ex
cd /tmp
su postgres -c 'createdb orders'
echo \"create table sold (what text); insert into sold values ('a cat'); checkpoint\" | su postgres -c 'psql -q orders'
nmcli connection add type ethernet con-name office ifname eth7 ip4 192.0.2.7/24
hostnamectl hostname counter
systemctl disable cups.path
echo 192.0.2.1 printer >>/etc/hosts
sed -i 's/index index.html/index start.html/' /etc/nginx/sites-available/default";

/// Somebody comes, and two packages with what they need, one of which keeps something at once.
pub const NEWCOMER: &str = "set -ex
useradd --create-home --shell /bin/bash carol
echo carol:wonderland | chpasswd
su carol -c 'echo once upon a time >~/thesis'
apt-get --yes --no-install-recommends install /persist/packages/*.deb
redis-cli set cat fed
redis-cli save";
