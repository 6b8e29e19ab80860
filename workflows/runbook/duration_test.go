package runbook

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDurationJSON(t *testing.T) {
	var in struct {
		Monitor Duration `json:"monitor"`
	}
	require.NoError(t, json.Unmarshal([]byte(`{"monitor":"90s"}`), &in))
	require.Equal(t, 90*time.Second, in.Monitor.D())

	out, err := json.Marshal(in)
	require.NoError(t, err)
	require.JSONEq(t, `{"monitor":"1m30s"}`, string(out))

	for _, bad := range []string{`{"monitor":90}`, `{"monitor":"90"}`, `{"monitor":"soon"}`} {
		require.ErrorContains(t, json.Unmarshal([]byte(bad), &in), `"90s"`, bad)
	}
}
