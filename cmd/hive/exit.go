package main

import (
	"context"
	"errors"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Exit codes, as `hive --help` documents them. Scripts branch on these; they do not change their meaning.
const (
	exitOK          = 0   // succeeded, or planned
	exitFailed      = 1   // failed, and not wholly undone
	exitUsage       = 2   // an argument, an input or a file is wrong; nothing was begun
	exitReverted    = 3   // failed, and everything done was undone
	exitRefused     = 4   // nothing was begun: a lock is held, or a rule forbids it
	exitAborted     = 5   // stopped on request, and undone
	exitUnreachable = 6   // Temporal or the container engine did not answer
	exitInterrupted = 130 // this command was interrupted; a run it started goes on
)

// coded is an error that knows how the process ends. Silent: its text has been printed already.
type coded struct {
	code   int
	err    error
	silent bool
}

func (c *coded) Error() string { return c.err.Error() }
func (c *coded) Unwrap() error { return c.err }

func usage(err error) error       { return &coded{code: exitUsage, err: err} }
func unreachable(err error) error { return &coded{code: exitUnreachable, err: err} }

// ended is a run that ended otherwise than well; its report has been printed.
func ended(outcome runbook.Outcome) error {
	code := outcomeCode(outcome)
	if code == exitOK {
		return nil
	}
	return &coded{code: code, err: errors.New("the run ended " + string(outcome)), silent: true}
}

func outcomeCode(outcome runbook.Outcome) int {
	switch outcome {
	case runbook.Succeeded, runbook.Planned:
		return exitOK
	case runbook.Reverted:
		return exitReverted
	case runbook.RefusedRun:
		return exitRefused
	case runbook.Aborted:
		return exitAborted
	case runbook.Failed:
		return exitFailed
	default:
		return exitFailed
	}
}

// exitCode is the process's end; an error that no verb classified is a failure, but cobra's own (an unknown verb or
// flag) reach it as usage through the root's hooks.
func exitCode(err error) int {
	var c *coded
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &c):
		return c.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	default:
		return exitFailed
	}
}

// message is what to print of an error; empty for one whose text stands on the screen already.
func message(err error) string {
	var c *coded
	if err == nil || errors.As(err, &c) && c.silent {
		return ""
	}
	return err.Error()
}
