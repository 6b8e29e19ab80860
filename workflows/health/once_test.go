package health

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func TestAServiceThatRunsOnceIsJudgedByItsEnd(t *testing.T) {
	svc := runbook.Service{Name: "migrate", Role: runbook.RoleWorker, Replicas: 1, Image: "web:2", Once: true}
	one := func(state string, code int) []runbook.Container {
		return []runbook.Container{{Name: "shop-migrate-1", Service: "migrate", State: state, ExitCode: code, ImageID: "older"}}
	}
	for name, c := range map[string]struct {
		containers []runbook.Container
		want       runbook.Severity
		says       string
	}{
		"ended well":   {one("exited", 0), runbook.Good, "shop-migrate-1 has run to its end"},
		"not here":     {nil, runbook.Warning, "no container of it is here"},
		"at work":      {one("running", 0), runbook.Good, "ends by itself"},
		"failed":       {one("exited", 3), runbook.Critical, "shop-migrate-1 is exited (code 3): it runs once, and did not end well"},
		"never begun":  {one("created", 0), runbook.Warning, "shop-migrate-1 is created"},
		"out of order": {one("dead", 0), runbook.Warning, "shop-migrate-1 is dead"},
	} {
		t.Run(name, func(t *testing.T) {
			got := serviceCensus(svc, c.containers, "newer")
			require.Equal(t, c.want, got.Verdict)
			require.Contains(t, got.What, c.says)
		})
	}
}
