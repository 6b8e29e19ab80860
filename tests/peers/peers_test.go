package main

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary be the NATS server, as the program itself is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveNATS {
		exit(natsMain(os.Args[2:], os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// TestPeers runs every contender small, on its real servers: its books close
// after saturation and after a fixed rate, and each task's delay is known.
func TestPeers(t *testing.T) {
	root, err := checkout(t.Context())
	require.NoError(t, err)
	for _, spec := range contenders() {
		for _, d := range []Durability{EverySec, Always} {
			if d == Always && spec.Part == Ours {
				continue // differs from everysec in one argument of the same Redis
			}
			t.Run(fmt.Sprintf("%s/%s", spec.Name, d), func(t *testing.T) {
				s, err := open(t.Context(), spec, Env{Durability: d, Checkout: root})
				require.NoError(t, err)
				defer func() { require.NoError(t, s.Close()) }()
				most := uint64(3000)
				_, err = s.saturate(t.Context(), time.Minute, most)
				require.NoError(t, err)
				require.GreaterOrEqual(t, s.ledger.next.Load(), most)
				require.NoError(t, s.ledger.Check())
				require.Zero(t, s.ledger.open)

				seen, err := s.pace(t.Context(), 200, 500*time.Millisecond)
				require.NoError(t, err)
				require.Len(t, seen.values, 100)
				require.Positive(t, seen.percentile(0.5))
			})
		}
	}
}

// TestRun is the program from its arguments to its table.
func TestRun(t *testing.T) {
	var out, progress bytes.Buffer
	file := t.TempDir() + "/peers.json"
	err := run(t.Context(), []string{
		"--only", "streams", "--durability", "everysec", "--duration", "300ms", "--warmup", "100ms", "--runs", "1", "--json", file,
	}, &out, &progress)
	require.NoError(t, err, progress.String())
	require.Contains(t, out.String(), "tasks/everysec/streams/throughput")
	require.NotContains(t, out.String(), "no data", progress.String())
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"name": "tasks/everysec/streams/start p99 at half the slowest"`)
}

func TestBadArgumentsAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"--only=kafka":          "must be of streams, jetstream,",
		"--durability=sometime": "must be everysec or always",
		"--runs=0":              "must be more than zero",
		"streams":               "everything is a flag",
	} {
		require.ErrorContains(t, run(t.Context(), []string{args}, &bytes.Buffer{}, &bytes.Buffer{}), want)
	}
}
