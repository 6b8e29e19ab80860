package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
)

// Row is one figure. What was not measured is null, and so is the verdict on it:
// "no data" is never met.
type Row struct {
	Name  string   `json:"name"`
	Value *float64 `json:"value"`
	Unit  string   `json:"unit"`
	Bar   *float64 `json:"bar"`
	Met   *bool    `json:"met"`
	Peer  string   `json:"peer"`
	Ratio *float64 `json:"ratio"`
	Note  string   `json:"note,omitempty"`

	floor bool // the bar is the least, not the most
}

// atMost is a row whose value must not be above bar.
func atMost(name, unit string, bar float64) Row { return Row{Name: name, Unit: unit, Bar: &bar} }

// atLeast is a row whose value must not be below bar.
func atLeast(name, unit string, bar float64) Row {
	return Row{Name: name, Unit: unit, Bar: &bar, floor: true}
}

// shown is a row without a bar, that helps to read the others.
func shown(name, unit string) Row { return Row{Name: name, Unit: unit} }

// with is the row with its value, judged. What is no number, as the quantile of nothing,
// is no data.
func (r Row) with(value float64) Row {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return r.noData(errors.New("nothing was counted"))
	}
	r.Value = &value
	if r.Bar != nil {
		met := value <= *r.Bar
		if r.floor {
			met = value >= *r.Bar
		}
		r.Met = &met
	}
	return r
}

// beside is the row with what it was measured against: ratio is ours by theirs.
func (r Row) beside(peer string, ratio float64) Row {
	r.Peer, r.Ratio = peer, &ratio
	return r
}

// noted is the row with what a reader must know of its value; without one, why stays.
func (r Row) noted(format string, args ...any) Row {
	if r.Value == nil {
		return r
	}
	r.Note = fmt.Sprintf(format, args...)
	return r
}

// noData is the row of which nothing is known, and why.
func (r Row) noData(why error) Row {
	r.Value, r.Met, r.Ratio, r.Note = nil, nil, nil, why.Error()
	return r
}

// verdict is the row's last word in the table.
func (r Row) verdict() string {
	switch {
	case r.Value == nil:
		return "no data: " + r.Note
	case r.Met == nil:
		return ""
	case *r.Met && r.Note != "":
		return "met: " + r.Note
	case *r.Met:
		return "met"
	default:
		return "NOT MET"
	}
}

// allMet reports whether every row has a value, and every bar is met.
func allMet(rows []Row) bool {
	for _, r := range rows {
		if r.Value == nil || r.Met != nil && !*r.Met {
			return false
		}
	}
	return true
}

func number(v *float64) string {
	switch {
	case v == nil:
		return "-"
	case *v >= 1000 || *v == float64(int64(*v)):
		return strconv.FormatFloat(*v, 'f', 0, 64)
	default:
		return strconv.FormatFloat(*v, 'f', 2, 64)
	}
}

func (r Row) barText() string {
	switch {
	case r.Bar == nil:
		return "-"
	case r.floor:
		return "≥ " + number(r.Bar)
	default:
		return "≤ " + number(r.Bar)
	}
}

func printTable(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tVALUE\tBAR\tUNIT\tPEER\tRATIO\tVERDICT")
	for _, r := range rows {
		peer := r.Peer
		if peer == "" {
			peer = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, number(r.Value), r.barText(), r.Unit, peer, number(r.Ratio), r.verdict())
	}
	return t.Flush()
}

// writeRows writes the rows whole or not at all.
func writeRows(path string, rows []Row) error {
	body, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	partial := path + ".partial"
	if err := os.WriteFile(partial, append(body, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(partial, path)
}
