package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// frontDoor is where the pair's nginx answers.
const frontDoor = "http://127.0.0.1:8088"

// pair is the stack of two web replicas with PostgreSQL, Redis and nginx, brought up for real from images of this
// machine, in a directory of its own that knows nothing of hive at first.
type pair struct {
	t *testing.T
	// root is the repository, dir the project.
	root, dir string
	cli       string
	file      string
}

// TestWeeklyMaintenanceOfAForeignStack is the whole way of an operator whose stack is not Agent Hive: hive init, the
// one interruption that it announces, hive up, the weekly run under load without a lost request, hive down.
func TestWeeklyMaintenanceOfAForeignStack(t *testing.T) {
	if os.Getenv("HIVE_E2E") != "1" {
		t.Skip("brings up a stack and the platform: HIVE_E2E=1 go test -run ForeignStack -timeout 30m, with nothing of hive running")
	}
	p := newPair(t)
	p.compose("up", "-d", "--no-build", "--pull", "never", "--wait")
	p.answers("")

	// hive init, and what it says comes next.
	code, said := p.hive("init", "compose.yaml", "--write", "--timezone", "Europe/Berlin")
	require.Zero(t, code, said)
	for _, next := range []string{"compose.hive.yaml config --quiet", "secrets/postgres_password, 0600", "hive up ", "hive run ReadinessCheck"} {
		require.Contains(t, said, next)
	}
	code, said = p.hive("up")
	require.Equal(t, 2, code, said)
	require.Contains(t, said, "secrets/postgres_password does not exist: write the password of pair into it")
	require.NoError(t, os.Mkdir(filepath.Join(p.dir, "secrets"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "secrets", "postgres_password"), []byte("canary-password-81\n"), 0o600))
	p.both("up", "-d", "--no-build", "--pull", "never", "--wait")
	p.answers("X-Hive-Generation")

	// The platform beside the stack, whose containers stay as they are.
	before := p.containers("pair")
	require.Len(t, before, 5)
	code, said = p.hive("up")
	require.Zero(t, code, said)
	require.Equal(t, before, p.containers("pair"), "the stack's containers are left alone")
	require.Len(t, p.containers("hive-platform"), 4)
	code, said = p.hive("status")
	require.Zero(t, code, said)
	require.Contains(t, said, "pair")
	code, said = p.hive("logs", "web", "--tail", "1")
	require.Zero(t, code, said)
	ready := p.run("ReadinessCheck")
	require.Equal(t, runbook.Succeeded, ready.Outcome, ready.Reason)
	require.Contains(t, fmt.Sprint(ready.Findings), "not in the policy, so not looked at")

	// Somebody builds a newer image; the weekly run takes it into service while users ask.
	newer := p.image("2")
	users := p.load(200)
	report := p.run("WeeklyMaintenance")
	sent, lost := users()
	t.Logf("weekly run: %s in %s, %d requests sent, %d lost; nginx and probe: %+v", report.Outcome, report.Finished.Sub(report.Started).Round(time.Second), sent, lost, report.Traffic)
	require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
	require.Greater(t, sent, int64(1000))
	require.Zero(t, lost, "no request is lost")
	require.NotEmpty(t, report.Traffic)
	for _, traffic := range report.Traffic {
		require.Positive(t, traffic.Requests, traffic.Source)
		require.Zero(t, traffic.Failed, traffic.Source)
	}
	after := p.containers("pair")
	require.Len(t, after, 5)
	for name, image := range p.images("pair", "web") {
		require.Equal(t, newer, image, name)
	}
	for name, id := range before {
		if !strings.Contains(name, "-web-") {
			require.Equal(t, id, after[name], "%s is no application, and stays", name)
		}
	}

	// Plain compose takes what the run made for its own.
	p.both("up", "-d", "--no-build", "--pull", "never", "--wait")
	require.Equal(t, after, p.containers("pair"))

	// One machine has one platform.
	other := &pair{t: t, root: p.root, dir: filepath.Join(t.TempDir(), "other"), cli: p.cli}
	require.NoError(t, os.CopyFS(other.dir, os.DirFS(p.dir)))
	require.NoError(t, os.WriteFile(filepath.Join(other.dir, ".env"), []byte(read(t, filepath.Join(p.dir, ".env"))+"COMPOSE_PROJECT_NAME=other\n"), 0o600))
	for _, verb := range []string{"up", "down"} {
		code, said = other.hive(verb)
		require.Equal(t, 2, code, said)
		require.Contains(t, said, "the platform serves project pair in "+p.dir)
	}

	// hive down takes the platform alone.
	code, said = p.hive("down", "--volumes", "pair")
	require.Zero(t, code, said)
	require.Empty(t, p.containers("hive-platform"))
	require.Equal(t, after, p.containers("pair"))
	p.answers("X-Hive-Generation")
	require.FileExists(t, filepath.Join(p.dir, "secrets", "postgres_password"), "what is not hive's stays")
}

func newPair(t *testing.T) *pair {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	p := &pair{t: t, root: root, dir: filepath.Join(t.TempDir(), "pair"), cli: filepath.Join(built, "hive")}
	require.NoError(t, build(root, p.cli, "./cmd/hive"))
	require.NoError(t, os.CopyFS(p.dir, os.DirFS(filepath.Join(stacks, "pair"))))
	require.NoError(t, os.RemoveAll(filepath.Join(p.dir, "want")))
	p.file = filepath.Join(p.dir, "compose.yaml")
	require.Empty(t, p.containers("pair"), "a stack of that name is here already")
	require.Empty(t, p.containers("hive-platform"), "the platform runs: take it down with hive down first")
	t.Cleanup(p.tidy)

	postgres, redis, nginx := p.local("postgres"), p.local("redis"), p.local("nginx")
	// The tag says what the image is, as a public one's does.
	version := regexp.MustCompile(`nginx/(\d+\.\d+\.\d+)`).FindStringSubmatch(p.docker("run", "--rm", "--entrypoint", "nginx", nginx, "-v"))
	require.Len(t, version, 2)
	front := "hive-test-pair/nginx:" + version[1]
	p.docker("tag", nginx, front)
	p.image("1")
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, ".env"), fmt.Appendf(nil,
		"NGINX_IMAGE=%s\nPOSTGRES_IMAGE=%s\nREDIS_IMAGE=%s\nWEB_IMAGE=hive-test-pair/web:1\n", front, postgres, redis), 0o600))
	return p
}

// local is an image that hive up made on this machine.
func (p *pair) local(name string) string {
	p.t.Helper()
	tag, _, _ := strings.Cut(p.docker("images", "--format", "{{.Repository}}:{{.Tag}}", "local/"+name), "\n")
	require.NotEmpty(p.t, tag, "no image local/%s is here: HIVE_IMAGES=local hive up makes them, in the repository", name)
	return tag
}

// image builds the application's image of a version under the tag that the compose file names, and answers its ID.
func (p *pair) image(version string) string {
	p.t.Helper()
	dir := p.t.TempDir()
	require.NoError(p.t, build(".", filepath.Join(dir, "web"), "-ldflags=-s -w -X main.version="+version, "./testdata/web"))
	require.NoError(p.t, os.Mkdir(filepath.Join(dir, "tmp"), 0o777))
	packed := exec.Command("tar", "-C", dir, "-c", "web", "tmp")
	archive, err := packed.Output()
	require.NoError(p.t, err)
	load := exec.Command("docker", "import", "--change", `CMD ["/web"]`, "-", "hive-test-pair/web:1")
	load.Stdin = bytes.NewReader(archive)
	id, err := load.Output()
	require.NoError(p.t, err)
	return strings.TrimSpace(string(id))
}

func (p *pair) tidy() {
	if p.t.Failed() {
		p.t.Log(p.try("logs", "opsworker", "--tail", "40"))
		p.t.Log(p.try("logs", "nginx", "--tail", "20"))
	}
	p.t.Log(p.try("down", "--volumes", "pair"))
	left, _ := exec.Command("docker", "ps", "--all", "--quiet", "--filter", "label="+projectLabel+"=pair").Output()
	for id := range strings.FieldsSeq(string(left)) {
		_ = exec.Command("docker", "rm", "--force", "--volumes", id).Run()
	}
	_ = exec.Command("docker", "network", "rm", "pair_default").Run()
	_ = exec.Command("docker", "volume", "rm", "pair_data").Run()
	images, _ := exec.Command("docker", "images", "--format", "{{.Repository}}:{{.Tag}}").Output()
	for name := range strings.FieldsSeq(string(images)) {
		if strings.HasPrefix(name, "hive-test-pair/") || strings.HasPrefix(name, "hive-rollback/web:") {
			_ = exec.Command("docker", "rmi", name).Run()
		}
	}
}

func (p *pair) try(args ...string) string {
	_, said := p.hive(args...)
	return said
}

// hive runs the CLI in the project as an operator's shell does; its answer for programs stands alone in the text.
func (p *pair) hive(args ...string) (code int, said string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), 15*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, p.cli, args...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "HIVE_SOURCES="+p.root, "HIVE_IMAGES=local", "HIVE_PROJECT_DIR=")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		require.NoError(p.t, err)
	}
	p.t.Logf("hive %s → exit code %d\n%s%s", strings.Join(args, " "), c.ProcessState.ExitCode(), out.String(), errs.String())
	if strings.HasPrefix(out.String(), "{") {
		return c.ProcessState.ExitCode(), out.String()
	}
	return c.ProcessState.ExitCode(), out.String() + errs.String()
}

// run runs a procedure and answers its report.
func (p *pair) run(procedure string) runbook.Report {
	p.t.Helper()
	_, said := p.hive("run", procedure, "--output", "json")
	var r runbook.Report
	require.NoError(p.t, json.Unmarshal([]byte(said), &r), said)
	return r
}

// compose is plain docker compose with the operator's file alone; both with ours beside it.
func (p *pair) compose(args ...string) string {
	p.t.Helper()
	return compose(p.t, append([]string{"-f", p.file}, args...)...)
}

func (p *pair) both(args ...string) string {
	p.t.Helper()
	return p.compose(append([]string{"-f", filepath.Join(p.dir, "compose.hive.yaml")}, args...)...)
}

func (p *pair) docker(args ...string) string {
	p.t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	require.NoError(p.t, err, "docker %s: %s", strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

// containers are the running ones of a compose project: name to ID.
func (p *pair) containers(project string) map[string]string {
	p.t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(p.docker("ps", "--no-trunc", "--format", "{{.Names}} {{.ID}}", "--filter", "label="+projectLabel+"="+project)) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		out[name] = id
	}
	return out
}

// images are the image IDs that the running containers of a service were made from.
func (p *pair) images(project, service string) map[string]string {
	p.t.Helper()
	out := map[string]string{}
	for name, id := range p.containers(project) {
		if strings.HasPrefix(name, project+"-"+service+"-") {
			out[name] = p.docker("inspect", "--format", "{{.Image}}", id)
		}
	}
	require.Len(p.t, out, 2)
	return out
}

// answers waits until the front door answers, and with that header.
func (p *pair) answers(header string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		res, err := http.Get(frontDoor + "/healthz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK && (header == "" || res.Header.Get(header) != "")
	}, 30*time.Second, 100*time.Millisecond)
}

// load sends that many requests a second, every second one a POST, on connections that are kept, until it is told to
// stop; it answers how many were sent and how many got no right answer.
func (p *pair) load(rate int) (stop func() (sent, lost int64)) {
	const senders = 8
	ctx, cancel := context.WithCancel(p.t.Context())
	var all, bad atomic.Int64
	var running sync.WaitGroup
	for range senders {
		running.Go(func() {
			client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			defer client.CloseIdleConnections()
			tick := time.NewTicker(time.Second * senders / time.Duration(rate))
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				all.Add(1)
				if err := one(client, n); err != nil {
					bad.Add(1)
					p.t.Log("lost: ", err)
				}
			}
		})
	}
	return func() (int64, int64) {
		cancel()
		running.Wait()
		return all.Load(), bad.Load()
	}
}

func one(client *http.Client, n int) error {
	method, body := http.MethodGet, ""
	if n%2 == 1 {
		method, body = http.MethodPost, fmt.Sprintf("order %d", n)
	}
	req, err := http.NewRequest(method, frontDoor+"/orders", strings.NewReader(body))
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK || !strings.HasSuffix(string(text), " "+body+"\n"):
		return fmt.Errorf("%s: %d %q", method, res.StatusCode, text)
	}
	return nil
}
