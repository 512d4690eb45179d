#!/bin/sh
# Usage: install-packages.sh LIST
#
# Installs the Debian packages that LIST names, one a line, and this machine lacks. Quick when
# there is nothing to do, and then no package server is asked.
set -eu
list=$1
policy=/usr/sbin/policy-rc.d

missing=
for package in $(sed 's/#.*//' "$list"); do
    status=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | head -n 1) || true
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "installing:$missing"
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "run as root: apt-get install$missing" >&2; exit 1; }
    exec sudo "$0" "$list"
fi

# The tests start the servers they need themselves: neither HAProxy nor PostgreSQL is to run as a
# service of this machine because of us, and PostgreSQL is not to make a cluster either.
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
case " $missing " in
*" postgresql "*)
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        apt-get install -y -q --no-install-recommends postgresql-common
        sed -i 's/^#* *create_main_cluster.*/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf
    fi
    ;;
esac
# shellcheck disable=SC2086 # A list of names, to be split.
apt-get install -y -q --no-install-recommends $missing
