package engine

import "errors"

// Failure is a handler's error that says whether another attempt may mend it.
type Failure struct {
	// Permanent sends the task to the dead letters whatever attempts are left.
	Permanent bool
	// Err is the cause; its text becomes the task's error, cut at 4 KiB.
	Err error
}

// Error answers the cause's text.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap answers the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Permanent marks an error that no retry can mend, such as a payload that cannot be read.
func Permanent(err error) error { return &Failure{Permanent: true, Err: err} }

// Retryable marks an error that another attempt may mend. Unmarked errors are
// retryable too: it is for taking back what an inner call has marked permanent.
func Retryable(err error) error { return &Failure{Err: err} }

// permanent tells what the outermost mark says.
func permanent(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Permanent
}
