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

// Project reads the compose files as `docker compose -f` does with the same .env
// beside them: interpolated, merged, env files resolved, profiles of COMPOSE_PROFILES
// alone. The environment of this process takes no part, because the CLI's, the
// worker's and a plain shell's differ, and with them every configuration hash.
func (h Hand) Project(ctx context.Context) (*types.Project, error) {
	files, err := Find(h.ProjectDir)
	if err != nil {
		return nil, err
	}
	return h.project(ctx, files)
}

func (h Hand) project(ctx context.Context, files Layout) (*types.Project, error) {
	texts, err := h.composeTexts(files)
	if err != nil {
		return nil, err
	}
	for _, t := range texts {
		if _, bad := parse(t.name, t.raw); bad != nil {
			return nil, runbook.Fail(runbook.Refused, "%s", bad)
		}
	}
	// The first file's directory is what relative paths of all of them mean.
	options := []cli.ProjectOptionsFn{cli.WithWorkingDirectory(filepath.Dir(h.path(files.Compose[0])))}
	if _, err := os.Stat(h.path(files.Env)); err == nil {
		options = append(options, cli.WithEnvFiles(h.path(files.Env)), cli.WithDotEnv)
	}
	options = append(options, cli.WithDefaultProfiles(), cli.WithDiscardEnvFile)
	loader, err := cli.NewProjectOptions(files.Absolute(h.ProjectDir), options...)
	if err != nil {
		return nil, h.refuse(files, texts, err)
	}
	project, err := loader.LoadProject(ctx)
	if err != nil {
		return nil, h.refuse(files, texts, err)
	}
	return project, nil
}

// composeText is a compose file as it was written.
type composeText struct {
	name string
	raw  []byte
}

func (h Hand) composeTexts(files Layout) ([]composeText, error) {
	var out []composeText
	for _, name := range files.Compose {
		raw, err := os.ReadFile(h.path(name))
		if err != nil {
			return nil, classify(err, name, "the stack is described there; hive init writes one beside a file of yours")
		}
		out = append(out, composeText{name, raw})
	}
	return out, nil
}

// refuse words an error of the Compose reader, whose text may quote what it read:
// no value of an environment passes.
func (h Hand) refuse(files Layout, texts []composeText, err error) error {
	text := strings.ReplaceAll(err.Error(), h.ProjectDir+string(filepath.Separator), "")
	text = strings.ReplaceAll(text, " false schema", ": unknown field") // the schema library's words for it
	for _, secret := range h.values(files, texts) {
		text = strings.ReplaceAll(text, secret, "•••")
	}
	return runbook.Fail(runbook.Refused, "%s: docker compose would refuse it: %s", files.Stack(), text)
}

// values lists what stands under environment in the files and in .env, longest
// first, so that no part of one is left when it is masked.
func (h Hand) values(files Layout, texts []composeText) []string {
	found := valueVisitor{}
	for _, t := range texts {
		if root, bad := parse(t.name, t.raw); bad == nil {
			ast.Walk(&found, root)
		}
	}
	if env, err := dotenv.Read(h.path(files.Env)); err == nil {
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
