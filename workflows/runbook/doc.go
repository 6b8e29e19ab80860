// Package runbook is the language between procedures and hands: what a
// procedure may ask for (steps), what it may see (states) and what it may
// leave behind (plans, reports). Chapters in workflows/ speak it, hands in
// activities/ answer it, and it imports neither.
//
// A Step is declared once, here, with its wire name, timeouts, retry rule and
// effect; it is bound once, in workers/operations/contents.go. A handler of the
// wrong type does not compile. A Procedure is a name and a validated input:
// below it is plain Temporal.
//
// Files named after a system (containers.go, proxy.go, database.go, …) declare
// that system's steps; together they are the whole blast radius of the product.
package runbook
