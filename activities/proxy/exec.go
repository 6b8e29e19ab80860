package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// execMax bounds a command in the container. The engine does not end a command
	// whose caller has gone, so the command is also bounded inside, a little tighter.
	execMax    = 20 * time.Second
	execInside = "15"
	outputMax  = 32 << 10
	wordsMax   = 1000
)

// exec runs a command in the proxy's container and returns what it said on both
// streams, and its exit code.
func (h Hand) exec(ctx context.Context, id string, command ...string) (output string, code int, err error) {
	name := strings.Join(command, " ")
	bounded, cancel := context.WithTimeout(ctx, execMax)
	defer cancel()
	defer func() {
		if ctx.Err() != nil {
			err = ctx.Err()
		} else {
			err = classify(err, name+" in the proxy's container")
		}
	}()
	made, err := h.API.ContainerExecCreate(bounded, id, container.ExecOptions{
		Cmd: append([]string{"timeout", execInside}, command...), AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return "", 0, err
	}
	stream, err := h.API.ContainerExecAttach(bounded, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return "", 0, err
	}
	defer stream.Close()
	defer context.AfterFunc(bounded, stream.Close)() // a read of the stream knows no context
	said := &capped{}
	if _, err := stdcopy.StdCopy(said, said, stream.Reader); err != nil {
		return "", 0, errors.Join(bounded.Err(), err)
	}
	code, err = h.exit(bounded, made.ID)
	return strings.TrimSpace(strings.ToValidUTF8(said.String(), "�")), code, err
}

// exit waits for the exit code, which the engine may know a moment after the end
// of the output.
func (h Hand) exit(ctx context.Context, exec string) (int, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := h.API.ContainerExecInspect(ctx, exec)
		if err != nil || !state.Running {
			return state.ExitCode, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
	}
}

// check has nginx read its whole configuration. Refused carries nginx's words.
func (h Hand) check(ctx context.Context, id string) error {
	words, code, err := h.exec(ctx, id, "nginx", "-t")
	switch {
	case err != nil:
		return err
	case code == 0:
		return nil
	case code == 124:
		return runbook.Fail(runbook.Unreachable, "nginx -t did not end within %s s", execInside)
	default:
		return runbook.Fail(runbook.Refused, "nginx -t refuses the configuration (exit %d): %s", code, cut(words))
	}
}

// reload tells nginx's master to load what check has passed. It returns before any
// worker has changed.
func (h Hand) reload(ctx context.Context, id string) error {
	words, code, err := h.exec(ctx, id, "nginx", "-s", "reload")
	if err == nil && code != 0 {
		return runbook.Fail(runbook.Unreachable, "nginx -s reload ended with %d: %s", code, cut(words))
	}
	return err
}

var versionText = regexp.MustCompile(`nginx/(\d{1,6})\.(\d{1,6})\.(\d{1,6})`)

// version asks nginx which it is, and whether that one knows keepalive_min_timeout.
func (h Hand) version(ctx context.Context, id string) (version string, keepaliveMin bool, err error) {
	words, code, err := h.exec(ctx, id, "nginx", "-v")
	if err != nil {
		return "", false, err
	}
	version, keepaliveMin = parseVersion(words)
	if code != 0 || version == "" {
		return "", false, runbook.Fail(runbook.Refused, "nginx -v ended with %d and no version: %s", code, cut(words))
	}
	return version, keepaliveMin, nil
}

// parseVersion reads "nginx version: nginx/1.30.6". keepalive_min_timeout, without
// which a reload loses requests, came with 1.27.4.
func parseVersion(words string) (version string, keepaliveMin bool) {
	m := versionText.FindStringSubmatch(words)
	if m == nil {
		return "", false
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // at most six digits by the pattern
	}
	return strings.TrimPrefix(m[0], "nginx/"), slices.Compare(n[:], []int{1, 27, 4}) >= 0
}

// oldWorkers counts the workers of earlier configurations, which live until their
// last client leaves. nginx writes what a process is into its command line. It is
// read inside the container, because the engine's own list of processes needs a ps
// on its machine, which a small Debian does not have.
func (h Hand) oldWorkers(ctx context.Context, id string) (int, error) {
	words, code, err := h.exec(ctx, id, "sh", "-c", `cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\000' '\n'`)
	if err != nil {
		return 0, err
	}
	if code != 0 || !strings.Contains(words, "nginx: master process") {
		return 0, runbook.Fail(runbook.Unreachable, "the proxy's container shows no nginx master process (exit %d): %s", code, cut(words))
	}
	return strings.Count(words, "nginx: worker process is shutting down"), nil
}

func cut(words string) string {
	if len(words) > wordsMax {
		words = strings.ToValidUTF8(words[:wordsMax], "") + " …"
	}
	return words
}

// capped keeps the beginning of an output and swallows the rest.
type capped struct{ bytes.Buffer }

var _ io.Writer = (*capped)(nil)

// Write implements io.Writer.
func (c *capped) Write(p []byte) (int, error) {
	c.Buffer.Write(p[:min(len(p), outputMax-c.Len())])
	return len(p), nil
}
