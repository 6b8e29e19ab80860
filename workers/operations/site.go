package operations

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/workflows/runbook"
)

// ownRun is the name under which opsworker itself reads the policy; its copy of the
// compose file lies beside those of the runs.
const ownRun = "opsworker"

// site is the stack as its files say, for what opsworker does outside of runs. It
// reads them again when one has changed. Procedures never ask it: each reads the
// policy for itself, once.
type site struct {
	hand    policy.Hand
	compose kept[*types.Project]
	policy  kept[runbook.LoadPolicyOutput]
}

// project is the compose file alone, so that a mistake in the policy leaves the
// stack's metrics where they are.
func (s *site) project(ctx context.Context) (*types.Project, error) {
	return s.compose.get(s.stamp(), func() (*types.Project, error) { return s.hand.Project(ctx) })
}

// loaded is the policy and the stack.
func (s *site) loaded(ctx context.Context) (runbook.LoadPolicyOutput, error) {
	return s.policy.get(s.stamp(), func() (runbook.LoadPolicyOutput, error) {
		return s.hand.Load(ctx, runbook.LoadPolicyInput{Run: ownRun})
	})
}

// name is the project's name.
func (s *site) name(ctx context.Context) (string, error) {
	project, err := s.project(ctx)
	if err != nil {
		return "", err
	}
	return project.Name, nil
}

// gateway is where the stack's own network reaches this host, empty where the stack
// has no Prometheus that would.
func (s *site) gateway(ctx context.Context, port string) (string, error) {
	known, err := s.loaded(ctx)
	if err != nil {
		return "", err
	}
	if known.Policy.Metrics.Prometheus == "" {
		return "", nil // nobody there would ask
	}
	project, err := s.project(ctx)
	if err != nil {
		return "", err
	}
	return gatewayAddress(project, known.Stack.Network, port)
}

// stamp changes when one of the files does.
func (s *site) stamp() string {
	var b strings.Builder
	files, err := policy.Find(s.hand.ProjectDir)
	if err != nil {
		return err.Error() // whoever reads the files gets the same answer
	}
	for _, file := range files.Files() {
		if info, err := os.Stat(filepath.Join(s.hand.ProjectDir, file)); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", file, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// kept is what was read at a stamp; a failure is not kept.
type kept[T any] struct {
	mu    sync.Mutex
	known bool
	stamp string
	value T
}

func (k *kept[T]) get(stamp string, read func() (T, error)) (T, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known && k.stamp == stamp {
		return k.value, nil
	}
	value, err := read()
	k.known, k.stamp, k.value = err == nil, stamp, value
	return value, err
}
