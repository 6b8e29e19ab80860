package proxy

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/docker/docker/api/types/container"

	"github.com/leanvibe/hive/workflows/runbook"
)

// seeder is the run under which Seed keeps its state.
const seeder = "hive-up"

// Seed makes what nginx needs to start: the address directory with a page for every
// upstream that nginx.conf includes, generation.conf, and the log directory. The
// addresses are those of running replicas; an upstream may have none yet. A page
// that routes to any of them is left alone, for a run may have its reasons; one that
// routes only to what is not among them is written anew. Where nginx runs already,
// it checks and loads what was written.
func (h Hand) Seed(ctx context.Context, in runbook.ProxyInput, upstreams map[string][]string) (changed bool, err error) {
	if err := h.makeDirs(in.Proxy); err != nil {
		return false, err
	}
	all, err := h.readPages(in.Proxy.AddressDir)
	if err != nil {
		return false, err
	}
	id, served, err := h.servedIfRunning(ctx, in, all)
	if err != nil {
		return false, err
	}
	sets := map[string][]string{}
	for name, addresses := range upstreams {
		want, err := tidy(name, addresses)
		if err != nil {
			return false, err
		}
		now, known := all.Upstreams[name]
		if known && (len(want) == 0 || slices.ContainsFunc(want, func(a string) bool { return slices.Contains(now.Addresses, a) })) {
			continue
		}
		sets[name] = want
	}
	if id != "" {
		for _, name := range all.unsettled(served) {
			if _, there := sets[name]; !there {
				sets[name] = all.Upstreams[name].Addresses
			}
		}
	}
	if len(sets) == 0 && all.Generation > 0 {
		return false, h.callIn(in.Proxy.AddressDir, nil)
	}
	generation := all.next(served)
	before := map[string][]byte{generationFile: all.Raw}
	for name := range sets {
		before[name+suffix] = all.Upstreams[name].Raw
	}
	if id == "" {
		err = h.write(in.Proxy.AddressDir, sets, generation)
	} else {
		err = h.change(ctx, id, in, sets, generation, before)
	}
	if err != nil {
		return false, err
	}
	return true, h.callIn(in.Proxy.AddressDir, sets)
}

// callIn keeps a state for every upstream of which no run has left one, or whose
// page was just written: a replica that dies and comes back is routed to again only
// if somebody calls it in.
func (h Hand) callIn(directory string, written map[string][]string) error {
	all, err := h.readPages(directory)
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(all.Upstreams) {
		now := all.Upstreams[name]
		if _, ours := written[name]; len(now.Addresses) == 0 || !ours && h.lastWord(name) != nil {
			continue
		}
		if err := h.writeState(state{Run: seeder, Upstream: name, Generation: now.Generation, In: now.Addresses, Previous: now.Addresses}); err != nil {
			return err
		}
	}
	return nil
}

// servedIfRunning returns the running proxy and its generation; an empty ID where
// it does not run, or could not even start without the files.
func (h Hand) servedIfRunning(ctx context.Context, in runbook.ProxyInput, all pages) (string, int, error) {
	containers, err := h.containers(ctx, in)
	if err != nil || all.Generation == 0 ||
		!slices.ContainsFunc(containers, func(c container.Summary) bool { return c.State == container.StateRunning }) {
		return "", 0, err
	}
	id, err := h.locate(ctx, in)
	if err != nil {
		return "", 0, err
	}
	served, err := h.served(ctx, in.Proxy)
	return id, served, err
}

// makeDirs makes the two directories. nginx opens a log whose name holds a variable
// as the user of its workers, whose number depends on the image; so a directory of
// our own is open to all, as /tmp is. One that has another owner was arranged.
func (h Hand) makeDirs(proxy runbook.ProxyPolicy) error {
	pagesDir, err := h.path(proxy.AddressDir)
	if err != nil {
		return err
	}
	logDir, err := h.path(proxy.AccessLogDir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(pagesDir, 0o755); err != nil {
		return classify(err, proxy.AddressDir)
	}
	if err := os.MkdirAll(logDir, 0o755); err != nil {
		return classify(err, proxy.AccessLogDir)
	}
	if info, err := os.Stat(logDir); err != nil || !ownedByUs(info) || info.Mode().Perm()&0o002 != 0 {
		return classify(err, proxy.AccessLogDir)
	}
	return classify(os.Chmod(logDir, 0o777|os.ModeSticky), filepath.Clean(proxy.AccessLogDir))
}

func ownedByUs(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
