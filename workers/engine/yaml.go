package engine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// field is one that a mapping may have. read is false for a value that is not what want says.
type field struct {
	name, want, example string
	read                func(n ast.Node, path string) bool
}

// tree reads a YAML document strictly and gathers what is wrong with it.
type tree struct {
	file     string
	anchors  map[string]ast.Node
	mistakes []mistake
}

// parse reads one document.
func (t *tree) parse(raw []byte) ast.Node {
	parsed, err := parser.ParseBytes(raw, 0)
	if err != nil {
		m := mistake{found: "not YAML: " + err.Error()}
		var at yaml.Error
		if errors.As(err, &at) { // its own text would quote the lines around
			m.found = "not YAML: " + at.GetMessage()
			if tok := at.GetToken(); tok != nil && tok.Position != nil {
				m.line, m.column = tok.Position.Line, tok.Position.Column
			}
		}
		t.mistakes = append(t.mistakes, m)
		return nil
	}
	if len(parsed.Docs) != 1 || parsed.Docs[0].Body == nil {
		found := fmt.Sprintf("%d documents or an empty one", len(parsed.Docs))
		t.mistakes = append(t.mistakes, mistake{line: 1, column: 1, found: found, want: "one document of fields"})
		return nil
	}
	t.anchors = map[string]ast.Node{}
	ast.Walk(anchors(t.anchors), parsed.Docs[0].Body)
	return parsed.Docs[0].Body
}

// anchors gathers what aliases stand for.
type anchors map[string]ast.Node

// Visit implements ast.Visitor.
func (a anchors) Visit(n ast.Node) ast.Visitor {
	if x, ok := n.(*ast.AnchorNode); ok {
		a[x.Name.GetToken().Value] = x.Value
	}
	return a
}

// resolve follows an alias to what it stands for.
func (t *tree) resolve(n ast.Node) ast.Node {
	for range 100 { // an anchor that names itself would go round for ever
		switch x := n.(type) {
		case *ast.AliasNode:
			target, ok := t.anchors[x.Value.GetToken().Value]
			if !ok {
				return n
			}
			n = target
		case *ast.AnchorNode:
			n = x.Value
		default:
			return n
		}
	}
	return n
}

// mapping reads a mapping's fields and answers those that it has.
func (t *tree) mapping(n ast.Node, path string, fields ...field) map[string]ast.Node {
	n = t.resolve(n)
	pairs, ok := pairsOf(n)
	if !ok {
		t.wrong(n, path, "a mapping of fields", "")
		return nil
	}
	given := map[string]ast.Node{}
	for _, p := range pairs {
		name := p.Key.GetToken().Value
		f, known := find(fields, name)
		if !known {
			t.say(p.Key, join(path, name), "unknown field", "one of "+namesOf(fields), "")
			continue
		}
		value := t.resolve(p.Value)
		given[name] = value
		if !f.read(value, join(path, name)) {
			t.wrong(value, join(path, name), f.want, f.example)
		}
	}
	return given
}

// list reads a list, item by item.
func (t *tree) list(n ast.Node, path string, item func(n ast.Node, path string)) bool {
	seq, ok := n.(*ast.SequenceNode)
	if !ok || len(seq.Values) == 0 {
		return false
	}
	for i, v := range seq.Values {
		item(t.resolve(v), fmt.Sprintf("%s[%d]", path, i))
	}
	return true
}

// texts reads a list of texts of one form.
func (t *tree) texts(into *[]string, form func(string) bool, want, example string) func(ast.Node, string) bool {
	return func(n ast.Node, path string) bool {
		return t.list(n, path, func(n ast.Node, path string) {
			var s string
			if !text(&s, form)(n, path) {
				t.wrong(n, path, want, example)
			}
			*into = append(*into, s)
		})
	}
}

// text reads a text of a form; no number is taken for one.
func text(into *string, form func(string) bool) func(ast.Node, string) bool {
	return func(n ast.Node, _ string) bool {
		s, ok := n.(*ast.StringNode)
		if !ok || !form(s.Value) {
			return false
		}
		*into = s.Value
		return true
	}
}

// whole reads a whole number within bounds; no quoted text is taken for one.
func whole(into *int, least, most int) func(ast.Node, string) bool {
	return func(n ast.Node, _ string) bool {
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			return false
		}
		v, err := strconv.Atoi(fmt.Sprint(i.Value))
		if err != nil || v < least || v > most {
			return false
		}
		*into = v
		return true
	}
}

// duration reads a duration with its unit within bounds.
func duration(into *time.Duration, least, most time.Duration) func(ast.Node, string) bool {
	return func(n ast.Node, _ string) bool {
		s, ok := n.(*ast.StringNode)
		if !ok {
			return false
		}
		d, err := time.ParseDuration(s.Value)
		if err != nil || d < least || d > most {
			return false
		}
		*into = d
		return true
	}
}

func find(fields []field, name string) (field, bool) {
	for _, f := range fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

func namesOf(fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// pairsOf returns a mapping's entries; the parser gives a mapping of one entry a
// type of its own.
func pairsOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch x := n.(type) {
	case *ast.MappingNode:
		return x.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{x}, true
	default:
		return nil, false
	}
}
