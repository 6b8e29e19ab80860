package policy

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"unicode"

	"github.com/docker/go-units"
	"github.com/goccy/go-yaml/ast"

	"github.com/leanvibe/hive/workflows/runbook"
)

// decoder reads a YAML tree into a struct, strictly: unknown fields, wrong types
// and values against a rule are mistakes, all of which are reported at once. The
// name of a field in the file is its JSON name in snake_case.
type decoder struct {
	file  string
	rules map[string]rule
	// hidden are fields of the struct that the file may not set.
	hidden   map[string]bool
	anchors  map[string]ast.Node
	at       positions
	mistakes []mistake
}

// decode fills v from the tree; what the tree does not name keeps its value.
func (d *decoder) decode(root ast.Node, v any) {
	d.anchors = anchorsOf(root)
	d.value(root, reflect.ValueOf(v).Elem(), "")
}

func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	n = d.resolve(n)
	d.at[path] = positionOf(n)
	if v.Type() == reflect.TypeFor[runbook.Duration]() {
		d.duration(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path)
		return
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	pairs, ok := pairsOf(n)
	if !ok {
		d.wrong(n, path, "a mapping of fields", "")
		return
	}
	fields := fieldsOf(v.Type())
	for _, p := range pairs {
		name := p.Key.GetToken().Value
		child := join(path, name)
		index, known := fields[name]
		if !known || d.hidden[child] {
			d.mistakes = append(d.mistakes, mistake{d.file, positionOf(p.Key), child, "unknown field",
				"one of " + strings.Join(d.open(fields, path), ", "), ""})
			continue
		}
		d.value(p.Value, v.Field(index), child)
	}
	d.required(fields, n, path)
}

// required reports the fields that have no default and were not given.
func (d *decoder) required(fields map[string]int, n ast.Node, path string) {
	for _, name := range d.open(fields, path) {
		child := join(path, name)
		r := d.rules[general(child)]
		if _, given := d.at[child]; r.required && !given {
			d.mistakes = append(d.mistakes, mistake{d.file, positionOf(n), child, "missing", r.want, name + ": " + r.example})
		}
	}
}

func (d *decoder) sequence(n ast.Node, v reflect.Value, path string) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		r := d.rules[general(path)]
		d.wrong(n, path, or(r.want, "a list"), r.example)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values))
	for i, item := range list.Values {
		d.value(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
	d.judge(n, v, path)
}

func (d *decoder) duration(n ast.Node, v reflect.Value, path string) {
	r := d.rules[general(path)]
	text, ok := n.(*ast.StringNode)
	var value runbook.Duration
	if !ok || value.UnmarshalText([]byte(text.Value)) != nil {
		d.wrong(n, path, or(r.want, "a duration"), or(r.example, "90s"))
		return
	}
	v.SetInt(int64(value))
	d.judge(n, v, path)
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) {
	r := d.rules[general(path)]
	if !set(n, v, r.size) {
		d.wrong(n, path, or(r.want, plain(v.Kind())), r.example)
		return
	}
	d.judge(n, v, path)
}

// set sets a scalar where the node is of its type: no number is read out of a
// quoted text, no text out of a number.
func set(n ast.Node, v reflect.Value, size bool) bool {
	switch v.Kind() {
	case reflect.String:
		text, ok := textOf(n)
		v.SetString(text)
		return ok
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if ok {
			v.SetBool(b.Value)
		}
		return ok
	case reflect.Float64:
		f, ok := numberOf(n)
		v.SetFloat(f)
		return ok
	case reflect.Int, reflect.Int64:
		return setInt(n, v, size)
	default:
		panic(fmt.Sprintf("policy: a field of kind %s has no reading", v.Kind())) // a mistake of the program, found by its tests
	}
}

func setInt(n ast.Node, v reflect.Value, size bool) bool {
	if text, ok := n.(*ast.StringNode); ok && size {
		bytes, err := units.RAMInBytes(text.Value)
		v.SetInt(bytes)
		return err == nil
	}
	f, ok := numberOf(n)
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return false
	}
	v.SetInt(int64(f))
	return true
}

// judge holds a value of the right type against its rule.
func (d *decoder) judge(n ast.Node, v reflect.Value, path string) {
	if r := d.rules[general(path)]; r.ok != nil && !r.ok(v.Interface()) {
		d.wrong(n, path, r.want, r.example)
	}
}

func (d *decoder) wrong(n ast.Node, path, want, example string) {
	d.mistakes = append(d.mistakes, mistake{d.file, positionOf(n), path, "got " + shown(n), want, example})
}

// open lists the fields that the file may set here, in the struct's order.
func (d *decoder) open(fields map[string]int, path string) []string {
	out := make([]string, 0, len(fields))
	for _, name := range inOrder(fields) {
		if !d.hidden[join(path, name)] {
			out = append(out, name)
		}
	}
	return out
}

// resolve follows an alias to what it stands for, and an anchor to what it names.
func (d *decoder) resolve(n ast.Node) ast.Node {
	for range 100 { // an anchor that names itself would go round for ever
		switch x := n.(type) {
		case *ast.AliasNode:
			target, ok := d.anchors[x.Value.GetToken().Value]
			if !ok {
				return n
			}
			n = target
		case *ast.AnchorNode:
			n = x.Value
		case *ast.TagNode:
			n = x.Value
		default:
			return n
		}
	}
	return n
}

// snake turns the JSON name minLeafDensity into min_leaf_density.
func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

func or(s, fallback string) string {
	if s != "" {
		return s
	}
	return fallback
}
