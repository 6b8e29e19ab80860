package e2e

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// replicas are the ids of the running containers of one stack, by service.
type replicas map[string][]string

// running asks the container engine itself, so that no report of ours has to be believed.
func running(ctx context.Context, t *testing.T, project string) replicas {
	t.Helper()
	socket := "/var/run/docker.sock"
	if host, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		socket = host
	}
	engine := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer engine.CloseIdleConnections()
	filters, err := json.Marshal(map[string][]string{"label": {"com.docker.compose.project=" + project}, "status": {"running"}})
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/containers/json?filters="+url.QueryEscape(string(filters)), nil)
	require.NoError(t, err)
	answer, err := engine.Do(request)
	require.NoError(t, err, "the container engine at %s", socket)
	defer answer.Body.Close()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	var list []struct {
		ID     string `json:"Id"`
		Labels map[string]string
	}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&list))
	out := replicas{}
	for _, c := range list {
		service := c.Labels["com.docker.compose.service"]
		out[service] = append(out[service], c.ID)
	}
	return out
}
