package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	generationFile = "generation.conf"
	suffix         = ".conf"
	// nobody stands in for the addresses of an upstream that has none, because nginx
	// does not start with an empty one: port 9 discards, and "down" is never asked.
	nobody = "server 127.0.0.1:9 down;\n"
)

// page is the address file of one upstream.
type page struct {
	// Generation that the page was written with; 0 where a human wrote it.
	Generation int
	Addresses  []string
	Raw        []byte
}

// pages are all that nginx includes from the address directory.
type pages struct {
	// Generation of generation.conf; 0 where there is none.
	Generation int
	Raw        []byte
	Upstreams  map[string]page
}

var (
	pageGeneration = regexp.MustCompile(`(?m)^# generation (\d{1,9})\b`)
	mapGeneration  = regexp.MustCompile(`(?m)^\s*default "?(\d{1,9})"?;`)
	serverLine     = regexp.MustCompile(`(?m)^\s*server\s+(\S+?)((?:\s+[^;]*)?);`)
	upstreamName   = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,62}$`)
)

// text is an address file. max_fails is 0: with 1, a single replica that restarts
// has its failures held against every replica, and nginx marks them all down
// (318 of 33,600 requests were lost that way, 0 with max_fails=0). A dead address
// costs a connect timeout per request until Reconcile takes it out.
func text(generation int, addresses []string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# generation %d: written by the proxy's hand, which overwrites it\n", generation)
	for _, a := range addresses {
		fmt.Fprintf(&b, "server %s max_fails=0;\n", a)
	}
	if len(addresses) == 0 {
		b.WriteString(nobody)
	}
	return []byte(b.String())
}

func generationText(generation int) []byte {
	return fmt.Appendf(nil, "# written by the proxy's hand, which overwrites it\nmap \"\" $hive_generation {\n  default %d;\n}\n", generation)
}

func parsePage(raw []byte) page {
	p := page{Raw: raw, Addresses: []string{}, Generation: number(pageGeneration, raw)}
	for _, m := range serverLine.FindAllSubmatch(raw, -1) {
		if !slices.Contains(strings.Fields(string(m[2])), "down") {
			p.Addresses = append(p.Addresses, string(m[1]))
		}
	}
	sort.Strings(p.Addresses)
	return p
}

func number(pattern *regexp.Regexp, raw []byte) int {
	m := pattern.FindSubmatch(raw)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return 0
	}
	return n
}

// readPages reads the address directory.
func (h Hand) readPages(directory string) (pages, error) {
	out := pages{Upstreams: map[string]page{}}
	dir, err := h.path(directory)
	if err != nil {
		return out, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return out, classify(err, directory)
	}
	for _, e := range entries {
		name, isPage := strings.CutSuffix(e.Name(), suffix)
		if !isPage || e.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return out, classify(err, filepath.Join(directory, e.Name()))
		}
		if e.Name() == generationFile {
			out.Raw, out.Generation = raw, number(mapGeneration, raw)
		} else {
			out.Upstreams[name] = parsePage(raw)
		}
	}
	return out, nil
}

// inForce says whether nginx is known to have loaded the page. A page is written
// before generation.conf gets its number, so who answers with that number, or a
// later one, has read the page after it was written.
func (p page) inForce(served int) bool { return p.Generation > 0 && served >= p.Generation }

// next is a generation that nothing has carried yet.
func (p pages) next(served int) int {
	highest := max(p.Generation, served)
	for _, u := range p.Upstreams {
		highest = max(highest, u.Generation)
	}
	return highest + 1
}

// unsettled names the upstreams whose page is not known to be in force: a killed
// predecessor did not get as far, or a human wrote it.
func (p pages) unsettled(served int) []string {
	var out []string
	for name, u := range p.Upstreams {
		if !u.inForce(served) {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

func (p pages) names() string {
	out := make([]string, 0, len(p.Upstreams))
	for name := range p.Upstreams {
		out = append(out, name)
	}
	sort.Strings(out)
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// write writes the pages of the sets and then generation.conf, in this order.
func (h Hand) write(directory string, sets map[string][]string, generation int) error {
	dir, err := h.path(directory)
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(sets) {
		if err := writeWhole(filepath.Join(dir, name+suffix), text(generation, sets[name]), 0o644); err != nil {
			return classify(err, filepath.Join(directory, name+suffix))
		}
	}
	if err := writeWhole(filepath.Join(dir, generationFile), generationText(generation), 0o644); err != nil {
		return classify(err, filepath.Join(directory, generationFile))
	}
	return nil
}

// restore puts files back to the byte; nil means that the file was not there.
func (h Hand) restore(directory string, before map[string][]byte) error {
	dir, err := h.path(directory)
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(before) {
		path := filepath.Join(dir, name)
		if before[name] == nil {
			if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		} else {
			err = writeWhole(path, before[name], 0o644)
		}
		if err != nil {
			return classify(err, filepath.Join(directory, name))
		}
	}
	return nil
}

// tidy checks a set of addresses before it comes near a file, and sorts it.
func tidy(upstream string, addresses []string) ([]string, error) {
	if !upstreamName.MatchString(upstream) || upstream+suffix == generationFile {
		return nil, runbook.Fail(runbook.Refused, "%q is no name of an upstream: write for example universal-orchestrator", upstream)
	}
	out := make([]string, 0, len(addresses))
	for _, a := range addresses {
		parsed, err := netip.ParseAddrPort(a)
		if err != nil || parsed.Port() == 0 || parsed.Addr().Zone() != "" || parsed.Addr().IsUnspecified() {
			return nil, runbook.Fail(runbook.Refused, "%q is no address for upstream %s: write for example 10.231.16.4:8081", a, upstream)
		}
		out = append(out, parsed.String())
	}
	sort.Strings(out)
	return slices.Compact(out), nil
}

// tidyOne checks one address and writes it as nginx logs it.
func tidyOne(upstream, address string) (string, error) {
	out, err := tidy(upstream, []string{address})
	if err != nil {
		return "", err
	}
	return out[0], nil
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// writeWhole writes under a partial name and renames when all is on the disk. The
// proxy's directory is mounted as a directory, so nginx sees the rename.
func writeWhole(path string, body []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(body); err != nil {
		return err
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename outlive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
