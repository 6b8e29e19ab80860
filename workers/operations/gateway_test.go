package operations

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/port"
)

func TestGatewayAddress(t *testing.T) {
	network := func(pools ...*types.IPAMPool) types.Networks {
		return types.Networks{
			"hive":  {Name: "leanvibe_hive", Ipam: types.IPAMConfig{Config: pools}},
			"other": {Name: "leanvibe_other", Ipam: types.IPAMConfig{Config: []*types.IPAMPool{{Subnet: "10.9.0.0/16"}}}},
		}
	}
	for _, c := range []struct {
		name     string
		networks types.Networks
		want     string
	}{
		{"its own", network(&types.IPAMPool{Subnet: "10.231.0.0/16", Gateway: "10.231.0.254"}), "10.231.0.254:9464"},
		{"the subnet's first", network(&types.IPAMPool{Subnet: "10.231.0.0/16"}), "10.231.0.1:9464"},
		{"the IPv4 pool of two", network(&types.IPAMPool{Subnet: "fd00::/64", Gateway: "fd00::1"}, &types.IPAMPool{Subnet: "10.231.4.0/24"}), "10.231.4.1:9464"},
		{"no pool", network(), ""},
		{"no such network", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := gatewayAddress(&types.Project{Networks: c.networks}, "leanvibe_hive", "9464")
			require.Equal(t, c.want, got)
			require.Equal(t, c.want == "", err != nil)
			if err != nil {
				require.ErrorContains(t, err, "leanvibe_hive")
			}
		})
	}
}

// patience bounds what must come, on a machine that may stand still for a while.
const patience = 30 * time.Second

// TestTheGatewayServesTheMetricsAlone binds a second loopback address, as the
// gateway of a bridge is one.
func TestTheGatewayServesTheMetricsAlone(t *testing.T) {
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "answer to "+r.URL.Path)
	}))
	t.Cleanup(inner.Close)
	address := net.JoinHostPort("127.0.0.2", strconv.Itoa(port.Reserve(t)))
	var mu sync.Mutex
	known, asked := address, 0
	g := gateway{log: quiet, every: 20 * time.Millisecond,
		local: func(context.Context) (net.Addr, error) { return inner.Listener.Addr(), nil },
		address: func(context.Context) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			switch asked++; asked {
			case 1:
				return "", errors.New("no compose file yet")
			case 2:
				// 203.0.113.0/24 is for documentation: it is no address of this host, as
				// the gateway is none before its network exists.
				return "203.0.113.1:9464", nil
			}
			return known, nil
		}}
	be := func(a string) { mu.Lock(); defer mu.Unlock(); known = a }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.run(ctx) }()

	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(address, path string) (int, string) {
		res, err := client.Get("http://" + address + path)
		if err != nil {
			return 0, ""
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	answers := func(address string) func() bool {
		return func() bool { code, _ := get(address, "/healthz"); return code == http.StatusOK }
	}
	require.Eventually(t, answers(address), patience, 10*time.Millisecond)
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		code, body := get(address, path)
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, "answer to "+path, body)
	}
	code, _ := get(address, "/debug/pprof/")
	require.Equal(t, http.StatusNotFound, code)

	moved := net.JoinHostPort("127.0.0.3", strconv.Itoa(port.Reserve(t)))
	be(moved)
	require.Eventually(t, answers(moved), patience, 10*time.Millisecond)
	given := func() bool { return !answers(address)() }
	require.Eventually(t, given, patience, 10*time.Millisecond, "the old address is given up")
	cancel()
	require.NoError(t, <-ended)
	require.False(t, answers(moved)())
}
