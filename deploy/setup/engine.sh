#!/usr/bin/env bash
# Has a container engine: one that answers is used as it is; else Docker is installed (Debian's docker.io) and started,
# and said so first. May be repeated. Whoever takes the stack down (hive down, make down) never removes Docker.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

host=${DOCKER_HOST:-unix:///var/run/docker.sock}
wait_seconds=60

# answers asks the engine itself: the docker command may be missing, and is not needed.
answers() {
  if [[ $host == unix://* ]]; then
    [ -S "${host#unix://}" ] || return 1
    if command -v curl >/dev/null; then
      curl -fsS --max-time 5 --unix-socket "${host#unix://}" http://engine/_ping >/dev/null 2>&1
      return
    fi
  fi
  command -v docker >/dev/null && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# lives says whether a process is there and not only its remains; alive, whether the pid in a file is a dockerd that
# lives: a killed one leaves its file behind, and its number to somebody else.
lives() { [ -e "/proc/$1" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }
alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] && lives "$pid"
}

fail() {
  echo "engine: $*" >&2
  exit 1
}

if answers; then exit 0; fi
if [ -n "${DOCKER_HOST:-}" ] && [[ $host != unix:///var/run/docker.sock ]]; then
  fail "no container engine answers at DOCKER_HOST=$DOCKER_HOST; start it, or unset DOCKER_HOST to use the local one"
fi
if [ -S "${host#unix://}" ] && [ ! -w "${host#unix://}" ]; then
  fail "there is an engine at $host, but $(id -un) may not use it: usermod -aG docker $(id -un), then log in again; or run this as root"
fi
if [ "$(id -u)" -ne 0 ]; then
  fail "no container engine answers at $host, and only root can install or start one: start Docker, or run once: sudo deploy/setup/engine.sh"
fi

dockerd=$(command -v dockerd || true)
if [ -z "$dockerd" ]; then
  command -v apt-get >/dev/null || fail "no container engine answers at $host, and this machine has no apt-get: install Docker yourself (docs.docker.com/engine/install), then try again"
  echo "engine: no container engine answers at $host: installing Docker now (apt-get install docker.io iptables) and starting it"
  log=$(mktemp)
  # From Debian 13 on the client is a package of its own.
  packages() { echo docker.io iptables ca-certificates; if apt-cache show docker-cli >/dev/null 2>&1; then echo docker-cli; fi; }
  # shellcheck disable=SC2046 # the words are package names
  if ! { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(packages); } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    fail "apt-get could not install docker.io; its last words stand above"
  fi
  rm -f "$log"
  dockerd=$(command -v dockerd) || fail "docker.io is installed, but there is no dockerd in PATH"
else
  echo "engine: Docker is installed but no engine answers at $host: starting it now"
fi

if answers; then echo "engine: answers at $host"; exit 0; fi # the package has started it

out=out/engine
started=
if [ -d /run/systemd/system ]; then
  systemctl start docker || fail "systemctl start docker failed: journalctl -u docker -n 50 says why"
else
  mkdir -p "$out"
  # A pid file of an engine that was killed keeps the next one from starting.
  if ! alive /var/run/docker.pid; then
    rm -f /var/run/docker.pid
    nohup setsid "$dockerd" >>"$out/dockerd.log" 2>&1 </dev/null &
    started=$!
    echo "$started" >"$out/dockerd.pid"
    echo "engine: dockerd started without systemd, pid $started, log $out/dockerd.log (this start does not survive a reboot: run make engine again)"
  fi
fi

for ((i = 0; i < wait_seconds * 2; i++)); do
  if answers; then echo "engine: answers at $host"; exit 0; fi
  if [ -n "$started" ] && ! lives "$started"; then
    tail -n 15 "$out/dockerd.log" >&2
    fail "dockerd ended; its last words stand above ($out/dockerd.log)"
  fi
  read -rt 0.5 <> <(:) || true # half a second, without a process
done
if [ -f "$out/dockerd.log" ]; then tail -n 15 "$out/dockerd.log" >&2; fi
fail "no engine answers at $host after $wait_seconds s"
