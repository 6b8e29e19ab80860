#!/usr/bin/env bash
# The tests that need the whole stack and are cheap enough for every change: one service rolled while the platform's
# processes are killed, and WeeklyMaintenance started from the Temporal UI in a browser.
# A stack that this checkout runs is used and left running; else one is brought up and taken down again, its data with it
# where there was none before. Images stay, as the next build's cache (make down removes them).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stack=leanvibe
here=$PWD/deploy/production
project=com.docker.compose.project=$stack

# Another checkout's stack is somebody's: its passwords are not ours. Only a CI machine, which nobody works on, is cleared.
foreign=$(docker ps --all --filter "label=$project" --format '{{.Label "com.docker.compose.project.working_dir"}}' | sort -u | grep -vxF "$here" || true)
if [ -n "$foreign" ]; then
  if [ "${CI:-}" != true ]; then
    echo "the stack $stack of another checkout is on this machine ($foreign): end it there with \`hive down\`, then run make test again" >&2
    exit 1
  fi
  echo "a stack $stack of $foreign is left on this CI machine: removing it with its data"
  out/bin/hive down --volumes "$stack"
fi

running=$(docker ps --quiet --filter "label=$project")
volumes=$(docker volume ls --quiet --filter "label=$project")
if [ -n "$volumes" ] && [ -z "$running" ] && [ ! -d secrets ]; then
  if [ "${CI:-}" != true ]; then
    echo "volumes of a stack $stack are on this machine, and the passwords to them are not in this checkout: run make test where that stack was made, or give its data up with \`hive down --volumes $stack\`" >&2
    exit 1
  fi
  echo "volumes of a stack $stack are left on this CI machine: removing them"
  out/bin/hive down --volumes "$stack"
  volumes=
fi

down=("$PWD/out/bin/hive" down --project "$PWD")
if [ -z "$volumes" ]; then down+=(--volumes "$stack"); fi
if [ -z "$running" ]; then trap '"${down[@]}"' EXIT; fi
out/bin/hive up
cd tests/e2e
HIVE_E2E=1 go test -count=1 -timeout 30m -v -run '^(TestARollOutlivesThreeKills|TestWeeklyMaintenanceFromTheTemporalUI)$' .
