package engine

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// mistake is one thing that is wrong in a file: where, what, and what would be right.
type mistake struct {
	line, column               int
	path, found, want, example string
}

// missing says that a mapping lacks a field.
func (t *tree) missing(n ast.Node, path, want, example string) {
	t.say(n, path, "missing", want, example)
}

func (t *tree) wrong(n ast.Node, path, want, example string) {
	t.say(n, path, "got "+shown(n), want, example)
}

func (t *tree) say(n ast.Node, path, found, want, example string) {
	m := mistake{path: path, found: found, want: want, example: example}
	m.line, m.column = positionOf(n)
	t.mistakes = append(t.mistakes, m)
}

// err is all that was found, a line each, in the file's order.
func (t *tree) err() error {
	if len(t.mistakes) == 0 {
		return nil
	}
	sort.SliceStable(t.mistakes, func(i, j int) bool { return t.mistakes[i].line < t.mistakes[j].line })
	lines := make([]string, len(t.mistakes))
	for i, m := range t.mistakes {
		lines[i] = t.file
		if m.line > 0 {
			lines[i] += fmt.Sprintf(":%d:%d", m.line, m.column)
		}
		if m.path != "" {
			lines[i] += ": " + m.path
		}
		lines[i] += ": " + m.found
		if m.want != "" {
			lines[i] += ": expected " + m.want
		}
		if m.example != "" {
			lines[i] += ", for example " + m.example
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}

// positionOf answers line and column, counted from 1.
func positionOf(n ast.Node) (line, column int) {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key // a block mapping's own token is its first colon
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		n = m.Key
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0, 0
	}
	p := n.GetToken().Position
	return p.Line, p.Column
}

// shown is a value as a message may show it: short, and what it is in YAML.
func shown(n ast.Node) string {
	const most = 60
	switch x := n.(type) {
	case *ast.StringNode:
		return fmt.Sprintf("%.*q", most, x.Value)
	case *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AliasNode:
		return "an alias to no anchor"
	default:
		return fmt.Sprintf("%.*s", most, n.GetToken().Value)
	}
}
