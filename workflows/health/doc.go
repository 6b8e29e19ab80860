// Package health is the runbook's Daily Operations Checklist and its
// production_readiness_check: ReadinessCheck looks at everything that the stack
// needs, side by side, and says ready only of what it has seen.
//
// A check that could not look says "no data", which is never good. The judges
// (systems.go, census.go, answers.go, grade.go) are pure; readiness.go looks.
package health
