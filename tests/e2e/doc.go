// Package e2e drives the Temporal UI in a real browser against a stack that runs. It is a module of its own, because
// nothing else needs a browser.
//
//	setup.sh                       installs Chromium where there is none
//	HIVE_E2E=1 go test -timeout 30m .   starts WeeklyMaintenance from the Start form and watches it; pictures in out/e2e
//
// Without HIVE_E2E=1 the test skips and says so. HIVE_UI, HIVE_PROJECT_DIR and HIVE_STACK name another user interface,
// project or stack than the ones of `hive up`.
package e2e
