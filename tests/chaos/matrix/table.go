package matrix

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/leanvibe/hive/tests/chaos/kill"
)

// Row is a kill and what became of the run, as out/chaos.json holds it.
type Row struct {
	Procedure string      `json:"procedure"`
	Step      string      `json:"step"`
	Point     kill.Point  `json:"point"`
	Victim    kill.Victim `json:"victim"`
	// Outcome is the run's; where it is not that of the run without kills, "instead of" says which that was.
	Outcome          string `json:"outcome"`
	CensusEqual      bool   `json:"census_equal"`
	FailedRequests   int    `json:"failed_requests"`
	DuplicateEffects int    `json:"duplicate_effects"`
	Commit           string `json:"commit"`
	// Expected is the outcome of the run without kills.
	Expected string `json:"expected"`
	// Seed replays the run, Run names its evidence under out/chaos/runs.
	Seed uint64 `json:"seed"`
	Run  string `json:"run"`
}

// Good says that the kill changed nothing of the run's end.
func (r Row) Good() bool {
	return r.Outcome == r.Expected && r.CensusEqual && r.FailedRequests == 0 && r.DuplicateEffects == 0
}

func (r Row) key() string {
	key := fmt.Sprintf("%s/%s/%s/%s", r.Procedure, r.Step, r.Point, r.Victim)
	if r.Point == Random {
		key += "/" + r.Run
	}
	return key
}

// Random is the point of a kill at a random moment of a run; its step is what the run said it was at.
const Random kill.Point = "random"

// Add puts rows into the file: each in the place of one of the same kill, if there is one. Rows of another commit go.
func Add(path string, more []Row) ([]Row, error) {
	rows, err := Read(path)
	if err != nil {
		return nil, err
	}
	for _, r := range more {
		rows = slices.DeleteFunc(rows, func(old Row) bool { return old.Commit != r.Commit })
		rows = append(slices.DeleteFunc(rows, func(old Row) bool { return old.key() == r.key() }), r)
	}
	return rows, write(path, rows)
}

// Read reads the rows of a file; none where there is no file.
func Read(path string) ([]Row, error) {
	var rows []Row
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &rows)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; move it away to begin anew", path, err)
	}
	return rows, nil
}

// write puts the rows in place, whole.
func write(path string, rows []Row) error {
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(a.key(), b.key()) })
	raw, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		return err
	}
	partial := path + ".partial"
	if err := os.WriteFile(partial, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(partial, path)
}

// Print prints the table by step: a column for each victim and point, each with what was seen.
func Print(out io.Writer, rows []Row) {
	type line struct{ procedure, step string }
	cells := map[line]map[string]string{}
	random, bad := map[kill.Victim]int{}, 0
	for _, r := range rows {
		if r.Point == Random {
			random[r.Victim]++
			if !r.Good() {
				bad++
			}
			continue
		}
		l := line{r.Procedure, r.Step}
		if cells[l] == nil {
			cells[l] = map[string]string{}
		}
		mark := "ok"
		if !r.Good() {
			mark = fmt.Sprintf("%s c=%t f=%d d=%d", r.Outcome, r.CensusEqual, r.FailedRequests, r.DuplicateEffects)
		}
		cells[l][string(r.Victim)+string(r.Point)] = mark
	}
	var order []line
	for l := range cells {
		order = append(order, l)
	}
	slices.SortFunc(order, func(a, b line) int { return cmp.Or(cmp.Compare(a.procedure, b.procedure), cmp.Compare(a.step, b.step)) })
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "procedure\tstep\topsworker\t\t\tTemporal\t\t")
	fmt.Fprintln(w, "\t\tbefore\teffect\tafter\tbefore\teffect\tafter")
	for _, l := range order {
		fmt.Fprintf(w, "%s\t%s", l.procedure, l.step)
		for _, victim := range []kill.Victim{kill.OpsWorker, kill.Temporal} {
			for _, point := range kill.Points() {
				fmt.Fprintf(w, "\t%s", cmp.Or(cells[l][string(victim)+string(point)], "·"))
			}
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // printing to a terminal
	if len(random) > 0 {
		fmt.Fprintf(out, "\nat random moments: %d opsworker, %d Temporal, %d ledger database, %d engine; %d of them in a run that did not end as it must\n",
			random[kill.OpsWorker], random[kill.Temporal], random[kill.Database], random[kill.Engine], bad)
	}
}
