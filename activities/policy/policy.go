// Package policy reads what a run stands on: runbook.yaml and the compose file,
// both strictly, once, at the start of the run. What a run sees of them (names,
// roles, digests, hashes) never holds an environment value; the resolved compose
// file is kept in a 0600 copy of the run's own, and acts read that copy.
package policy

import (
	"context"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// RunbookFile is the policy, relative to the project.
	RunbookFile = "deploy/production/runbook.yaml"
	// ComposeFile is the stack, relative to the project.
	ComposeFile = "deploy/production/docker-compose.production.yml"
	// EnvFile is read where it exists, as `docker compose` reads the one beside the
	// compose file; hive up writes the image switch there.
	EnvFile = "deploy/production/.env"
	// RunsDir holds a directory of state per run, relative to the project.
	RunsDir = "out/state/runs"
)

// Hand reads the policy and the stack of one project.
type Hand struct {
	// ProjectDir is the absolute project root.
	ProjectDir string
	// Hash answers what `docker compose config --hash` answers for the service.
	Hash func(types.ServiceConfig) (string, error)
	// Untranslated names the Compose fields of the service that replicas of ours
	// would lose.
	Untranslated func(types.ServiceConfig) []string
}

// Load answers runbook.LoadPolicy.
func (h Hand) Load(ctx context.Context, in runbook.LoadPolicyInput) (runbook.LoadPolicyOutput, error) {
	var none runbook.LoadPolicyOutput
	policy, at, err := readRunbook(h.ProjectDir)
	if err != nil {
		return none, err
	}
	project, err := h.Project(ctx)
	if err != nil {
		return none, err
	}
	stack, err := h.stack(project)
	if err != nil {
		return none, err
	}
	if err := agree(policy, at, stack); err != nil {
		return none, err
	}
	stack.Compose, stack.ComposeHash, err = h.keep(project, in.Run)
	if err != nil {
		return none, err
	}
	return runbook.LoadPolicyOutput{Policy: policy, Stack: stack}, nil
}

// Policy reads runbook.yaml alone, for what must know the policy outside a run.
func (h Hand) Policy() (runbook.Policy, error) {
	p, _, err := readRunbook(h.ProjectDir)
	return p, err
}

func (h Hand) path(relative string) string { return filepath.Join(h.ProjectDir, relative) }
