package access

import (
	"context"
	"log/slog"
	"os"
	"time"
)

// WatchEvery is how often files are looked at.
const WatchEvery = 5 * time.Second

// Watched is something that lies in files and can be read again: a *File or a
// *Certificate.
type Watched interface {
	// Reload reads again what has changed, or everything when forced; an error
	// leaves in force what was.
	Reload(force bool) (changed bool, err error)
}

// Watcher reads again what has changed until its context ends.
type Watcher struct {
	// Files by the name under which the log speaks of them.
	Files map[string]Watched
	// Every is the pause between two looks; WatchEvery in the services.
	Every time.Duration
	// Hangup, a SIGHUP, reads everything at once.
	Hangup <-chan os.Signal
	// Log is told of every change and of every fault.
	Log *slog.Logger
	// Failed counts files that could not be taken.
	Failed func()
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	tick := time.NewTicker(w.Every)
	defer tick.Stop()
	for {
		force := false
		select {
		case <-ctx.Done():
			return
		case <-w.Hangup:
			force = true
		case <-tick.C:
		}
		for name, file := range w.Files {
			changed, err := file.Reload(force)
			switch {
			case err != nil:
				w.Failed()
				w.Log.Error("cannot be taken, what was in force stays", "what", name, "error", err)
			case changed:
				w.Log.Info("read again", "what", name)
			}
		}
	}
}
