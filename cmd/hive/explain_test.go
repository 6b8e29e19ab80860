package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/workers/operations/runbookmap"
)

func TestExplainSaysWhatToTypeNow(t *testing.T) {
	code, out, errs := execute(t, "explain", "docker compose -f prod.yml up -d --scale communication-hub=5")
	require.Equal(t, exitOK, code, errs)
	for _, want := range []string{
		"taken for", "runbook", "ScaleService: adds or takes away replicas", "old way",
		`hive run ScaleService --input '{"service":"communication-hub","replicas":5}'`, "docs/scale-service.md",
	} {
		require.Contains(t, out, want)
	}
	code, out, _ = execute(t, "explain", "redis-cli FLUSHDB", "--output", "json")
	require.Equal(t, exitOK, code)
	var answers []runbookmap.Answer
	require.NoError(t, json.Unmarshal([]byte(out), &answers))
	require.Len(t, answers, 1)
	require.Equal(t, runbookmap.Refused, answers[0].Kind)
	require.NotEmpty(t, answers[0].Where)
}

func TestExplainOfAStrangerNamesTheNearest(t *testing.T) {
	code, out, errs := execute(t, "explain", "docker", "ps", "--format", "json")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "put the old command in quotes")
	require.Empty(t, out)
	code, out, errs = execute(t, "explain", "redis-cli get session; docker ps")
	require.Equal(t, exitUsage, code)
	require.Contains(t, out, "nearest")
	require.Contains(t, out, "hive status", "what is known is explained all the same")
	require.Empty(t, errs)
	code, _, errs = execute(t, "explain")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "see: hive explain --help")
}

// accepting is a server that is reached only by an input that was decoded and found right.
type accepting struct{ client.Client }

var errAccepted = errors.New("accepted")

func (accepting) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	return nil, errAccepted
}

// What is there to be typed must be accepted: verb, flags, procedure and input.
func TestWhatTheMapTellsToTypeIsAccepted(t *testing.T) {
	m, err := runbookmap.Load()
	require.NoError(t, err)
	typed := 0
	for _, e := range m.Entries {
		for _, line := range append(append([]string{}, e.Lines...), e.Also...) {
			for _, text := range m.Explain(line)[0].Type {
				typed++
				require.NotContains(t, text, "{service", line)
				require.NotContains(t, text, "{tail}", line)
				words := strings.Fields(strings.ReplaceAll(text, "'", ""))
				verb, rest, err := newRoot(&bytes.Buffer{}, &bytes.Buffer{}).Find(words[1:])
				require.NoError(t, err, text)
				require.NoError(t, verb.ParseFlags(rest), text)
				require.NoError(t, verb.ValidateArgs(verb.Flags().Args()), text)
				if verb.Name() != "run" && verb.Name() != "plan" {
					continue
				}
				p, err := find(procedures, verb.Flags().Arg(0))
				require.NoError(t, err, text)
				fields, err := readInput(verb.Flags().Lookup("input").Value.String(), nil)
				require.NoError(t, err, text)
				input, err := json.Marshal(fields)
				require.NoError(t, err)
				_, _, err = p.start(t.Context(), accepting{}, input)
				require.ErrorIs(t, err, errAccepted, text)
			}
		}
	}
	require.Greater(t, typed, 80)
}
