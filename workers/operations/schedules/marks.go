package schedules

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// marksFile says how far the sweep has come, relative to the project. Temporal alone
// does not know it: it forgets runs after its retention, and how long nothing ran.
const marksFile = "out/state/schedules.json"

// settled says until when a schedule's dates are settled, and under which rule.
type settled struct {
	Schedule runbook.SchedulePolicy `json:"schedule"`
	Until    time.Time              `json:"until"`
}

func (m settled) same(other settled) bool {
	return m.Schedule == other.Schedule && m.Until.Equal(other.Until)
}

// readMarks answers none where there is no file yet. Schedules without a mark are
// settled until they were last written: nobody is told of what may be long ago.
func readMarks(projectDir string) (map[string]settled, error) {
	marks := map[string]settled{}
	raw, err := os.ReadFile(filepath.Join(projectDir, marksFile))
	if errors.Is(err, fs.ErrNotExist) {
		return marks, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &marks); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it, and dates are watched from now on", marksFile, err)
	}
	return marks, nil
}

// writeMarks replaces the file as a whole.
func writeMarks(projectDir string, marks map[string]settled) error {
	raw, err := json.MarshalIndent(marks, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(projectDir, marksFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".partial", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(raw, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".partial", path)
}
