package runbookmap

import (
	"regexp"
	"strings"
)

// Line is one line of the runbook that asks somebody to do or to check something.
type Line struct {
	// Number counts from 1.
	Number int `json:"line"`
	// Heading is the path of headings above it, without their decoration.
	Heading string `json:"heading"`
	Text    string `json:"-"`
}

var (
	heading  = regexp.MustCompile(`^(#{1,6})\s+(.*)$`)
	check    = regexp.MustCompile(`^- \[ \] (.*)$`)
	numbered = regexp.MustCompile(`^\d+\. (.*)$`)
	// ruled is the line under a table's head.
	ruled = regexp.MustCompile(`^\|[-| :]+\|$`)
	// decoration is what stands before and around the words of a heading.
	decoration = regexp.MustCompile(`^[^\p{L}\p{N}"]+|\*\*`)
)

// Lines are the lines of a runbook that must be answered for: everything inside
// code fences, check items, numbered steps, and the rows of tables. In a fence a
// comment heads the command under it; one that heads nothing is an instruction.
func Lines(text string) []Line {
	var out []Line
	var path []string
	fenced, table := false, false
	all := strings.Split(text, "\n")
	for i, raw := range all {
		line := strings.TrimSpace(raw)
		add := func(text string) {
			out = append(out, Line{Number: i + 1, Heading: strings.Join(path, " › "), Text: text})
		}
		isRow := !fenced && strings.HasPrefix(line, "|")
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case fenced:
			if line != "" && (!comment(line) || !headsCommand(all, i)) {
				add(line)
			}
		case isRow:
			if table && !ruled.MatchString(line) {
				add(line)
			}
		default:
			if m := heading.FindStringSubmatch(line); m != nil {
				path = under(path, len(m[1]), m[2])
			} else if m := firstOf(check.FindStringSubmatch(line), numbered.FindStringSubmatch(line)); m != nil {
				add(m[1])
			}
		}
		table = isRow
	}
	return out
}

// under is the path of headings once one of a level is reached. The document's own
// title, levels 1 and 2 at its top, says nothing that a reader needs.
func under(path []string, level int, title string) []string {
	title = decoration.ReplaceAllString(title, "")
	keep := min(max(level-2, 0), len(path))
	return append(path[:keep:keep], strings.TrimSpace(title))
}

func comment(line string) bool { return strings.HasPrefix(line, "#") }

// headsCommand says whether the line under a comment is a command.
func headsCommand(all []string, i int) bool {
	if i+1 >= len(all) {
		return false
	}
	next := strings.TrimSpace(all[i+1])
	return next != "" && !comment(next) && !strings.HasPrefix(next, "```")
}

func firstOf(matches ...[]string) []string {
	for _, m := range matches {
		if m != nil {
			return m
		}
	}
	return nil
}
