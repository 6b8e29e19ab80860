package runbook

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/temporal"
)

// Kind is why a step failed: a closed set, set only by the hand that saw it. It
// is the Temporal error type and the metric label.
type Kind string

const (
	// Refused: the request itself is not allowed or makes no sense. Final.
	Refused Kind = "Refused"
	// Missing: the thing named does not exist. Final.
	Missing Kind = "Missing"
	// Unsafe: doing it now would break a safety rule. Final.
	Unsafe Kind = "Unsafe"
	// Corrupt: what was read is not what it claims to be. Final.
	Corrupt Kind = "Corrupt"
	// Busy: somebody else holds it; try again.
	Busy Kind = "Busy"
	// Unreachable: the system did not answer; try again.
	Unreachable Kind = "Unreachable"
	// NotYet: the awaited condition does not hold yet; try again, and alert nobody.
	NotYet Kind = "NotYet"
)

func finalKinds() []string {
	return []string{string(Refused), string(Missing), string(Unsafe), string(Corrupt)}
}

// Fail makes a failure of the given kind; the text names the thing and the way out.
func Fail(kind Kind, format string, args ...any) error {
	return fail(kind, nil, fmt.Sprintf(format, args...))
}

// FailCause is Fail with the error that caused it, whose text is appended.
func FailCause(kind Kind, cause error, format string, args ...any) error {
	return fail(kind, cause, fmt.Sprintf(format, args...)+": "+cause.Error())
}

func fail(kind Kind, cause error, text string) error {
	o := temporal.ApplicationErrorOptions{Cause: cause}
	switch kind {
	case Refused, Missing, Unsafe, Corrupt:
		o.NonRetryable = true
	case NotYet:
		o.Category = temporal.ApplicationErrorCategoryBenign
	case Busy, Unreachable:
	}
	return temporal.NewApplicationErrorWithOptions(text, string(kind), o)
}

// KindOf returns the kind of a step's failure, or "" where no hand classified it
// (a timeout of the engine, a cancellation).
func KindOf(err error) Kind {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		return ""
	}
	switch k := Kind(app.Type()); k {
	case Refused, Missing, Unsafe, Corrupt, Busy, Unreachable, NotYet:
		return k
	default:
		return ""
	}
}

// Reason returns the innermost text of a failure without Temporal's wrapping, fit
// for an operator's eye.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	return err.Error()
}
