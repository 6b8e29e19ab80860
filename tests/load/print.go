package load

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// Print writes the result as tables for people.
func (r *Result) Print(out io.Writer) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "LOAD %s\t%.0f s\t%.0f requests/s\n", r.Run, r.DurationS, r.RateS)
	fmt.Fprintln(t, "\nPHASE\tREQUESTS\tFAILED\tP50 ms\tP90\tP99\tP99.9\tMAX")
	for _, p := range []Phase{Before, During, After} {
		if l := r.Latency[p]; l.Requests > 0 {
			l.row(t, string(p), r.Client.ByPhase[p].Failed)
		}
	}
	if r.Slow.Requests > 0 {
		r.Slow.row(t, "long polls", r.Client.ByClass[Slow].Failed)
	}
	fmt.Fprintf(t, "\nLEDGER\tCLIENT\tSERVER\n")
	fmt.Fprintf(t, "submitted\t%d acknowledged, %d unknown\t%d\n", r.Client.Acknowledged, r.Client.Unknown, r.Server.Submitted)
	fmt.Fprintf(t, "completed\t%d looked up, %d lost\t%d\n", r.Server.LookedUp, r.Lost, r.Server.Completed)
	fmt.Fprintf(t, "executed\t\t%d (%d given back, %d failed)\n", r.Server.Executions, r.Server.Released, r.Server.FailedAttempts)
	fmt.Fprintf(t, "repeats answered\t\t%d\n", r.Server.DuplicatesAnswered)
	w := r.Websockets
	fmt.Fprintf(t, "\nWEBSOCKETS\t%d: %d survived, %d back after 1001, slowest %s ms\n", w.Sockets, w.Survived, w.Returned, figure(w.ReconnectMaxMS))
	fmt.Fprintf(t, "messages\t%d sent, %d stored, %d refused, %d lost, %d duplicated\n", w.Sent, w.Stored, w.Refused, w.Lost, w.Duplicated)
	fmt.Fprintf(t, "\nVERDICT\t%d failed, %d lost, %d duplicated, %d by a wrong version, longest gap %s ms\n",
		r.Failed, r.Lost, r.Duplicated, r.WrongVersion, figure(r.LongestGapMS))
	for _, d := range r.Disagreements {
		fmt.Fprintf(t, "disagree\t%s\n", d)
	}
	for _, f := range r.Faults[:min(len(r.Faults), 10)] {
		fmt.Fprintf(t, "fault\t%s %s %s %s: %s\n", f.At.Format("15:04:05.000"), f.Class, f.Key, f.Instance, f.What)
	}
	_ = t.Flush()
}

func (l Latency) row(out io.Writer, name string, failed int64) {
	fmt.Fprintf(out, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", name, l.Requests, failed,
		figure(l.P50MS), figure(l.P90MS), figure(l.P99MS), figure(l.P999MS), figure(l.MaxMS))
}

func figure(ms *float64) string {
	if ms == nil {
		return "no data"
	}
	return fmt.Sprintf("%.1f", *ms)
}

// Save writes the result to a file, whole or not at all.
func (r *Result) Save(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	partial := path + ".partial"
	if err := os.WriteFile(partial, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.Rename(partial, path)
}
