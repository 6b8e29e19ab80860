// Package host is the hand on the machine itself: its disks and memory, the log
// files, and the files that runs leave behind. A file appears under its name only
// when it is complete, and an original goes only after its copy was read back.
package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Hand acts on the files of one project.
type Hand struct {
	// ProjectDir is the absolute project root.
	ProjectDir string
	// Proc is where the kernel shows the processes; empty means /proc.
	Proc string
}

func (h Hand) proc() string {
	if h.Proc == "" {
		return "/proc"
	}
	return h.Proc
}

// open opens a directory of the project as a root that no path and no link leaves.
func (h Hand) open(directory string) (*os.Root, error) {
	if !filepath.IsLocal(directory) {
		return nil, runbook.Fail(runbook.Refused, "%q is no directory inside the project", directory)
	}
	root, err := os.OpenRoot(filepath.Join(h.ProjectDir, directory))
	if err != nil {
		return nil, classify(err, directory)
	}
	return root, nil
}

// retried says that an earlier attempt of this act may have worked.
func retried(ctx context.Context) bool {
	return activity.IsActivity(ctx) && activity.GetInfo(ctx).Attempt > 1
}

// beatEvery is well below the steps' heartbeat timeout of 10 s.
const beatEvery = 2 * time.Second

// beating heartbeats until the returned call; a disk that syncs for long is no
// reason to be taken for dead.
func beating(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if activity.IsActivity(ctx) {
					activity.RecordHeartbeat(ctx)
				}
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// syncDir makes a rename or a removal in the directory outlive a power cut.
func syncDir(root *os.Root, name string) error {
	d, err := root.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func isLog(path string) bool     { return strings.HasSuffix(path, ".log") }
func isArchive(path string) bool { return strings.HasSuffix(path, ".log"+archive) }
func isPartial(path string) bool { return strings.HasSuffix(path, ".log"+archive+partial) }
