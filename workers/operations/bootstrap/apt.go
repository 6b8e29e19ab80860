package bootstrap

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// suite is the Debian release that the local images are made of: PostgreSQL 15 is
// in no other. newest is where an nginx with keepalive_min_timeout comes from.
const (
	suite  = "bookworm"
	newest = "forky"
)

// mirrors are where this machine gets Debian packages from.
type mirrors struct{ main, security string }

// hostMirrors takes them from the machine's own apt sources, so that a machine
// that reaches one certain mirror only builds its images from that.
func hostMirrors(etc string) (mirrors, error) {
	files, err := filepath.Glob(filepath.Join(etc, "sources.list.d", "*"))
	if err != nil {
		return mirrors{}, err
	}
	var found mirrors
	for _, file := range append([]string{filepath.Join(etc, "sources.list")}, files...) {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		switch filepath.Ext(file) {
		case ".list":
			found.lines(string(raw))
		case ".sources":
			found.stanzas(string(raw))
		}
	}
	if found.main == "" {
		return found, fmt.Errorf("no Debian mirror in %s, and no image registry is reachable: let the engine reach a registry "+
			"(then HIVE_IMAGES=upstream), or run on Debian", etc)
	}
	return found, nil
}

// releases are the names that a Debian archive has suites by; other archives
// (a vendor's own) use words of theirs.
var releases = []string{"bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"}

func (m *mirrors) take(uri, suite string, components []string) {
	uri = strings.TrimSuffix(uri, "/")
	if !strings.HasPrefix(uri, "http") || !slices.Contains(components, "main") {
		return
	}
	switch name, isSecurity := strings.CutSuffix(suite, "-security"); {
	case !slices.Contains(releases, name):
	case isSecurity && m.security == "":
		m.security = uri
	case !isSecurity && m.main == "":
		m.main = uri
	}
}

// lines reads the one-line format: deb [options] uri suite component...
func (m *mirrors) lines(text string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "deb" {
			continue
		}
		fields = fields[1:]
		if len(fields) > 0 && strings.HasPrefix(fields[0], "[") {
			end := slices.IndexFunc(fields, func(f string) bool { return strings.HasSuffix(f, "]") })
			fields = fields[end+1:]
		}
		if len(fields) >= 3 {
			m.take(fields[0], fields[1], fields[2:])
		}
	}
}

// stanzas reads the deb822 format.
func (m *mirrors) stanzas(text string) {
	for stanza := range strings.SplitSeq(text, "\n\n") {
		field := map[string]string{}
		scanner := bufio.NewScanner(strings.NewReader(stanza))
		for scanner.Scan() {
			name, value, ok := strings.Cut(scanner.Text(), ":")
			if ok && !strings.HasPrefix(name, "#") && !strings.HasPrefix(name, " ") {
				field[strings.ToLower(name)] = strings.TrimSpace(value)
			}
		}
		if !slices.Contains(strings.Fields(field["types"]), "deb") || field["enabled"] == "no" {
			continue
		}
		for _, uri := range strings.Fields(field["uris"]) {
			for _, suite := range strings.Fields(field["suites"]) {
				m.take(uri, suite, strings.Fields(field["components"]))
			}
		}
	}
}

// lists are the sources of one release, as mmdebstrap takes them.
func (m mirrors) lists(release string) []string {
	lists := []string{fmt.Sprintf("deb %s %s main", m.main, release)}
	if m.security != "" && release == suite {
		lists = append(lists, fmt.Sprintf("deb %s %s-security main", m.security, release))
	}
	return lists
}
