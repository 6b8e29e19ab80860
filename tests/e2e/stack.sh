#!/usr/bin/env bash
# What `make test` runs on the real stack: a roll that outlives three kills, and WeeklyMaintenance from the Temporal UI in a
# browser. A stack that runs already is used and left; else one is brought up, and taken down again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ -z "$(docker ps -q --filter label=com.docker.compose.project=leanvibe)" ]; then
  trap 'out/bin/hive down --volumes leanvibe' EXIT
fi
out/bin/hive up
tests/e2e/setup.sh
cd tests/e2e
HIVE_E2E=1 go test -count=1 -timeout 20m -run 'TestARollOutlivesThreeKills|TestWeeklyMaintenanceFromTheTemporalUI' ./...
