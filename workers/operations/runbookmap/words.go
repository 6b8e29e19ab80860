package runbookmap

import "strings"

// shellWord is a word of a command line, or one of its operators.
type shellWord struct {
	text     string
	operator bool
	// quoted words may hold what would be operators outside.
	quoted bool
}

// shellWords takes a command line apart as a shell would, without expanding
// anything. A quote that is never closed ends with the line.
func shellWords(line string) []shellWord {
	var out []shellWord
	var b strings.Builder
	inWord, quoted := false, false
	flush := func() {
		if inWord {
			out = append(out, shellWord{text: b.String(), quoted: quoted})
		}
		b.Reset()
		inWord, quoted = false, false
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && i+1 < len(line):
			i++
			if line[i] != '\n' { // a line that goes on
				inWord = true
				b.WriteByte(line[i])
			}
		case c == '\'' || c == '"':
			inWord, quoted = true, true
			end := closing(line, i+1, c)
			b.WriteString(strings.ReplaceAll(line[i+1:end], `\"`, `"`))
			i = end
		case c == '$' && i+1 < len(line) && line[i+1] == '(':
			inWord = true
			end := matching(line, i+1)
			b.WriteString("$()")
			i = end
		case c == '#' && !inWord:
			for i < len(line) && line[i] != '\n' {
				i++
			}
			i--
		case c == '\n' || c == ';':
			flush()
			out = append(out, shellWord{text: ";", operator: true})
		case c == '|' || c == '&' || c == '>' || c == '<':
			flush()
			n := 1
			for i+n < len(line) && line[i+n] == c {
				n++
			}
			out = append(out, shellWord{text: line[i : i+n], operator: true})
			i += n - 1
		case c == ' ' || c == '\t' || c == '\r':
			flush()
		default:
			inWord = true
			b.WriteByte(c)
		}
	}
	flush()
	return out
}

// closing is where a quote ends.
func closing(line string, from int, quote byte) int {
	for i := from; i < len(line); i++ {
		if line[i] == '\\' && quote == '"' {
			i++
		} else if line[i] == quote {
			return i
		}
	}
	return len(line)
}

// matching is where the parenthesis at from closes.
func matching(line string, from int) int {
	depth := 0
	for i := from; i < len(line); i++ {
		switch line[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(line)
}

// stage is one program of a pipe and its words.
type stage []string

// pipes cuts words into commands that follow one another, and each into the stages
// of its pipe. A file that is written to or read from becomes "<file>".
func pipes(words []shellWord) [][]stage {
	var out [][]stage
	pipe := []stage{nil}
	end := func() {
		var full []stage
		for _, s := range pipe {
			if len(s) > 0 {
				full = append(full, s)
			}
		}
		if len(full) > 0 {
			out = append(out, full)
		}
		pipe = []stage{nil}
	}
	redirected := false
	for _, w := range words {
		last := len(pipe) - 1
		switch {
		case !w.operator && redirected:
			pipe[last], redirected = append(pipe[last], "<file>"), false
		case !w.operator:
			pipe[last] = append(pipe[last], w.text)
		case w.text == "|":
			pipe = append(pipe, nil)
		case strings.HasPrefix(w.text, ">"), w.text == "<":
			redirected = true
		case w.text == "&" && redirected: // 2>&1
		default:
			end()
		}
	}
	end()
	return out
}
