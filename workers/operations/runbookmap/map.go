// Package runbookmap says what became of each line of the operational runbook, and
// finds the line that somebody means who types it a little differently.
package runbookmap

import (
	"fmt"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	source "github.com/leanvibe/hive/docs/runbook-map"
)

// Entry answers for lines of the runbook that have one answer.
type Entry struct {
	// Lines stand in the runbook to the letter.
	Lines []string `yaml:"lines"`
	// Also are commands that do not stand there and have the same answer.
	Also []string `yaml:"also"`
	// Procedure with Steps, Verb, Refused, NotYet: exactly one is set.
	Procedure string   `yaml:"procedure"`
	Steps     []string `yaml:"steps"`
	Verb      string   `yaml:"verb"`
	Refused   string   `yaml:"refused"`
	NotYet    string   `yaml:"not_yet"`
	// Does is what happens now, Why what was wrong with the old way.
	Does string `yaml:"does"`
	Why  string `yaml:"why"`
	// Type are commands to type now, with placeholders.
	Type []string `yaml:"type"`
	// Page is a page under docs/.
	Page string `yaml:"page"`
}

// Kind is the kind of an answer.
type Kind string

const (
	// ByProcedure: a procedure does it.
	ByProcedure Kind = "procedure"
	// ByVerb: a verb of the command line shows it.
	ByVerb Kind = "verb"
	// Refused: it is never done.
	Refused Kind = "refused"
	// NotYet: a chapter that is not built.
	NotYet Kind = "not yet"
	// Unknown: the map has no such line.
	Unknown Kind = "unknown"
)

// Kind is what the entry answers with.
func (e Entry) Kind() Kind {
	switch {
	case e.Procedure != "":
		return ByProcedure
	case e.Verb != "":
		return ByVerb
	case e.Refused != "":
		return Refused
	default:
		return NotYet
	}
}

// Map is the runbook's lines and their answers.
type Map struct {
	Lines   []Line
	Entries []Entry
	known   []candidate
}

// Load reads the map that is part of this binary.
var Load = sync.OnceValues(func() (*Map, error) { return Read(source.Runbook, source.Map) })

// Read reads a map and its runbook, strictly. It does not ask whether every line is
// answered for: Unanswered and Strays do.
func Read(text string, raw []byte) (*Map, error) {
	m := &Map{Lines: Lines(text)}
	if err := yaml.UnmarshalWithOptions(raw, &m.Entries, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("the runbook's map: %w", err)
	}
	seen := map[string]bool{}
	for i, e := range m.Entries {
		if err := e.validate(); err != nil {
			return nil, fmt.Errorf("the runbook's map, entry %d (%s): %w", i+1, e.name(), err)
		}
		for _, line := range append(append([]string{}, e.Lines...), e.Also...) {
			if seen[line] {
				return nil, fmt.Errorf("the runbook's map, entry %d: %q is answered for twice", i+1, line)
			}
			seen[line] = true
		}
	}
	m.known = candidates(m)
	return m, nil
}

func (e Entry) validate() error {
	answers := 0
	for _, text := range []string{e.Procedure, e.Verb, e.Refused, e.NotYet} {
		if text != "" {
			answers++
		}
	}
	switch {
	case len(e.Lines)+len(e.Also) == 0:
		return fmt.Errorf("it has no line")
	case answers != 1:
		return fmt.Errorf("it has %d answers; expected exactly one of procedure, verb, refused, not_yet", answers)
	case (e.Procedure != "") != (len(e.Steps) > 0):
		return fmt.Errorf("a procedure is named with the steps of it that do the work, and steps with their procedure")
	case e.NotYet == "" && (e.Does == "" || e.Why == "" || len(e.Type) == 0 || e.Page == ""):
		return fmt.Errorf("does, why, type and page are all to be said")
	}
	return nil
}

func (e Entry) name() string {
	for _, line := range append(append([]string{}, e.Lines...), e.Also...) {
		return line
	}
	return "without a line"
}

// Unanswered are the runbook's lines that no entry answers for.
func (m *Map) Unanswered() []Line {
	answered := map[string]bool{}
	for _, e := range m.Entries {
		for _, line := range e.Lines {
			answered[line] = true
		}
	}
	var out []Line
	for _, line := range m.Lines {
		if !answered[line.Text] {
			out = append(out, line)
		}
	}
	return out
}

// Strays are lines of the map that do not stand in the runbook, or not any more;
// and commands given as "also" that do.
func (m *Map) Strays() []string {
	stands := map[string]bool{}
	for _, line := range m.Lines {
		stands[line.Text] = true
	}
	var out []string
	for _, e := range m.Entries {
		for _, line := range e.Lines {
			if !stands[line] {
				out = append(out, line)
			}
		}
		for _, line := range e.Also {
			if stands[line] {
				out = append(out, line+" (under also, though the runbook has it)")
			}
		}
	}
	return out
}

// where lists the places of a line in the runbook.
func (m *Map) where(text string) []Line {
	out := []Line{}
	for _, line := range m.Lines {
		if line.Text == text {
			out = append(out, line)
		}
	}
	return out
}

// tidy is a text as it is compared to the letter: white space is no difference.
func tidy(text string) string { return strings.Join(strings.Fields(text), " ") }
