package view

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// LogOptions bound what is shown of each container.
type LogOptions struct {
	// Tail is lines from the end of each; negative means all.
	Tail   int
	Follow bool
}

// Logs writes the output of the containers line by line, each behind its container's name, until all have been read or,
// when following, until ctx ends. Lines of one container stay in order.
func (e *Engine) Logs(ctx context.Context, out io.Writer, containers []Container, o LogOptions) error {
	width := 0
	for _, c := range containers {
		width = max(width, len(c.Name))
	}
	shared := &lockedWriter{out: out}
	errs := make([]error, len(containers))
	var group sync.WaitGroup
	for i, c := range containers {
		group.Go(func() { errs[i] = e.logsOf(ctx, shared, c, fmt.Sprintf("%-*s | ", width, c.Name), o) })
	}
	group.Wait()
	select {
	case <-ctx.Done(): // the watcher went away: that is how following ends
		return nil
	default:
		return errors.Join(errs...)
	}
}

func (e *Engine) logsOf(ctx context.Context, out io.Writer, c Container, prefix string, o LogOptions) error {
	tail := "all"
	if o.Tail >= 0 {
		tail = strconv.Itoa(o.Tail)
	}
	inspected, err := e.api.ContainerInspect(ctx, c.ID)
	if err != nil {
		return fmt.Errorf("logs of %s: %w", c.Name, err)
	}
	stream, err := e.api.ContainerLogs(ctx, c.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: tail, Follow: o.Follow})
	if err != nil {
		return fmt.Errorf("logs of %s: %w", c.Name, err)
	}
	defer stream.Close()
	reader, writer := io.Pipe()
	go func() {
		var err error
		if inspected.Config != nil && inspected.Config.Tty { // a terminal's output is not multiplexed
			_, err = io.Copy(writer, stream)
		} else {
			_, err = stdcopy.StdCopy(writer, writer, stream)
		}
		writer.CloseWithError(err)
	}()
	defer reader.Close()
	lines := bufio.NewReader(reader)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			if line[len(line)-1] != '\n' {
				line += "\n"
			}
			if _, err := io.WriteString(out, prefix+line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("logs of %s: %w", c.Name, err)
		}
	}
}

// lockedWriter keeps the lines of several containers whole.
type lockedWriter struct {
	mu  sync.Mutex
	out io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}
