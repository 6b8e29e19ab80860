// Package schedules tries the schedules on the real Temporal server, with its own
// clock: a calendar two minutes ahead fires once; with opsworker or Temporal away
// across it, one person is told, once; a local time that a change of clocks brings
// twice, or skips, runs once.
//
// It takes some ten minutes, so it runs only where HIVE_TEMPORAL_BINARY names the
// server: cd deploy/temporal && go build -o /tmp/hive-temporal .
package schedules
