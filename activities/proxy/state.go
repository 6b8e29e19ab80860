package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/leanvibe/hive/workflows/runbook"
)

// runsDir holds a directory of state per run, relative to the project.
const runsDir = "out/state/runs"

// state is what a run wants of one upstream. It is written before the page, so
// that whoever finds the work half-done knows what was meant and what was before.
type state struct {
	Run      string `json:"run"`
	Upstream string `json:"upstream"`
	// Generation that the page got for it; the highest of an upstream is its last word.
	Generation int `json:"generation"`
	// In are the addresses that the run calls in.
	In []string `json:"in"`
	// Previous are the addresses that were in force before.
	Previous []string `json:"previous"`
	// Before are the bytes of the files that were in force before, by name; null
	// where there was none.
	Before map[string][]byte `json:"before,omitempty"`
}

// stateFile is the state's path, relative to the project.
func stateFile(run, upstream string) (string, error) {
	const longest = 200 // of the 255 bytes that a file name may have
	name := url.PathEscape(run)
	if name == "" || name == "." || name == ".." {
		return "", runbook.Fail(runbook.Refused, "run %q names no directory: give the workflow ID and the first run ID", run)
	}
	if len(name) > longest {
		sum := sha256.Sum256([]byte(run))
		name = name[:longest-17] + "-" + hex.EncodeToString(sum[:8])
	}
	return filepath.Join(runsDir, name, "proxy-"+upstream+".json"), nil
}

// readState returns the run's own state of the upstream, nil where it has none.
func (h Hand) readState(run, upstream string) (*state, error) {
	file, err := stateFile(run, upstream)
	if err != nil {
		return nil, err
	}
	s, err := h.loadState(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return s, classify(err, file)
}

func (h Hand) loadState(file string) (*state, error) {
	raw, err := os.ReadFile(filepath.Join(h.ProjectDir, file))
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, runbook.FailCause(runbook.Corrupt, err, "%s is not the state of a run; remove it, then start again", file)
	}
	return &s, nil
}

func (h Hand) writeState(s state) error {
	file, err := stateFile(s.Run, s.Upstream)
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return runbook.FailCause(runbook.Refused, err, "%s", file)
	}
	path := filepath.Join(h.ProjectDir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return classify(err, file)
	}
	return classify(writeWhole(path, raw, 0o600), file)
}

// forget takes back a state whose page nginx refused.
func (h Hand) forget(s state, before *state) error {
	if before != nil {
		return h.writeState(*before)
	}
	file, err := stateFile(s.Run, s.Upstream)
	if err != nil {
		return err
	}
	return classify(os.Remove(filepath.Join(h.ProjectDir, file)), file)
}

// lastWord is the newest state that any run has left of the upstream, nil where
// none has. One that cannot be read is passed over: it gives no right to add.
func (h Hand) lastWord(upstream string) *state {
	files, err := fs.Glob(os.DirFS(h.ProjectDir), runsDir+"/*/proxy-"+upstream+".json")
	if err != nil {
		return nil
	}
	var last *state
	for _, file := range files {
		s, err := h.loadState(file)
		if err == nil && s.Upstream == upstream && (last == nil || s.Generation > last.Generation) {
			last = s
		}
	}
	return last
}

// good returns the bytes to go back to if nginx refuses: what is there, where it is
// in force, else what a killed predecessor noted before it wrote.
func (h Hand) good(p pages, upstream string, served int) map[string][]byte {
	now, known := p.Upstreams[upstream]
	if known && !now.inForce(served) {
		if s := h.lastWord(upstream); s != nil && s.Generation == now.Generation && len(s.Before) > 0 {
			return s.Before
		}
	}
	return map[string][]byte{upstream + suffix: now.Raw, generationFile: p.Raw}
}
