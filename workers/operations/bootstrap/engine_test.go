package bootstrap

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/tests/port"
	"github.com/leanvibe/hive/workflows/runbook"
)

func TestRoomFor(t *testing.T) {
	require.NoError(t, roomFor(10<<30, true, "/var/lib/docker"))
	require.NoError(t, roomFor(1<<30, false, "/var/lib/docker"))
	err := roomFor(1<<30, true, "/var/lib/docker")
	require.ErrorContains(t, err, "1024 MB free")
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	require.Error(t, roomFor(1<<20, false, "/var/lib/docker"))
}

func TestPortsFreeNamesWhatIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port.Reserve(t)))
	require.NoError(t, err)
	defer taken.Close()
	wanted := []listener{{"leanvibe", "nginx", taken.Addr().String()}}
	err = portsFree(t.Context(), wanted, nil)
	require.ErrorContains(t, err, taken.Addr().String()+", which nginx needs")
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	require.NoError(t, portsFree(t.Context(), wanted, map[string]bool{"leanvibe/nginx": true}), "our own container has it")
	require.NoError(t, taken.Close())
	require.NoError(t, portsFree(t.Context(), wanted, nil))
}

// root of the repository, as the tests of this package see it.
func repositoryRoot(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	require.NoError(t, err)
	return dir
}

func TestListenersOfTheShippedFiles(t *testing.T) {
	ctx := context.Background()
	stack, err := policy.Hand{ProjectDir: repositoryRoot(t)}.Project(ctx)
	require.NoError(t, err)
	ours, err := ground{dir: repositoryRoot(t), sources: repositoryRoot(t), files: policy.Layout{Own: true}}.platform(ctx)
	require.NoError(t, err)
	got := map[string]string{}
	for _, project := range []*types.Project{stack, ours} {
		for _, l := range listeners(project) {
			got[l.address] = l.service
		}
	}
	require.Equal(t, map[string]string{
		"127.0.0.1:8080": "nginx", "127.0.0.1:8084": "nginx", "127.0.0.1:8443": "nginx", "127.0.0.1:9090": "prometheus", "127.0.0.1:9093": "alertmanager",
		"127.0.0.1:5000": "registry", "127.0.0.1:5433": "ledger", "127.0.0.1:7233": "temporal", "127.0.0.1:8233": "temporal", "127.0.0.1:9333": "temporal",
		"127.0.0.1:9464": "opsworker",
	}, got)
}
