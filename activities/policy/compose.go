package policy

import (
	"context"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml/ast"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Project reads the compose file as `docker compose -f` does with the same .env
// beside it: interpolated, merged, env files resolved, profiles of COMPOSE_PROFILES
// alone. The environment of this process takes no part, because the CLI's, the
// worker's and a plain shell's differ, and with them every configuration hash.
func (h Hand) Project(ctx context.Context) (*types.Project, error) {
	file := h.path(ComposeFile)
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, classify(err, ComposeFile, "the stack is described there; hive init writes one beside a file of yours")
	}
	if _, bad := parse(ComposeFile, raw); bad != nil {
		return nil, runbook.Fail(runbook.Refused, "%s", bad)
	}
	options := []cli.ProjectOptionsFn{cli.WithWorkingDirectory(filepath.Dir(file))}
	if _, err := os.Stat(h.path(EnvFile)); err == nil {
		options = append(options, cli.WithEnvFiles(h.path(EnvFile)), cli.WithDotEnv)
	}
	options = append(options, cli.WithDefaultProfiles(), cli.WithDiscardEnvFile)
	loader, err := cli.NewProjectOptions([]string{file}, options...)
	if err != nil {
		return nil, h.refuse(raw, err)
	}
	project, err := loader.LoadProject(ctx)
	if err != nil {
		return nil, h.refuse(raw, err)
	}
	return project, nil
}

// refuse words an error of the Compose reader, whose text may quote what it read:
// no value of an environment passes.
func (h Hand) refuse(raw []byte, err error) error {
	text := strings.ReplaceAll(err.Error(), h.ProjectDir+string(filepath.Separator), "")
	text = strings.ReplaceAll(text, " false schema", ": unknown field") // the schema library's words for it
	for _, secret := range h.values(raw) {
		text = strings.ReplaceAll(text, secret, "•••")
	}
	return runbook.Fail(runbook.Refused, "%s: docker compose would refuse it: %s", ComposeFile, text)
}

// values lists what stands under environment in the file and in .env, longest
// first, so that no part of one is left when it is masked.
func (h Hand) values(raw []byte) []string {
	found := valueVisitor{}
	if root, bad := parse(ComposeFile, raw); bad == nil {
		ast.Walk(&found, root)
	}
	if env, err := dotenv.Read(h.path(EnvFile)); err == nil {
		for _, v := range env {
			found.add(v)
		}
	}
	sort.Slice(found.values, func(i, j int) bool { return len(found.values[i]) > len(found.values[j]) })
	return found.values
}

type valueVisitor struct{ values []string }

// Visit implements ast.Visitor.
func (v *valueVisitor) Visit(n ast.Node) ast.Visitor {
	pair, ok := n.(*ast.MappingValueNode)
	if ok && strings.HasSuffix(pair.Key.GetToken().Value, "environment") {
		ast.Walk(scalars{v}, pair.Value)
	}
	return v
}

func (v *valueVisitor) add(value string) {
	const least = 4 // "80" and "on" are no secrets, and masking them would eat the message
	if len(value) >= least {
		v.values = append(v.values, value)
	}
}

// scalars visits the values below an environment: of a mapping the values, of a
// list what follows the first "=".
type scalars struct{ to *valueVisitor }

// Visit implements ast.Visitor.
func (s scalars) Visit(n ast.Node) ast.Visitor {
	switch x := n.(type) {
	case *ast.MappingValueNode:
		ast.Walk(s, x.Value)
		return nil
	case *ast.StringNode:
		s.to.add(x.Value)
		if _, value, ok := strings.Cut(x.Value, "="); ok {
			s.to.add(value)
		}
	case *ast.LiteralNode:
		s.to.add(x.Value.Value)
	case *ast.IntegerNode, *ast.FloatNode:
		s.to.add(x.GetToken().Value)
	}
	return s
}
