package operations

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/runbook"
)

// recorder is a registry that only keeps the names.
type recorder struct{ steps, workflows []string }

func (r *recorder) RegisterActivityWithOptions(_ any, o activity.RegisterOptions) {
	r.steps = append(r.steps, o.Name)
}

func (r *recorder) RegisterWorkflowWithOptions(_ any, o workflow.RegisterOptions) {
	r.workflows = append(r.workflows, o.Name)
}

// TestEveryStepHasItsHand reads the language's source: a step that is declared and
// not bound would wait for its schedule-to-close timeout at 02:00.
func TestEveryStepHasItsHand(t *testing.T) {
	declared := declaredSteps(t, filepath.Join("..", "..", "workflows", "runbook"))
	require.Greater(t, len(declared), 40)
	var r recorder
	s := newSteps(prometheus.NewRegistry(), newGate())
	bind(&r, s, assemble(t.TempDir(), nil, nil, nil))
	require.ElementsMatch(t, declared, r.steps, "steps of workflows/runbook against contents.go")
	require.Len(t, s.effects, len(declared))
	require.Equal(t, runbook.Write, s.effects["proxy.SetUpstream"])
	require.Equal(t, runbook.Irreversible, s.effects["containers.RemoveReplica"])
	require.Contains(t, r.workflows, "Lock")
}

// declaredSteps are the wire names of all variables of type Step in the folder that
// opsworker answers: those on another queue are other workers'.
func declaredSteps(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		for _, decl := range parsed.Decls {
			vars, ok := decl.(*ast.GenDecl)
			if !ok || vars.Tok != token.VAR {
				continue
			}
			for _, spec := range vars.Specs {
				for _, value := range spec.(*ast.ValueSpec).Values {
					if name, ok := stepName(t, value); ok {
						names = append(names, name)
					}
				}
			}
		}
	}
	return names
}

func stepName(t *testing.T, value ast.Expr) (string, bool) {
	lit, ok := value.(*ast.CompositeLit)
	if !ok {
		return "", false
	}
	generic, ok := lit.Type.(*ast.IndexListExpr)
	if !ok {
		return "", false
	}
	if ident, ok := generic.X.(*ast.Ident); !ok || ident.Name != "Step" {
		return "", false
	}
	var name string
	for _, e := range lit.Elts {
		field := e.(*ast.KeyValueExpr)
		switch field.Key.(*ast.Ident).Name {
		case "Queue":
			return "", false
		case "Name":
			var err error
			name, err = strconv.Unquote(field.Value.(*ast.BasicLit).Value)
			require.NoError(t, err)
		}
	}
	require.NotEmpty(t, name, "a step without a name: %v", lit)
	return name, true
}
