package proxy

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func TestPageIsReadAsWritten(t *testing.T) {
	for _, set := range [][]string{{}, {addressA}, {addressA, addressB}} {
		p := parsePage(text(41, set))
		require.Equal(t, 41, p.Generation)
		require.Equal(t, set, p.Addresses)
	}
	require.Equal(t, 41, number(mapGeneration, generationText(41)))
	byHand := parsePage([]byte("server 10.0.0.2:80 weight=2;\n  server 10.0.0.1:80;\n#server 10.0.0.3:80;\nserver 10.0.0.4:80 backup down;\n"))
	require.Equal(t, []string{"10.0.0.1:80", "10.0.0.2:80"}, byHand.Addresses)
	require.False(t, byHand.inForce(1_000), "what a human wrote is not known to be loaded")
}

func TestTidy(t *testing.T) {
	got, err := tidy("u", []string{addressB, addressA, addressB})
	require.NoError(t, err)
	require.Equal(t, []string{addressA, addressB}, got)
	for _, bad := range []struct{ upstream, address string }{
		{"u", "orchestrator:8081"}, {"u", "10.0.0.1"}, {"u", "10.0.0.1:0"}, {"u", "0.0.0.0:80"}, {"u", "10.0.0.1:80; down"}, {"u", ""},
		{"../u", addressA}, {"generation", addressA}, {"", addressA}, {"U", addressA},
	} {
		_, err := tidy(bad.upstream, []string{bad.address})
		require.Equal(t, runbook.Refused, runbook.KindOf(err), "%v", bad)
	}
}

func TestInForce(t *testing.T) {
	all := pages{Generation: 7, Upstreams: map[string]page{"a": {Generation: 7}, "b": {Generation: 8}, "c": {}}}
	require.Equal(t, []string{"b", "c"}, all.unsettled(7))
	require.Equal(t, []string{"c"}, all.unsettled(8))
	require.Equal(t, 9, all.next(7))
	require.Equal(t, 13, all.next(12))
	require.Equal(t, 1, pages{}.next(0))
}

func TestReconciled(t *testing.T) {
	const a, b, c, d = "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"
	cases := map[string]struct{ routed, live, called, want []string }{
		"as it should be":            {[]string{a, b}, []string{a, b}, []string{a, b}, []string{a, b}},
		"dead goes":                  {[]string{a, b}, []string{b}, []string{a, b}, []string{b}},
		"called in comes back":       {[]string{b}, []string{b, a}, []string{a, b}, []string{a, b}},
		"not called in stays out":    {[]string{a}, []string{a, c}, []string{a, b}, []string{a}},
		"one for another":            {[]string{a, b}, []string{c, b, d}, []string{c, b}, []string{b, c}},
		"nothing known":              {[]string{a, b}, nil, []string{a, b}, []string{a, b}},
		"all were replaced":          {[]string{a, b}, []string{d, c}, nil, []string{c, d}},
		"nobody was routed to":       {[]string{}, []string{c}, nil, []string{}},
		"nobody was, one is called":  {[]string{}, []string{c}, []string{c}, []string{c}},
		"no run has left its word":   {[]string{a, b}, []string{a, c}, nil, []string{a}},
		"live is told twice, unsort": {[]string{a, b}, []string{b, a, b}, nil, []string{a, b}},
	}
	for name, c := range cases {
		require.Equal(t, c.want, reconciled(c.routed, c.live, c.called), name)
	}
}

func TestLastWordIsTheHighestGeneration(t *testing.T) {
	h := Hand{ProjectDir: t.TempDir()}
	require.Nil(t, h.lastWord("u"))
	for run, generation := range map[string]int{"weekly-maintenance:2026-11-22/abc": 5, "rolling-restart/def": 9, "scale/ghi": 7} {
		require.NoError(t, h.writeState(state{Run: run, Upstream: "u", Generation: generation, In: []string{addressA}}))
	}
	require.NoError(t, h.writeState(state{Run: "rolling-restart/def", Upstream: "other", Generation: 20}))
	require.Equal(t, "rolling-restart/def", h.lastWord("u").Run)

	file, err := stateFile("rolling-restart/def", "u")
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(h.ProjectDir, file))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, os.WriteFile(filepath.Join(h.ProjectDir, file), []byte("{half"), 0o600))
	require.Equal(t, "scale/ghi", h.lastWord("u").Run, "what cannot be read gives no right")
	_, err = h.readState("rolling-restart/def", "u")
	require.Equal(t, runbook.Corrupt, runbook.KindOf(err))
}

func sorted(addresses ...string) []string {
	out, err := tidy("u", addresses)
	if err != nil {
		panic(err)
	}
	return out
}
