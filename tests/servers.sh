#!/usr/bin/env bash
# Installs the real servers that tests start for themselves (PostgreSQL 15, Redis, nginx, Prometheus, Alertmanager), where they are missing.
# Only the programs: no system service is started or enabled, no user or cluster of the machine is touched.
set -euo pipefail

missing=()
[ -x /usr/lib/postgresql/15/bin/postgres ] || missing+=(postgresql-15)
command -v redis-server >/dev/null || missing+=(redis-server)
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx)
command -v prometheus >/dev/null || missing+=(prometheus)
command -v prometheus-alertmanager >/dev/null || command -v alertmanager >/dev/null || missing+=(prometheus-alertmanager)
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

if ! command -v apt-get >/dev/null; then
  echo "tests need ${missing[*]} and this machine has no apt-get: install PostgreSQL 15, Redis 7, nginx, Prometheus and Alertmanager yourself, then run make test again" >&2
  exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "tests need ${missing[*]}: run this once as root: apt-get install ${missing[*]}" >&2; exit 1; }
  sudo=(sudo)
fi

# Packages start their services when installed. policy-rc.d is Debian's way to say no (101 = forbidden by policy);
# a file that is already there belongs to the machine's owner and stays.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
  "${sudo[@]}" chmod 0755 "$policy"
  trap '"${sudo[@]}" rm -f "$policy"' EXIT
fi
# postgresql-common would create and start a cluster of its own.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  "${sudo[@]}" mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' | "${sudo[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
fi

echo "installing for the tests: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
# A machine that has just booted may be at its own updates, and a mirror may be away for a moment.
patient=(-o DPkg::Lock::Timeout=300 -o Acquire::Retries=5)
"${sudo[@]}" apt-get "${patient[@]}" -qq update
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get "${patient[@]}" -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
