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

// RunsDir holds a directory of state per run, relative to the project.
const RunsDir = "out/state/runs"

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
	files, err := Find(h.ProjectDir)
	if err != nil {
		return none, err
	}
	policy, at, err := h.readRunbook(files)
	if err != nil {
		return none, err
	}
	project, err := h.project(ctx, files)
	if err != nil {
		return none, err
	}
	stack, err := h.stack(files, project, policy.Proxy.Declared())
	if err != nil {
		return none, err
	}
	if err := agree(files, policy, at, stack); err != nil {
		return none, err
	}
	stack.Compose, stack.ComposeHash, err = h.keep(files, project, in.Run)
	if err != nil {
		return none, err
	}
	return runbook.LoadPolicyOutput{Policy: policy, Stack: stack}, nil
}

// Policy reads runbook.yaml alone, for what must know the policy outside a run.
func (h Hand) Policy() (runbook.Policy, error) {
	files, err := Find(h.ProjectDir)
	if err != nil {
		return runbook.Policy{}, err
	}
	p, _, err := h.readRunbook(files)
	return p, err
}

// ComposeFiles are the absolute paths of the project's compose files, in the order
// in which they are merged.
func (h Hand) ComposeFiles() ([]string, error) {
	files, err := Find(h.ProjectDir)
	return files.Absolute(h.ProjectDir), err
}

func (h Hand) path(relative string) string { return filepath.Join(h.ProjectDir, relative) }
