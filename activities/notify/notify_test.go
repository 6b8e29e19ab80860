package notify

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"golang.org/x/sys/unix"

	"github.com/leanvibe/hive/workflows/runbook"
)

const token = "kanarienvogel"

func in(key string) runbook.NoticeInput {
	return runbook.NoticeInput{
		Notify: runbook.NotifyPolicy{URLFile: "secrets/notify_urls", File: "out/notifications.log"},
		Key:    key, Title: "WeeklyMaintenance failed", Body: "the hub never became healthy", Link: "http://127.0.0.1:8233/x",
	}
}

func newHand(t *testing.T, urls ...string) Hand {
	t.Helper()
	h := Hand{ProjectDir: t.TempDir()}
	require.NoError(t, os.MkdirAll(filepath.Join(h.ProjectDir, "secrets"), 0o700))
	if urls != nil {
		require.NoError(t, os.WriteFile(filepath.Join(h.ProjectDir, "secrets/notify_urls"), []byte(strings.Join(urls, "\n")), 0o600))
	}
	return h
}

func lines(t *testing.T, h Hand) (out []entry) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(h.ProjectDir, "out/notifications.log"))
	require.NoError(t, err)
	for line := range strings.Lines(string(raw)) {
		var e entry
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		out = append(out, e)
	}
	return out
}

// webhook is a chat that counts what it is told.
func webhook(t *testing.T, answer func() int) (url string, told *atomic.Int64, last *atomic.Value) {
	t.Helper()
	told, last = &atomic.Int64{}, &atomic.Value{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		last.Store(string(body))
		told.Add(1)
		w.WriteHeader(answer())
	}))
	t.Cleanup(s.Close)
	return "generic://" + strings.TrimPrefix(s.URL, "http://") + "/" + token + "?disabletls=yes&template=json", told, last
}

func ok() int { return http.StatusOK }

func TestTheFileAloneWhereNoServiceIsNamed(t *testing.T) {
	h := newHand(t)
	for range 2 {
		out, err := h.Send(context.Background(), in("run-1/failed"))
		require.NoError(t, err)
		require.Equal(t, runbook.NoticeOutput{Delivered: []string{"file"}}, out)
	}
	_, err := h.Send(context.Background(), in("run-2/failed"))
	require.NoError(t, err)
	all := lines(t, h)
	require.Len(t, all, 2, "one a key")
	require.Equal(t, "run-1/failed", all[0].Key)
	require.Equal(t, "the hub never became healthy", all[0].Body)
	require.Equal(t, "http://127.0.0.1:8233/x", all[0].Link)
	require.False(t, all[0].Time.IsZero())
}

func TestALineLeftHalfStaysAlone(t *testing.T) {
	h := newHand(t)
	path := filepath.Join(h.ProjectDir, "out/notifications.log")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(`{"key":"run-1/fai`), 0o600))
	_, err := h.Send(context.Background(), in("run-1/failed"))
	require.NoError(t, err)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, holds(raw, "run-1/failed"))
	require.Equal(t, 2, strings.Count(string(raw), "\n"))
}

func TestManyAtOnceAreAsManyLines(t *testing.T) {
	h := newHand(t)
	var wg sync.WaitGroup
	for n := range 40 {
		wg.Go(func() { _, _ = h.Send(context.Background(), in("run/"+string(rune('a'+n%20)))) })
	}
	wg.Wait()
	require.Len(t, lines(t, h), 20)
}

func TestServicesAreToldOnce(t *testing.T) {
	url, told, last := webhook(t, ok)
	h := newHand(t, "# the team's chat", "", url)
	for range 2 {
		out, err := h.Send(context.Background(), in("run-1/failed"))
		require.NoError(t, err)
		require.Equal(t, []string{"file", "generic"}, out.Delivered)
		require.Empty(t, out.Failed)
	}
	require.EqualValues(t, 1, told.Load())
	require.Contains(t, last.Load(), "WeeklyMaintenance failed")
	require.Contains(t, last.Load(), "the hub never became healthy")
	require.Contains(t, last.Load(), "http://127.0.0.1:8233/x")
}

func TestAServiceWithoutTitlesHearsTheTitleInTheText(t *testing.T) {
	url, told, last := webhook(t, ok)
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "generic://"), "/")
	h := newHand(t, "mattermost://"+host+"/"+token+"?disabletls=yes")
	out, err := h.Send(context.Background(), in("run-1/failed"))
	require.NoError(t, err)
	require.Equal(t, []string{"file", "mattermost"}, out.Delivered)
	require.EqualValues(t, 1, told.Load())
	require.Contains(t, last.Load(), "WeeklyMaintenance failed")
}

// attempt runs the step as an activity; what it logs goes to said.
func attempt(h Hand, notice runbook.NoticeInput, said io.Writer) (runbook.NoticeOutput, error) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(said, nil))))
	env := suite.NewTestActivityEnvironment()
	runbook.SendNotice.Bind(env, h.Send)
	var out runbook.NoticeOutput
	v, err := env.ExecuteActivity(runbook.SendNotice.Name, notice)
	if err != nil {
		return out, err
	}
	return out, v.Get(&out)
}

func TestOneServiceThatIsAwayIsTriedAgainAlone(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	well, toldWell, _ := webhook(t, ok)
	sick, toldSick, _ := webhook(t, func() int {
		if broken.Load() {
			return http.StatusBadGateway
		}
		return http.StatusOK
	})
	h := newHand(t, well, sick)
	var said strings.Builder
	_, err := attempt(h, in("run-1/failed"), &said)
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "has not reached [generic] yet")
	require.NotContains(t, err.Error(), token)
	require.Contains(t, said.String(), "a notice was not delivered")
	require.NotContains(t, said.String(), token, "the log holds no part of the URL")
	broken.Store(false)
	out, err := attempt(h, in("run-1/failed"), &said)
	require.NoError(t, err)
	require.Equal(t, []string{"file", "generic", "generic"}, out.Delivered)
	require.EqualValues(t, 1, toldWell.Load(), "who has heard is not told again")
	require.EqualValues(t, 2, toldSick.Load())
	require.Len(t, lines(t, h), 1)
}

func TestURLsThatCannotBeUsedAreNamedByTheirScheme(t *testing.T) {
	h := newHand(t, "smoke://"+token+"@signals/"+token, "no url "+token, "slack://"+token)
	var said strings.Builder
	out, err := attempt(h, in("run-1/failed"), &said)
	require.NoError(t, err)
	require.Equal(t, []string{"file"}, out.Delivered)
	require.Equal(t, []string{"line 2 of secrets/notify_urls (no URL)", "slack", "smoke"}, out.Failed)
	raw, err := json.Marshal(out)
	require.NoError(t, err)
	require.NotContains(t, string(raw)+said.String(), token)
}

func TestAFullDiskStillTellsTheServices(t *testing.T) {
	url, told, _ := webhook(t, ok)
	h := newHand(t, url)
	notice := in("run-1/failed")
	notice.Notify.File = "small/notifications.log"
	small := filepath.Join(h.ProjectDir, "small")
	require.NoError(t, os.Mkdir(small, 0o755))
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=8k"); err != nil {
		t.Skipf("this machine does not let a test mount a small disk: %v", err)
	}
	defer func() { _ = unix.Unmount(small, unix.MNT_DETACH) }()
	require.NoError(t, os.WriteFile(filepath.Join(small, "ballast"), make([]byte, 8<<10), 0o600))
	out, err := h.Send(context.Background(), notice)
	require.NoError(t, err)
	require.Equal(t, runbook.NoticeOutput{Delivered: []string{"generic"}, Failed: []string{"file"}}, out)
	require.EqualValues(t, 1, told.Load())
	info, err := os.Stat(filepath.Join(small, "notifications.log"))
	require.NoError(t, err)
	require.Zero(t, info.Size(), "no half line")
}

func TestNobodyHeard(t *testing.T) {
	h := newHand(t)
	require.NoError(t, os.MkdirAll(filepath.Join(h.ProjectDir, "out/notifications.log"), 0o755)) // a directory in its place
	_, err := h.Send(context.Background(), in("run-1/failed"))
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	require.ErrorContains(t, err, "reached nobody: [file] did not take it")
	_, err = h.Send(context.Background(), runbook.NoticeInput{Title: "x"})
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
}
