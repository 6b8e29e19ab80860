package tests

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	// ruleLine is one entry of the policy hand's tables of rules.
	ruleLine = regexp.MustCompile(`(?m)^\t"([a-z_.\[\]]+)":\s`)
	// fieldLine is one entry of the docker hand's list of fields that it does not translate.
	fieldLine = regexp.MustCompile(`(?m)^\t\{"([^"]+)", `)
	link      = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.+)$`)
	signs     = regexp.MustCompile("[^a-z0-9 _-]")
)

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(raw)
}

// named fails without printing the whole page.
func named(t *testing.T, file, page, field string) {
	t.Helper()
	if !strings.Contains(page, "`"+field+"`") {
		require.Fail(t, file+" does not name "+field)
	}
}

// A field that the reader takes and the page does not name is a field that nobody will set.
func TestThePolicyPageNamesEveryField(t *testing.T) {
	page := read(t, "../docs/policy.md")
	rules := ruleLine.FindAllStringSubmatch(read(t, "../activities/policy/rules.go"), -1)
	require.Greater(t, len(rules), 40, "the rules are not found any more")
	for _, r := range rules {
		if field := strings.TrimSuffix(r[1], "[]"); field == r[1] {
			named(t, "docs/policy.md", page, field)
		}
	}
}

func TestTheComposePageNamesEveryField(t *testing.T) {
	page := read(t, "../docs/compose.md")
	rules := ruleLine.FindAllStringSubmatch(read(t, "../activities/policy/hive.go"), -1)
	require.Greater(t, len(rules), 8, "the rules are not found any more")
	for _, r := range rules {
		for _, field := range strings.Split(r[1], ".") {
			named(t, "docs/compose.md", page, field)
		}
	}
	fields := fieldLine.FindAllStringSubmatch(read(t, "../activities/docker/fields.go"), -1)
	require.Greater(t, len(fields), 15, "the list of fields is not found any more")
	for _, f := range fields {
		field := f[1]
		if kind, ok := strings.CutPrefix(field, "volumes.type: "); ok {
			field = kind
		}
		field = strings.TrimSuffix(field, " of CDI")
		named(t, "docs/compose.md", page, field)
	}
}

// A link to a page, or to a part of one, that is not there is the first thing that a reader meets.
func TestLinksOfThePagesLead(t *testing.T) {
	entries, err := os.ReadDir("../docs")
	require.NoError(t, err)
	seen := 0
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".md") {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(read(t, "../docs/"+entry.Name()), -1) {
			page := read(t, "../docs/"+m[1])
			if m[2] != "" {
				require.Contains(t, anchors(page), m[2], "docs/%s links to %s", entry.Name(), m[1]+m[2])
			}
			seen++
		}
	}
	require.Positive(t, seen)
}

// anchors are the page's headings as links name them: lower case, blanks as dashes, signs left out.
func anchors(page string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		out = append(out, "#"+strings.ReplaceAll(signs.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return out
}
