package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"

	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/workflows/runbook"
)

// procedure is a page of the runbook as the CLI needs it: typed inside, JSON outside.
type procedure struct {
	name, summary, example string
	// start decodes the input strictly, validates it and starts the run.
	start func(ctx context.Context, c client.Client, input json.RawMessage) (client.WorkflowRun, string, error)
}

// of makes the CLI's view of a typed procedure.
func of[In runbook.Validator, Out any](p runbook.Procedure[In, Out]) procedure {
	return procedure{
		name: p.Name, summary: p.Summary, example: p.Example,
		start: func(ctx context.Context, c client.Client, input json.RawMessage) (client.WorkflowRun, string, error) {
			var in In
			decoder := json.NewDecoder(bytes.NewReader(input))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&in); err != nil {
				return nil, "", usage(fmt.Errorf("input of %s: %w; an input that acts: %s", p.Name, err, or(p.Example, "{}")))
			}
			if err := in.Validate(); err != nil {
				return nil, "", usage(fmt.Errorf("input of %s: %w; an input that acts: %s", p.Name, err, or(p.Example, "{}")))
			}
			run, err := p.Start(ctx, c, in)
			return run, p.ID(in), err
		},
	}
}

// find returns the procedure of that name, in any case; the error lists them all.
func find(all []procedure, name string) (procedure, error) {
	at := slices.IndexFunc(all, func(p procedure) bool { return strings.EqualFold(p.name, name) })
	if at >= 0 {
		return all[at], nil
	}
	var b strings.Builder
	for _, p := range all {
		fmt.Fprintf(&b, "\n  %-20s %s", p.name, p.summary)
	}
	return procedure{}, usage(fmt.Errorf("no procedure %q; there are:%s", name, b.String()))
}

// readInput takes --input: JSON, @file, or @- for standard input.
func readInput(argument string, stdin io.Reader) (map[string]any, error) {
	raw := []byte(or(argument, "{}"))
	source := "--input"
	if path, isFile := strings.CutPrefix(argument, "@"); isFile {
		var err error
		source = path
		if path == "-" {
			source = "standard input"
			raw, err = io.ReadAll(stdin)
		} else {
			raw, err = os.ReadFile(path)
		}
		if err != nil {
			return nil, usage(fmt.Errorf("--input: %w", err))
		}
	}
	fields := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&fields); err != nil {
		return nil, usage(fmt.Errorf("%s is not a JSON object: %w", source, at(err, raw)))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, usage(fmt.Errorf("%s holds more than one JSON object", source))
	}
	return fields, nil
}

// at adds the line to a JSON error: a byte offset tells a person nothing.
func at(err error, raw []byte) error {
	var syntax *json.SyntaxError
	end := len(raw)
	switch {
	case errors.As(err, &syntax):
		end = min(int(syntax.Offset), len(raw))
	case !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	}
	return fmt.Errorf("line %d: %w", 1+bytes.Count(raw[:end], []byte("\n")), err)
}

// begin starts a procedure with the caller's input and what every run carries. The same procedure at work already is an
// error with a link, never a silent attach.
func begin(ctx context.Context, c client.Client, p procedure, fields map[string]any, plan bool) (client.WorkflowRun, error) {
	fields["trigger"] = "cli"
	fields["requestedBy"] = requestedBy()
	if plan {
		fields["plan"] = true
	}
	input, err := json.Marshal(fields)
	if err != nil {
		return nil, usage(fmt.Errorf("--input: %w", err))
	}
	run, id, err := p.start(ctx, c, input)
	if alreadyStarted(err) {
		return nil, &coded{code: exitRefused, err: fmt.Errorf(
			"refused: %s is at work already: watch it with `hive status %s` or at %s, stop it with `hive abort %s`", p.name, id, link(id), id)}
	}
	if err != nil {
		return nil, classify(err, id)
	}
	return run, nil
}

func requestedBy() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
