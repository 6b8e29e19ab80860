// Command record takes histories of closed runs from the running platform into
// tests/replay/histories, one for each procedure and outcome that it finds, for the
// replay test. It overwrites none: a history that was recorded once guards for ever.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	sdklog "go.temporal.io/sdk/log"
)

func main() {
	address := flag.String("temporal", "127.0.0.1:7233", "Temporal's address")
	dir := flag.String("to", "tests/replay/histories", "where histories go")
	label := flag.String("label", "", "what the histories guard, added to the file name (such as \"killed\")")
	flag.Parse()
	if err := record(context.Background(), *address, *dir, *label); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func record(ctx context.Context, address, dir, label string) error {
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Namespace: "ops", Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	if err != nil {
		return fmt.Errorf("Temporal at %s: %w; bring it up with `hive up`", address, err)
	}
	defer c.Close()
	var token []byte
	for {
		page, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: "ops", Query: "ExecutionStatus != 'Running'", NextPageToken: token})
		if err != nil {
			return err
		}
		for _, run := range page.GetExecutions() {
			if err := keep(ctx, c, run, dir, label); err != nil {
				return fmt.Errorf("%s: %w", run.GetExecution().GetWorkflowId(), err)
			}
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return nil
		}
	}
}

// keep writes the run's history, unless one of its procedure and outcome is there.
func keep(ctx context.Context, c client.Client, run *workflowpb.WorkflowExecutionInfo, dir, label string) error {
	name := strings.ToLower(run.GetStatus().String())
	var outcome string
	if p := run.GetSearchAttributes().GetIndexedFields()["OpsOutcome"]; p != nil && converter.GetDefaultDataConverter().FromPayload(p, &outcome) == nil && outcome != "" {
		name = outcome
	}
	if label != "" {
		name += "-" + label
	}
	path := filepath.Join(dir, run.GetType().GetName(), name+".json")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	var h history.History
	events := c.GetWorkflowHistory(ctx, run.GetExecution().GetWorkflowId(), run.GetExecution().GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return err
		}
		h.Events = append(h.Events, e)
	}
	raw, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(&h)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	fmt.Printf("%s  %d events of %s\n", path, len(h.Events), run.GetExecution().GetWorkflowId())
	return os.WriteFile(path, raw, 0o644)
}
