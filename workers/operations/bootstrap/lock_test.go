package bootstrap

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func TestAlone(t *testing.T) {
	dir := t.TempDir()
	release, err := alone(dir)
	require.NoError(t, err)
	_, err = alone(dir)
	require.ErrorContains(t, err, "another hive up or down")
	require.Equal(t, runbook.Busy, runbook.KindOf(err))
	release()
	release, err = alone(dir)
	require.NoError(t, err)
	release()
}
