package bench

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/stretchr/testify/require"
)

func engine(action events.Action, id string) events.Message {
	return events.Message{Type: events.ContainerEventType, Action: action, Actor: events.Actor{ID: id, Attributes: map[string]string{
		projectLabel: "hivechaos0", "name": "hivechaos0-web0-3",
	}}}
}

func watching(t *testing.T) *Bench {
	t.Helper()
	return &Bench{config: Config{Dir: t.TempDir()}, images: &registry{}, watch: &watch{seen: Effects{}, hashes: map[string]string{}, never: map[string]string{}}}
}

func TestAContainerThatNeverRanIsNoEffect(t *testing.T) {
	b := watching(t)
	for _, m := range []events.Message{
		engine(events.ActionCreate, "a"), engine(events.ActionDestroy, "a"),
		engine(events.ActionCreate, "b"), engine(events.ActionStart, "b"),
	} {
		b.watch.event(b, m)
	}
	require.Equal(t, Effects{"engine: create hivechaos0-web0-3": 1, "engine: start hivechaos0-web0-3": 1}, b.watch.seen)
	for _, m := range []events.Message{engine(events.ActionCreate, "c"), engine(events.ActionStart, "c"), engine(events.ActionDestroy, "c")} {
		b.watch.event(b, m)
	}
	require.Equal(t, 2, b.watch.seen["engine: start hivechaos0-web0-3"], "one that ran counts, twice where two ran")
}

func TestOtherBenchesAreNotCounted(t *testing.T) {
	b := watching(t)
	m := engine(events.ActionStart, "a")
	m.Actor.Attributes[projectLabel] = "leanvibe"
	b.watch.event(b, m)
	b.watch.event(b, events.Message{Type: events.ImageEventType, Action: events.ActionTag, Actor: events.Actor{ID: "sha256:ff", Attributes: map[string]string{"name": "x:1"}}})
	require.Empty(t, b.watch.seen)
}

func TestPostgresLogLinesThatAreEffects(t *testing.T) {
	for line, want := range map[string]string{
		`2026-11-25 [7] LOG:  duration: 12.3 ms  statement: REINDEX INDEX CONCURRENTLY "shop"."sparse_note"`: `REINDEX INDEX CONCURRENTLY "shop"."sparse_note"`,
		`LOG:  duration: 0.5 ms  execute <unnamed>: DROP INDEX CONCURRENTLY IF EXISTS "a"."b"`:               `DROP INDEX CONCURRENTLY IF EXISTS "a"."b"`,
		`LOG:  duration: 0.5 ms  parse <unnamed>: DROP INDEX "a"`:                                            "",
		`LOG:  duration: 0.5 ms  statement: SELECT 1`:                                                        "",
		`ERROR:  canceling statement due to user request; STATEMENT: REINDEX INDEX x`:                        "",
	} {
		found := statement.FindStringSubmatch(line)
		if want == "" {
			require.Nil(t, found, line)
			continue
		}
		require.NotNil(t, found, line)
		require.Equal(t, want, found[1])
	}
}

func TestTheRegistryServesWhatItsTagNames(t *testing.T) {
	r := &registry{blobs: map[string][]byte{}, types: map[string]string{}, tags: map[string]string{}, versions: map[string]string{}, ids: map[string]string{}}
	layer, diff, err := layerOf([]byte("program"))
	require.NoError(t, err)
	digest := r.blob(layerType, layer)
	for _, version := range []string{Good, Bad} {
		require.NoError(t, r.add(web(), version, digest, diff, "hivechaos0", len(layer)))
	}
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	require.Equal(t, 404, get("/v2/hivechaos/web/manifests/1").Code, "no tag yet")
	r.point(web(), Bad)
	manifest := get("/v2/hivechaos/web/manifests/1")
	require.Equal(t, r.versions[web()+"@"+Bad], manifest.Header().Get("Docker-Content-Digest"))
	var m struct{ Config struct{ Digest string } }
	require.NoError(t, json.Unmarshal(manifest.Body.Bytes(), &m))
	require.Equal(t, web()+"@"+Bad, r.version(m.Config.Digest))
	require.Contains(t, get("/v2/hivechaos/web/blobs/"+m.Config.Digest).Body.String(), "BROKEN=1")
	r.point(web(), Good)
	require.NotEqual(t, manifest.Body.String(), get("/v2/hivechaos/web/manifests/1").Body.String())
}

func TestUntilSaysWhatIsStillWrong(t *testing.T) {
	err := until(t.Context(), 250*time.Millisecond, "the end", func(context.Context) error { return errors.New("not yet") })
	require.ErrorContains(t, err, "the end did not come about within 250ms: not yet")
	tries := 0
	require.NoError(t, until(t.Context(), time.Minute, "the end", func(context.Context) error {
		if tries++; tries < 2 {
			return errors.New("not yet")
		}
		return nil
	}))
}
