package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/leanvibe/hive/workflows/runbook"
)

// readRunbook reads runbook.yaml with its defaults, and where each field stands.
func (h Hand) readRunbook(files Layout) (runbook.Policy, positions, error) {
	raw, err := os.ReadFile(h.path(files.Runbook))
	if err != nil {
		return runbook.Policy{}, nil, classify(err, files.Runbook, "copy the one of the repository, or write one with hive init")
	}
	p := defaults(files)
	d := &decoder{file: files.Runbook, rules: runbookRules, hidden: map[string]bool{"hash": true}, at: positions{}}
	root, bad := parse(files.Runbook, raw)
	if bad == nil {
		d.decode(root, &p)
		completeSchedules(&p)
		if len(d.mistakes) == 0 {
			d.mistakes = append(consistent(files.Runbook, p, d.at), consistentSchedules(files.Runbook, p, d.at)...)
		}
	} else {
		d.mistakes = []mistake{*bad}
	}
	if len(d.mistakes) > 0 {
		return runbook.Policy{}, nil, runbook.Fail(runbook.Refused, "%s", sentences(d.mistakes))
	}
	sum := sha256.Sum256(raw)
	p.Hash = "sha256:" + hex.EncodeToString(sum[:])
	return p, d.at, nil
}

// parse reads one YAML document into its tree.
func parse(file string, raw []byte) (ast.Node, *mistake) {
	tree, err := parser.ParseBytes(raw, 0)
	if err != nil {
		m := mistake{file: file, found: "not YAML: " + err.Error()}
		var at yaml.Error
		if errors.As(err, &at) { // its own text would quote the lines around
			m.found = "not YAML: " + at.GetMessage()
			if t := at.GetToken(); t != nil && t.Position != nil {
				m.at = position{t.Position.Line, t.Position.Column}
			}
		}
		return nil, &m
	}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		return nil, &mistake{file: file, at: position{1, 1}, found: "holds " + strconv.Itoa(len(tree.Docs)) + " documents or an empty one", want: "one document of fields"}
	}
	return tree.Docs[0].Body, nil
}
