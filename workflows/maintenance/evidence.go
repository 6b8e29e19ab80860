package maintenance

import (
	"encoding/json"

	"github.com/leanvibe/hive/workflows/report"
	"github.com/leanvibe/hive/workflows/runbook"
)

// files makes what a run leaves under out/: report.json for programs, report.html
// for people.
func files(directory string) func(runbook.Report) ([]runbook.ArtefactInput, error) {
	return func(r runbook.Report) ([]runbook.ArtefactInput, error) {
		raw, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return nil, err
		}
		page, err := report.HTML(r)
		if err != nil {
			return nil, err
		}
		return []runbook.ArtefactInput{
			{Path: directory + "/report.json", Body: string(raw) + "\n"},
			{Path: directory + "/report.html", Body: page},
		}, nil
	}
}
