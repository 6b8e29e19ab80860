package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	source "github.com/leanvibe/hive/docs/runbook-map"
	"github.com/leanvibe/hive/workers/operations/runbookmap"
	"github.com/leanvibe/hive/workflows/runbook"
)

// Every line of the runbook that asks for something is answered for, and the map
// answers for nothing else.
func TestTheMapAnswersForTheWholeRunbook(t *testing.T) {
	m, err := runbookmap.Load()
	require.NoError(t, err)
	for _, line := range m.Unanswered() {
		t.Errorf("docs/runbook-map/runbook.md:%d (%s) is not mapped: %s", line.Number, line.Heading, line.Text)
	}
	for _, line := range m.Strays() {
		t.Errorf("docs/runbook-map/map.yaml answers for a line that does not stand in the runbook: %s", line)
	}
}

// What the map names must exist: steps that a procedure runs, procedures, verbs, pages.
func TestTheMapNamesWhatExists(t *testing.T) {
	m, err := runbookmap.Load()
	require.NoError(t, err)
	for _, wrong := range inexistent(m, readCode(t, "..")) {
		t.Error("docs/runbook-map/map.yaml: " + wrong)
	}
}

func TestTheMapIsHeldAgainstTheCode(t *testing.T) {
	const page = "# B\n## C\n```bash\nold\n```\n"
	code := readCode(t, "..")
	for _, c := range []struct{ name, answer, want string }{
		{"step", "procedure: RollingRestart\n  steps: [containers.Explode]", "no step containers.Explode is declared in workflows/runbook"},
		{"unused step", "procedure: RollingRestart\n  steps: [proxy.Unused]", "step proxy.Unused is run by no procedure"},
		{"procedure", "procedure: MonthlyMagic\n  steps: [policy.Load]", "no procedure MonthlyMagic is declared in workflows"},
		{"verb", "verb: dance", "hive has no verb dance"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := runbookmap.Read(page, []byte("- lines: [old]\n  "+c.answer+"\n  does: d\n  why: w\n  type: [hive status]\n  page: README.md\n"))
			require.NoError(t, err)
			code.declared["proxy.Unused"] = "Unused"
			require.Equal(t, []string{"old: " + c.want}, inexistent(m, code))
		})
	}
	m, err := runbookmap.Read(page, []byte("- lines: [old]\n  verb: status\n  does: d\n  why: w\n  type: [hive dance, docker ps, hive run Nothing]\n  page: nowhere.md\n"))
	require.NoError(t, err)
	require.Equal(t, []string{
		"old: hive has no verb dance", "old: docker ps is not typed with hive", "old: no procedure Nothing is declared in workflows", "old: docs/nowhere.md does not exist",
	}, inexistent(m, code))
}

// knownCode is what the source declares and uses.
type knownCode struct {
	dir string
	// declared are steps: wire name to the variable's name.
	declared map[string]string
	// used are the names of package runbook that procedures mention.
	used              map[string]bool
	procedures, verbs []string
}

var verbLine = regexp.MustCompile(`^([a-z]+)( |$)`)

func readCode(t *testing.T, dir string) knownCode {
	t.Helper()
	code := knownCode{dir: dir, declared: map[string]string{}, used: map[string]bool{}}
	for _, file := range goFiles(t, filepath.Join(dir, "workflows/runbook")) {
		ast.Inspect(file, func(n ast.Node) bool {
			if name, fields, ok := variable(n, "Step"); ok {
				code.declared[fields["Name"]] = name
			}
			return true
		})
	}
	chapters, err := filepath.Glob(filepath.Join(dir, "workflows/*"))
	require.NoError(t, err)
	for _, chapter := range chapters {
		if filepath.Base(chapter) == "runbook" {
			continue
		}
		for _, file := range goFiles(t, chapter) {
			ast.Inspect(file, func(n ast.Node) bool {
				if _, fields, ok := variable(n, "Procedure"); ok {
					code.procedures = append(code.procedures, fields["Name"])
				}
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "runbook" {
						code.used[s.Sel.Name] = true
					}
				}
				return true
			})
		}
	}
	for _, file := range goFiles(t, filepath.Join(dir, "cmd/hive")) {
		ast.Inspect(file, func(n ast.Node) bool {
			if pair, ok := n.(*ast.KeyValueExpr); ok && fmt.Sprint(pair.Key) == "Use" {
				if m := verbLine.FindStringSubmatch(text(pair.Value)); m != nil {
					code.verbs = append(code.verbs, m[1])
				}
			}
			return true
		})
	}
	require.Greater(t, len(code.declared), 30, "the steps are not found any more")
	require.Greater(t, len(code.procedures), 5, "the procedures are not found any more")
	require.Greater(t, len(code.verbs), 6, "the verbs are not found any more")
	return code
}

func goFiles(t *testing.T, dir string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var out []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		out = append(out, file)
	}
	return out
}

// variable reads "var X = Kind[…]{Field: "text", …}", with the package's name before
// the kind or without.
func variable(n ast.Node, kind string) (name string, fields map[string]string, ok bool) {
	spec, isSpec := n.(*ast.ValueSpec)
	if !isSpec || len(spec.Values) != 1 {
		return "", nil, false
	}
	literal, isLiteral := spec.Values[0].(*ast.CompositeLit)
	if !isLiteral {
		return "", nil, false
	}
	typed := literal.Type
	switch x := typed.(type) {
	case *ast.IndexListExpr:
		typed = x.X
	case *ast.IndexExpr:
		typed = x.X
	}
	if s, isSelector := typed.(*ast.SelectorExpr); isSelector {
		typed = s.Sel
	}
	if fmt.Sprint(typed) != kind {
		return "", nil, false
	}
	fields = map[string]string{}
	for _, e := range literal.Elts {
		if pair, isPair := e.(*ast.KeyValueExpr); isPair {
			fields[fmt.Sprint(pair.Key)] = text(pair.Value)
		}
	}
	return spec.Names[0].Name, fields, true
}

func text(e ast.Expr) string {
	if literal, ok := e.(*ast.BasicLit); ok {
		if s, err := strconv.Unquote(literal.Value); err == nil {
			return s
		}
	}
	return ""
}

// inexistent returns a sentence for each thing that the map names and the code lacks.
func inexistent(m *runbookmap.Map, code knownCode) []string {
	var out []string
	for _, e := range m.Entries {
		at := slices.Concat(e.Lines, e.Also)[0]
		wrong := func(format string, args ...any) { out = append(out, at+": "+fmt.Sprintf(format, args...)) }
		procedure := func(name string) {
			if !slices.Contains(code.procedures, name) {
				wrong("no procedure %s is declared in workflows", name)
			}
		}
		verb := func(name string) {
			if !slices.Contains(code.verbs, name) {
				wrong("hive has no verb %s", name)
			}
		}
		if e.Procedure != "" {
			procedure(e.Procedure)
		}
		if e.Verb != "" {
			verb(e.Verb)
		}
		for _, step := range e.Steps {
			if name, ok := code.declared[step]; !ok {
				wrong("no step %s is declared in workflows/runbook", step)
			} else if !code.used[name] {
				wrong("step %s is run by no procedure", step)
			}
		}
		for _, typed := range e.Type {
			words := strings.Fields(typed)
			switch {
			case len(words) < 2 || words[0] != "hive":
				wrong("%s is not typed with hive", typed)
			case words[1] == "run" || words[1] == "plan":
				verb(words[1])
				procedure(words[2])
			default:
				verb(words[1])
			}
		}
		if _, err := os.Stat(filepath.Join(code.dir, "docs", e.Page)); err != nil {
			wrong("docs/%s does not exist", e.Page)
		}
	}
	return out
}

// The shipped baselines are the runbook's table, figure by figure.
func TestTheBaselinesAreTheRunbooks(t *testing.T) {
	var policy struct {
		Baselines []runbook.Baseline `yaml:"baselines"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "../deploy/production/runbook.yaml")), &policy))
	shipped := map[string]runbook.Baseline{}
	for _, b := range policy.Baselines {
		shipped[b.Metric] = b
	}
	rows := regexp.MustCompile(`(?m)^\| \*\*([^*|]+)\*\* \| ([<>][^|]+) \| ([<>][^|]+) \| ([<>][^|]+) \| ([<>][^|]+) \|$`).
		FindAllStringSubmatch(source.Runbook, -1)
	require.Len(t, rows, 6)
	figure := regexp.MustCompile(`[\d.]+`)
	for _, row := range rows {
		b, ok := shipped[row[1]]
		require.True(t, ok, "runbook.yaml has no baseline %s", row[1])
		for i, have := range []float64{b.Excellent, b.Good, b.Warning, b.Critical} {
			want, err := strconv.ParseFloat(figure.FindString(row[i+2]), 64)
			require.NoError(t, err)
			if strings.Contains(row[i+2], "K") {
				want *= 1000
			}
			require.InDelta(t, want, have, 1e-9, "%s, band %d: the runbook says %s", row[1], i+1, row[i+2])
		}
		delete(shipped, row[1])
	}
	require.Empty(t, slices.Collect(maps.Keys(shipped)), "baselines that the runbook does not have")
}
