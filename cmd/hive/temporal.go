package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
)

const (
	namespace = "ops"
	uiBase    = "http://127.0.0.1:8233/namespaces/" + namespace + "/workflows"
	// dialTimeout is long enough for a server that is just starting to answer, short enough for a person to wait.
	dialTimeout = 5 * time.Second
)

// quiet drops the SDK's own log: what an operator must know is printed by the verbs.
var quiet = sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))

// link is where a run is seen in the Temporal UI.
func link(workflowID string) string { return uiBase + "/" + url.PathEscape(workflowID) }

// dial connects to Temporal; the error says what to do when it is away.
func (e *environment) dial(ctx context.Context) (client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{HostPort: e.temporal, Namespace: namespace, Logger: quiet})
	if err != nil {
		return nil, unreachable(fmt.Errorf(
			"Temporal does not answer at %s (%w): bring the platform up with `hive up`, or name another with --temporal", e.temporal, rootCause(err)))
	}
	return c, nil
}

// classify gives errors of the Temporal service their exit code and a way out.
func classify(err error, workflowID string) error {
	var missing *serviceerror.NotFound
	var away *serviceerror.Unavailable
	var late *serviceerror.DeadlineExceeded
	switch {
	case err == nil:
		return nil
	case errors.As(err, &missing):
		return usage(fmt.Errorf("no run %q: see what runs with `hive status`, or all of them at %s", workflowID, uiBase))
	case errors.As(err, &away), errors.As(err, &late), errors.Is(err, context.DeadlineExceeded):
		return unreachable(fmt.Errorf("Temporal went away (%w): look at it with `hive status`; a run that has begun goes on: %s", rootCause(err), link(workflowID)))
	default:
		return err
	}
}

// rootCause keeps the last sentence of a wrapped error: the outer ones repeat "failed reaching server".
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

func alreadyStarted(err error) bool {
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	return errors.As(err, &started)
}
