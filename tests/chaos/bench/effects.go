package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/leanvibe/hive/tests/chaos/inotify"
)

// Effects counts what was done to the stack, by what it was. Each comes from who it was done to: the engine's events,
// nginx's and PostgreSQL's own logs, the kernel's word on files, Alertmanager, the workers themselves.
type Effects map[string]int

// Beyond is what was done more often than in the other run.
func (e Effects) Beyond(other Effects) Effects {
	out := Effects{}
	for what, n := range e {
		if more := n - other[what]; more > 0 {
			out[what] = more
		}
	}
	return out
}

// watch gathers what nobody keeps: events of the engine and of files.
type watch struct {
	mu     sync.Mutex
	seen   Effects
	hashes map[string]string
	// never are containers that were created and have not been started, by ID.
	never map[string]string
	// broken has a bad image show its fault at the first stop of a replica.
	broken bool
}

// acts are the engine's events that are effects; what health checks and looks cause is not.
var acts = []events.Action{
	events.ActionCreate, events.ActionStart, events.ActionDie, events.ActionDestroy, events.ActionKill, events.ActionPause, events.ActionRestart, events.ActionRename,
	events.ActionPull, events.ActionTag, events.ActionUnTag, events.ActionDelete,
}

// startWatch listens until the context ends.
func (b *Bench) startWatch(ctx context.Context) error {
	b.watch = &watch{seen: Effects{}, hashes: map[string]string{}, never: map[string]string{}}
	wanted := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("type", string(events.ImageEventType)))
	for _, a := range acts {
		wanted.Add("event", string(a))
	}
	listening := make(chan struct{})
	go b.listen(ctx, wanted, listening)
	select {
	case <-listening:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := os.MkdirAll(b.path("out"), 0o755); err != nil {
		return err
	}
	return inotify.Watch(ctx, []string{b.path("logs"), b.path("out")}, b.watch.file)
}

// listen hears the engine's events until the context ends. An engine that was killed is listened to again as soon as it
// is back; it tells what it did meanwhile, because it remembers since its start.
func (b *Bench) listen(ctx context.Context, wanted filters.Args, listening chan<- struct{}) {
	var last int64
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for ctx.Err() == nil {
		options := events.ListOptions{Filters: wanted}
		if last > 0 {
			options.Since = fmt.Sprintf("%d.%09d", (last+1)/int64(time.Second), (last+1)%int64(time.Second))
		}
		messages, failed := b.api.Events(ctx, options)
		if listening != nil {
			close(listening)
			listening = nil
		}
		for open := true; open; {
			select {
			case m := <-messages:
				last = max(last, m.TimeNano)
				b.watch.event(b, m)
			case <-failed: //nolint:errcheck // whatever ended the stream, it is begun again
				open = false
			}
		}
		select {
		case <-ctx.Done():
		case <-again.C:
		}
	}
}

// begin forgets what was seen before.
func (w *watch) begin(_ context.Context, b *Bench, broken bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen, w.hashes, w.never, w.broken = Effects{}, map[string]string{}, map[string]string{}, broken
	b.began = time.Now()
	return nil
}

func (w *watch) event(b *Bench, m events.Message) {
	var what string
	if m.Type == events.ContainerEventType {
		if m.Actor.Attributes[projectLabel] != b.config.project() {
			return
		}
		what = "engine: " + string(m.Action) + " " + m.Actor.Attributes["name"]
		if m.Action == events.ActionKill {
			what += " signal " + m.Actor.Attributes["signal"]
		}
	} else if what = b.imageEvent(m); what == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[what]++
	w.neverRan(m, what)
	if w.broken && m.Action == events.ActionDie {
		w.broken = false
		for _, service := range []string{"web", "job"} {
			_ = os.WriteFile(b.path("logs", service, "break"), nil, 0o644) // a run whose image stays well does not end as expected
		}
	}
}

// neverRan takes the creation of a container back that is removed without ever having run: an engine that dies between
// the two leaves one, it serves nobody, and the retry makes it anew.
func (w *watch) neverRan(m events.Message, what string) {
	switch m.Action {
	case events.ActionCreate:
		w.never[m.Actor.ID] = what
	case events.ActionStart:
		delete(w.never, m.Actor.ID)
	case events.ActionDestroy:
		if created, never := w.never[m.Actor.ID]; never {
			for _, undone := range []string{created, what} {
				if w.seen[undone]--; w.seen[undone] == 0 {
					delete(w.seen, undone)
				}
			}
		}
	}
}

// imageEvent names an image's event, "" for another bench's.
func (b *Bench) imageEvent(m events.Message) string {
	name, version := m.Actor.Attributes["name"], b.images.version(m.Actor.ID)
	if m.Action == events.ActionPull {
		if !strings.HasPrefix(m.Actor.ID, b.config.registry()) {
			return ""
		}
		return "engine: pull " + strings.TrimPrefix(m.Actor.ID, b.config.registry()+"/")
	}
	if version == "" {
		return ""
	}
	what := "engine: image " + string(m.Action) + " " + version
	if m.Action == events.ActionTag {
		what += " as " + strings.TrimPrefix(name, b.config.registry()+"/")
	}
	return what
}

// file counts a file that got its name or lost it. The same bytes under the same name again change nothing.
func (w *watch) file(path string, there bool) {
	name := filepath.Base(path)
	if strings.Contains(name, ".partial") || strings.HasSuffix(name, ".lock") || name == "notifications.log" || strings.Contains(path, "/out/state/") {
		return
	}
	hash := ""
	if there {
		body, err := os.ReadFile(path)
		if err != nil {
			return // gone again: its going is counted
		}
		hash = fmt.Sprintf("%x", sha256.Sum256(body))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if was, known := w.hashes[path]; known && was == hash {
		return
	}
	w.hashes[path] = hash
	where := filepath.Base(filepath.Dir(path)) + "/" + name
	if there {
		w.seen["file: written "+where]++
	} else {
		w.seen["file: removed "+where]++
	}
}

// Effects is what was done since the last Reset.
func (b *Bench) Effects(ctx context.Context) (Effects, error) {
	out := Effects{}
	b.watch.mu.Lock()
	for what, n := range b.watch.seen {
		out[what] = n
	}
	b.watch.mu.Unlock()
	for _, count := range []func(context.Context, Effects) error{b.statements, b.reloads, b.turns, b.notices, b.opened} {
		if err := count(ctx, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

var statement = regexp.MustCompile(`duration: [\d.]+ ms  (?:statement|execute [^:]*): ((?:VACUUM|REINDEX|DROP INDEX|CREATE INDEX|ALTER|DELETE|UPDATE|INSERT)\b.*)`)

// statements counts what PostgreSQL did to the end; one that was cut off did nothing.
func (b *Bench) statements(ctx context.Context, out Effects) error {
	return b.logs(ctx, "postgres", func(line string) {
		if found := statement.FindStringSubmatch(line); found != nil {
			out["postgres: "+found[1]]++
		}
	})
}

func (b *Bench) reloads(ctx context.Context, out Effects) error {
	return b.logs(ctx, "nginx", func(line string) {
		if strings.Contains(line, "(SIGHUP) received") {
			out["nginx: reload"]++
		}
	})
}

// logs reads a service's log since the last Reset.
func (b *Bench) logs(ctx context.Context, service string, line func(string)) error {
	since := fmt.Sprintf("%d.%09d", b.began.Unix(), b.began.Nanosecond())
	stream, err := b.api.ContainerLogs(ctx, b.config.project()+"-"+service+"-1", container.LogsOptions{ShowStdout: true, ShowStderr: true, Since: since})
	if err != nil {
		return err
	}
	defer stream.Close()
	var body bytes.Buffer
	if _, err := stdcopy.StdCopy(&body, &body, stream); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return lines(&body, line)
}

func lines(r io.Reader, line func(string)) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line(in.Text())
	}
	return in.Err()
}

// turns counts the workers' own changes between working and draining.
func (b *Bench) turns(_ context.Context, out Effects) error {
	return b.fileLines(b.path("logs", "job", "turns"), func(line string) {
		_, turn, _ := strings.Cut(line, " ")
		out["worker: "+turn]++
	})
}

func (b *Bench) notices(_ context.Context, out Effects) error {
	return b.fileLines(b.path("out", "notifications.log"), func(line string) {
		var n struct{ Title string }
		_ = json.Unmarshal([]byte(line), &n) // a line that is none counts as a notice without a title
		out["notice: "+n.Title]++
	})
}

func (b *Bench) fileLines(path string, line func(string)) error {
	if !exists(path) {
		return nil
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return lines(bytes.NewReader(body), line)
}

func (b *Bench) opened(ctx context.Context, out Effects) error {
	all, err := b.silences(ctx)
	for _, s := range all {
		if s.StartsAt.After(b.began) {
			out["alertmanager: silence, "+s.Comment]++
		}
	}
	return err
}
