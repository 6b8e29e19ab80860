package docker

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/leanvibe/hive/workflows/runbook"
)

// classify turns an error of the engine into a kind; what names the thing.
func classify(err error, what string) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), runbook.KindOf(err) != "":
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return runbook.Fail(runbook.Unreachable, "%s: the container engine did not answer in time", what)
	case client.IsErrConnectionFailed(err):
		return runbook.Fail(runbook.Unreachable, "%s: the container engine does not answer; start it (systemctl start docker), nothing was changed", what)
	case full(err):
		return runbook.Fail(runbook.Unsafe, "%s: the engine's disk is full; free some space, then start again", what)
	case errdefs.IsNotFound(err):
		return runbook.FailCause(runbook.Missing, plain(err), "%s", what)
	case errdefs.IsConflict(err):
		return runbook.FailCause(runbook.Busy, plain(err), "%s", what)
	case errdefs.IsInvalidArgument(err), errdefs.IsPermissionDenied(err), errdefs.IsUnauthorized(err), errdefs.IsNotImplemented(err):
		return runbook.FailCause(runbook.Refused, plain(err), "%s", what)
	default:
		return runbook.FailCause(runbook.Unreachable, plain(err), "%s", what)
	}
}

// classifyFile turns an error of a state file into a kind.
func classifyFile(err error, file string) error {
	switch {
	case err == nil, runbook.KindOf(err) != "":
		return err
	case errors.Is(err, fs.ErrNotExist):
		return runbook.Fail(runbook.Missing, "%s does not exist", file)
	case full(err):
		return runbook.Fail(runbook.Unsafe, "the disk of %s is full: nothing was changed; free some space, then start again", file)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return runbook.FailCause(runbook.Refused, err, "%s may not be read or written", file)
	default:
		return runbook.FailCause(runbook.Unreachable, err, "%s", file)
	}
}

// full also knows a full disk by the engine's words, which is all it sends.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || strings.Contains(err.Error(), "no space left on device")
}

// plain is the engine's own sentence, masked: it may quote a registry's address
// with a password in it.
func plain(err error) error {
	return errors.New(mask(strings.TrimPrefix(err.Error(), "Error response from daemon: ")))
}

// startFailure turns an error of a container's start into a kind. What the image
// or the file asks for and the machine cannot give is final; an address or a port
// that somebody holds may come free.
func startFailure(err error, name string) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "Address already in use"), strings.Contains(text, "port is already allocated"), strings.Contains(text, "address already in use"):
		return runbook.FailCause(runbook.Busy, plain(err), "%s", name)
	case strings.Contains(text, "OCI runtime create failed"), strings.Contains(text, "failed to create task"), strings.Contains(text, "executable file not found"):
		return runbook.FailCause(runbook.Refused, plain(err), "%s could not be started", name)
	default:
		return classify(err, name)
	}
}

// pullFailure turns an error of a pull into a kind: what the registry does not have
// or does not give is final, the rest may come back.
func pullFailure(err error, ref string) error {
	text := err.Error()
	switch {
	case errdefs.IsNotFound(err), strings.Contains(text, "manifest unknown"), strings.Contains(text, "not found"):
		return runbook.FailCause(runbook.Missing, plain(err), "the registry has no %s", ref)
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err), strings.Contains(text, "denied"), strings.Contains(text, "unauthorized"):
		return runbook.FailCause(runbook.Refused, plain(err), "the registry does not give out %s", ref)
	default:
		return classify(err, ref)
	}
}
