package runbookmap

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const page = "# BOOK\n## Guide\n\n## 🎯 CHAPTER\n\n### **Part** (2:00)\n```bash\n# heads the next\ndo this --now\n# stands alone\n\n" +
	"and that\n```\n- [ ] Look at it: `see it`\n- no item\n1. First\n\n| A | B |\n|---|---|\n| x | y |\n"

func TestLinesAreWhatMustBeAnsweredFor(t *testing.T) {
	var texts []string
	for _, line := range Lines(page) {
		texts = append(texts, line.Text)
	}
	require.Equal(t, []string{"do this --now", "# stands alone", "and that", "Look at it: `see it`", "First", "| x | y |"}, texts)
	first := Lines(page)[0]
	require.Equal(t, 9, first.Number)
	require.Equal(t, "CHAPTER › Part (2:00)", first.Heading)
}

func TestUnansweredAndStraysAreNamed(t *testing.T) {
	m, err := Read(page, []byte("- lines: [do this --now, First, Gone]\n  also: [and that, more]\n  not_yet: later\n"))
	require.NoError(t, err)
	var open []string
	for _, line := range m.Unanswered() {
		open = append(open, line.Text)
	}
	require.Equal(t, []string{"# stands alone", "and that", "Look at it: `see it`", "| x | y |"}, open)
	require.Equal(t, []string{"Gone", "and that (under also, though the runbook has it)"}, m.Strays())
}

func TestAMapThatSaysTooLittleOrTooMuchIsRefused(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"unknown field", "- lines: [a]\n  not_yet: b\n  because: c\n", `unknown field "because"`},
		{"no answer", "- lines: [a]\n", "entry 1 (a): it has 0 answers"},
		{"two answers", "- lines: [a]\n  verb: logs\n  not_yet: b\n", "it has 2 answers"},
		{"no line", "- not_yet: b\n", "it has no line"},
		{"twice", "- lines: [a]\n  not_yet: b\n- lines: [a]\n  not_yet: c\n", `entry 2: "a" is answered for twice`},
		{"no steps", "- lines: [a]\n  procedure: P\n  does: d\n  why: w\n  type: [hive run P]\n  page: p.md\n", "with the steps of it"},
		{"no reason", "- lines: [a]\n  verb: logs\n  does: d\n  type: [hive logs]\n  page: p.md\n", "are all to be said"},
		{"no YAML", "- lines: [", "the runbook's map"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(page, []byte(c.yaml))
			require.ErrorContains(t, err, c.want)
		})
	}
}
