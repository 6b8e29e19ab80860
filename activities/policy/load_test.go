package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// hash stands for the docker hand's: the same digest of the same content.
func hash(svc types.ServiceConfig) (string, error) {
	raw, err := json.Marshal(svc)
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), err
}

func untranslated(svc types.ServiceConfig) []string {
	if svc.Privileged {
		return []string{"privileged"}
	}
	return nil
}

// project makes a project directory of the two files; an empty one is left out.
func project(t *testing.T, runbookYAML, compose string) Hand {
	t.Helper()
	dir := t.TempDir()
	for name, body := range map[string]string{RunbookFile: runbookYAML, ComposeFile: compose} {
		if body != "" {
			path := filepath.Join(dir, name)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(body), 0o644))
		}
	}
	return Hand{ProjectDir: dir, Hash: hash, Untranslated: untranslated}
}

func shipped(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../..", file))
	require.NoError(t, err)
	return string(raw)
}

func TestShippedFilesLoad(t *testing.T) {
	h := project(t, shipped(t, RunbookFile), shipped(t, ComposeFile))
	out, err := h.Load(context.Background(), runbook.LoadPolicyInput{Run: "weekly-maintenance/0190-first"})
	require.NoError(t, err)

	require.Equal(t, "leanvibe", out.Stack.Project)
	require.Equal(t, "leanvibe_hive", out.Stack.Network)
	require.Equal(t, "10.231.0.0/16", out.Stack.Subnet)
	require.Equal(t, "10.231.16.0/20", out.Stack.ReplicaRange)
	require.NotEmpty(t, out.Policy.Hash)
	require.Len(t, out.Policy.Baselines, 6)

	orchestrator, ok := out.Stack.Service("universal-orchestrator")
	require.True(t, ok)
	require.Equal(t, runbook.RoleApp, orchestrator.Role)
	require.Equal(t, 2, orchestrator.Replicas)
	require.Equal(t, &runbook.Probe{HTTP: "/readyz", Port: 8081}, orchestrator.Probe)
	require.Equal(t, "40s", orchestrator.StopGrace.String())
	require.True(t, orchestrator.HasHealthcheck)
	require.True(t, orchestrator.LogLimited)
	require.EqualValues(t, 512<<20, orchestrator.MemoryLimit)
	require.Empty(t, orchestrator.Bars)
	for _, s := range out.Stack.Services {
		require.Empty(t, s.Bars, s.Name)
		require.NotEmpty(t, s.Role, s.Name)
	}
	_, ok = out.Stack.Service("grafana")
	require.False(t, ok, "a service of a profile that is off is no part of the stack")
}

// What the shipped file says outright and what a file that says nothing gets must
// be the same, because the shipped file claims to show the defaults.
func TestShippedRunbookShowsTheDefaults(t *testing.T) {
	h := project(t, shipped(t, RunbookFile), shipped(t, ComposeFile))
	said, err := h.Policy()
	require.NoError(t, err)
	silent, err := project(t, shortRunbook, "").Policy()
	require.NoError(t, err)
	said.Hash, silent.Hash = "", ""
	said.Baselines, said.Schedules, said.Readiness.ProxyPaths, said.Cache.Services = nil, nil, nil, silent.Cache.Services
	require.Equal(t, silent, said)
}

func TestTheRunsCopyIsPrivateAndTheSameEachTime(t *testing.T) {
	h := project(t, shortRunbook, smallCompose)
	in := runbook.LoadPolicyInput{Run: "weekly-maintenance:2026-11-22/0190"}
	first, err := h.Load(context.Background(), in)
	require.NoError(t, err)
	again, err := h.Load(context.Background(), in)
	require.NoError(t, err)
	require.Equal(t, first, again)

	path := filepath.Join(h.ProjectDir, first.Stack.Compose)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	sum := sha256.Sum256(raw)
	require.Equal(t, "sha256:"+hex.EncodeToString(sum[:]), first.Stack.ComposeHash)
	require.Contains(t, string(raw), canary, "acts need the environment, and read it here")

	require.Equal(t, fs.FileMode(0o600), mode(t, path))
	for dir := filepath.Dir(path); dir != filepath.Join(h.ProjectDir, "out"); dir = filepath.Dir(dir) {
		require.Equal(t, fs.FileMode(0o700), mode(t, dir), dir)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no partial file is left")
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Mode().Perm()
}

func TestNoEnvironmentValueReachesHistory(t *testing.T) {
	h := project(t, shortRunbook, smallCompose)
	out, err := h.Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.NoError(t, err)
	raw, err := json.Marshal(out)
	require.NoError(t, err)
	require.NotContains(t, string(raw), canary)
	require.NotContains(t, string(raw), "FOREIGN_LABEL")
}

func TestNoEnvironmentValueReachesAnError(t *testing.T) {
	for name, broken := range map[string]string{
		"interpolation":  `environment: {PASSWORD: "` + canary + `${"}`,
		"list":           `environment: ["PASSWORD=` + canary + `${"]`,
		"yaml":           "environment: {PASSWORD: \"" + canary + "\", x: [}",
		"schema":         "environment: {PASSWORD: " + canary + "}\n    ports: {a: b}",
		"x-hive beside":  "environment: {PASSWORD: " + canary + "}\n    x-hive: {role: nonsense}",
		"wrong type":     "environment: " + canary,
		"nested mapping": "environment: {PASSWORD: {" + canary + ": 1}}",
	} {
		t.Run(name, func(t *testing.T) {
			h := project(t, shortRunbook, "name: small\nservices:\n  web:\n    image: web\n    "+broken+"\n")
			_, err := h.Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
			require.Equal(t, runbook.Refused, runbook.KindOf(err), "%v", err)
			require.NotContains(t, err.Error(), canary)
			require.NotContains(t, err.Error(), h.ProjectDir, "a path of the machine helps nobody")
		})
	}
}

// The copy is what acts read: a service read back from it must be the service.
func TestTheCopyReadsBackAsTheSameServices(t *testing.T) {
	h := project(t, shipped(t, RunbookFile), shipped(t, ComposeFile))
	out, err := h.Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.NoError(t, err)
	back, err := readBack(filepath.Join(h.ProjectDir, out.Stack.Compose))
	require.NoError(t, err)
	for _, s := range out.Stack.Services {
		again, err := hash(back.Services[s.Name])
		require.NoError(t, err)
		require.Equal(t, s.ConfigHash, again, s.Name)
	}
}

func TestEnvFileChoosesImages(t *testing.T) {
	h := project(t, shortRunbook, smallCompose)
	t.Setenv("WEB_IMAGE", "from-the-shell") // takes no part, or hashes would depend on who asks
	out, err := h.Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.NoError(t, err)
	web, _ := out.Stack.Service("web")
	require.Equal(t, "example/web:1", web.Image)

	require.NoError(t, os.WriteFile(filepath.Join(h.ProjectDir, EnvFile), []byte("WEB_IMAGE=127.0.0.1:5000/web:2\n"), 0o600))
	out, err = h.Load(context.Background(), runbook.LoadPolicyInput{Run: "r/1"})
	require.NoError(t, err)
	web, _ = out.Stack.Service("web")
	require.Equal(t, "127.0.0.1:5000/web:2", web.Image)
}

func TestRunNamesOneDirectory(t *testing.T) {
	h := project(t, shortRunbook, smallCompose)
	for _, run := range []string{"", ".", ".."} {
		_, err := h.Load(context.Background(), runbook.LoadPolicyInput{Run: run})
		require.Equal(t, runbook.Refused, runbook.KindOf(err), run)
	}
	long := make([]byte, 600)
	for i := range long {
		long[i] = 'a'
	}
	for _, run := range []string{"../../escape", "a/b", string(long) + "1", string(long) + "2"} {
		dir, err := runDir(run)
		require.NoError(t, err)
		require.Equal(t, RunsDir, filepath.Dir(dir), "one level below the runs")
		require.LessOrEqual(t, len(filepath.Base(dir)), 255)
	}
	one, _ := runDir(string(long) + "1")
	two, _ := runDir(string(long) + "2")
	require.NotEqual(t, one, two)
}
