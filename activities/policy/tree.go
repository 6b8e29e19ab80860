package policy

import (
	"fmt"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// position is a line and a column, counted from 1; zero where unknown.
type position struct{ line, column int }

// positions are where the fields of a file stand, by path.
type positions map[string]position

func positionOf(n ast.Node) position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key // a block mapping's own token is its first colon
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		n = m.Key
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return position{}
	}
	p := n.GetToken().Position
	return position{p.Line, p.Column}
}

// mistake is one thing that is wrong in a file: where, what, and what would be right.
type mistake struct {
	file    string
	at      position
	path    string
	found   string
	want    string
	example string
}

func (m mistake) String() string {
	var b strings.Builder
	b.WriteString(m.file)
	if m.at.line > 0 {
		fmt.Fprintf(&b, ":%d:%d", m.at.line, m.at.column)
	}
	if m.path != "" {
		b.WriteString(": " + m.path)
	}
	b.WriteString(": " + m.found)
	if m.want != "" {
		b.WriteString(": expected " + m.want)
	}
	if m.example != "" {
		b.WriteString(", for example " + m.example)
	}
	return b.String()
}

func sentences(mistakes []mistake) string {
	sort.SliceStable(mistakes, func(i, j int) bool { return mistakes[i].at.line < mistakes[j].at.line })
	lines := make([]string, len(mistakes))
	for i, m := range mistakes {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
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

func anchorsOf(root ast.Node) map[string]ast.Node {
	v := anchorVisitor{}
	ast.Walk(v, root)
	return v
}

type anchorVisitor map[string]ast.Node

// Visit implements ast.Visitor.
func (v anchorVisitor) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		v[a.Name.GetToken().Value] = a.Value
	}
	return v
}

func textOf(n ast.Node) (string, bool) {
	switch x := n.(type) {
	case *ast.StringNode:
		return x.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(x.Value.Value, "\n"), true
	default:
		return "", false
	}
}

func numberOf(n ast.Node) (float64, bool) {
	switch x := n.(type) {
	case *ast.IntegerNode:
		f, err := strconv.ParseFloat(fmt.Sprint(x.Value), 64)
		return f, err == nil
	case *ast.FloatNode:
		return x.Value, true
	default:
		return 0, false
	}
}

// shown is a value as a message may show it: short, and what it is in YAML.
func shown(n ast.Node) string {
	switch x := n.(type) {
	case *ast.StringNode:
		return strconv.Quote(short(x.Value))
	case *ast.LiteralNode:
		return strconv.Quote(short(x.Value.Value))
	case *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AliasNode:
		return "an alias to no anchor"
	default:
		return short(n.GetToken().Value)
	}
}

func short(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// plain is what a kind is called where no rule says more.
func plain(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

// fieldsOf maps the names that a file uses to the struct's fields.
func fieldsOf(t reflect.Type) map[string]int {
	out := map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			out[snake(name)] = i
		}
	}
	return out
}

func inOrder(fields map[string]int) []string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return fields[names[i]] < fields[names[j]] })
	return names
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

var indexes = regexp.MustCompile(`\[\d+\]`)

// general is a path without its indexes, as rules are listed.
func general(path string) string { return indexes.ReplaceAllString(path, "[]") }
