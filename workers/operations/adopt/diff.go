package adopt

import (
	"fmt"
	"strings"
)

// around is how many unchanged lines a hunk shows before and after a change.
const around = 3

// change is one line of a diff: ' ', '-' or '+'.
type change struct {
	sign byte
	text string
}

// unified is the difference of two texts as `diff -u` shows it; empty where there
// is none.
func unified(file, before, after string) string {
	if before == after {
		return ""
	}
	changes := compare(strings.SplitAfter(before, "\n"), strings.SplitAfter(after, "\n"))
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", file, file)
	oldLine, newLine := 1, 1
	for i := 0; i < len(changes); {
		if changes[i].sign == ' ' {
			oldLine, newLine, i = oldLine+1, newLine+1, i+1
			continue
		}
		from := max(0, i-around)
		to := hunkEnd(changes, i)
		writeHunk(&b, changes[from:to], oldLine-(i-from), newLine-(i-from))
		for ; i < to; i++ {
			if changes[i].sign != '+' {
				oldLine++
			}
			if changes[i].sign != '-' {
				newLine++
			}
		}
	}
	return b.String()
}

// hunkEnd is where a hunk ends that has a change at i: changes nearer than twice the
// context share one.
func hunkEnd(changes []change, i int) int {
	last := i
	for j := i; j < len(changes) && j-last <= 2*around; j++ {
		if changes[j].sign != ' ' {
			last = j
		}
	}
	return min(last+1+around, len(changes))
}

func writeHunk(b *strings.Builder, hunk []change, oldLine, newLine int) {
	olds, news := 0, 0
	for _, c := range hunk {
		if c.sign != '+' {
			olds++
		}
		if c.sign != '-' {
			news++
		}
	}
	fmt.Fprintf(b, "@@ -%d,%d +%d,%d @@\n", oldLine, olds, newLine, news)
	for _, c := range hunk {
		b.WriteByte(c.sign)
		b.WriteString(c.text)
		if !strings.HasSuffix(c.text, "\n") {
			b.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

// compare is the shortest way from one list of lines to the other, by their longest
// common part.
func compare(a, b []string) []change {
	a, b = withoutEmptyEnd(a), withoutEmptyEnd(b)
	common := make([][]int32, len(a)+1)
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []change
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, change{' ', a[i]})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			out = append(out, change{'-', a[i]})
			i++
		default:
			out = append(out, change{'+', b[j]})
			j++
		}
	}
	return out
}

func withoutEmptyEnd(lines []string) []string {
	if n := len(lines); n > 0 && lines[n-1] == "" {
		return lines[:n-1]
	}
	return lines
}
