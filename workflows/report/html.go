package report

import (
	_ "embed"
	"html/template"
	"strings"

	"github.com/leanvibe/hive/workflows/runbook"
)

// maxBytes is what an artefact's body may hold (runbook.ArtefactInput).
const maxBytes = 1 << 20

//go:embed page.html.tmpl
var pageText string

//go:embed page.css
var style string

var page = template.Must(template.New("page").Parse(pageText))

// HTML renders the report as one page without external assets, at most 1 MiB:
// where thousands of steps would not fit, the read-only ones that are done are
// left out, and the page says how many.
func HTML(r runbook.Report) (string, error) {
	for _, most := range []int{2000, 300, 50} {
		v := viewOf(r, most)
		v.Style = template.CSS(style) //nolint:gosec // our own embedded file, no user text in it
		var b strings.Builder
		if err := page.Execute(&b, v); err != nil {
			return "", runbook.FailCause(runbook.Corrupt, err, "rendering the report of %s", r.Run)
		}
		if b.Len() <= maxBytes {
			return b.String(), nil
		}
	}
	return "", runbook.Fail(runbook.Corrupt, "the report of %s does not fit into %d bytes", r.Run, maxBytes)
}
