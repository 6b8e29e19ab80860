package adopt

import (
	"fmt"
	"strings"
)

// directive is one of nginx's, with where it stands in the text.
type directive struct {
	name string
	args []span
	// start is its first byte, end the one after its ";" or "}".
	start, end int
	line       int
	// block is true for "name … { … }"; inside lies between the braces.
	block   bool
	inside  []directive
	opening int
	closing int
}

// span is a word and where it stands.
type span struct {
	text       string
	start, end int
}

// arg is the i-th argument, empty where there is none.
func (d directive) arg(i int) string {
	if i < len(d.args) {
		return d.args[i].text
	}
	return ""
}

// all are the directives of a name directly inside.
func (d directive) all(name string) []directive {
	var out []directive
	for _, x := range d.inside {
		if x.name == name {
			out = append(out, x)
		}
	}
	return out
}

// has says whether one of the names stands directly inside.
func (d directive) has(names ...string) bool {
	for _, name := range names {
		if len(d.all(name)) > 0 {
			return true
		}
	}
	return false
}

// walk visits all directives below, parents first.
func (d directive) walk(visit func(directive)) {
	for _, x := range d.inside {
		visit(x)
		x.walk(visit)
	}
}

// readNginx reads a configuration file of nginx into its directives; the root is a
// block without a name.
func readNginx(file, text string) (directive, error) {
	r := &nginxReader{file: file, text: text, line: 1}
	root := directive{block: true, closing: len(text)}
	var err error
	root.inside, err = r.directives(false)
	return root, err
}

type nginxReader struct {
	file, text string
	at, line   int
}

func (r *nginxReader) fail(line int, what string) error {
	return fmt.Errorf("%s:%d: %s: nginx would not read it either", r.file, line, what)
}

// directives reads until the closing brace, or the end of the file.
func (r *nginxReader) directives(nested bool) ([]directive, error) {
	var out []directive
	opened := r.line
	for {
		r.blank()
		if r.at >= len(r.text) {
			if nested {
				return nil, r.fail(opened, `a "{" that is never closed`)
			}
			return out, nil
		}
		if r.text[r.at] == '}' {
			if !nested {
				return nil, r.fail(r.line, `a "}" without its "{"`)
			}
			return out, nil
		}
		d, err := r.directive()
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
}

func (r *nginxReader) directive() (directive, error) {
	d := directive{start: r.at, line: r.line}
	for first := true; ; first = false {
		r.blank()
		if r.at >= len(r.text) {
			return d, r.fail(d.line, `a directive without its ";"`)
		}
		switch r.text[r.at] {
		case ';':
			r.at++
			d.end = r.at
			if first {
				return d, r.fail(d.line, `a ";" without a directive`)
			}
			return d, nil
		case '}':
			return d, r.fail(d.line, `a directive without its ";"`)
		case '{':
			return r.body(d)
		}
		w, err := r.word()
		if err != nil {
			return d, err
		}
		if first {
			d.name = w.text
		} else {
			d.args = append(d.args, w)
		}
	}
}

func (r *nginxReader) body(d directive) (directive, error) {
	d.block, d.opening = true, r.at
	r.at++
	if strings.HasSuffix(d.name, "_by_lua_block") {
		if !r.lua() {
			return d, r.fail(d.line, `a "{" that is never closed`)
		}
		d.closing, d.end = r.at-1, r.at
		return d, nil
	}
	var err error
	if d.inside, err = r.directives(true); err != nil {
		return d, err
	}
	d.closing = r.at
	r.at++
	d.end = r.at
	return d, nil
}

// lua skips a block of another language: only its braces count, outside of strings
// and comments.
func (r *nginxReader) lua() bool {
	for depth := 1; r.at < len(r.text); {
		c := r.text[r.at]
		r.at++
		switch {
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return true
			}
		case c == '\n':
			r.line++
		case c == '\'' || c == '"':
			for r.at < len(r.text) && r.text[r.at] != c && r.text[r.at] != '\n' {
				if r.text[r.at] == '\\' {
					r.at++
				}
				r.at++
			}
			r.at = min(r.at+1, len(r.text))
		case c == '-' && strings.HasPrefix(r.text[r.at:], "-"):
			for r.at < len(r.text) && r.text[r.at] != '\n' {
				r.at++
			}
		}
	}
	return false
}

// blank skips white space and comments.
func (r *nginxReader) blank() {
	for r.at < len(r.text) {
		switch c := r.text[r.at]; c {
		case '\n':
			r.line++
			r.at++
		case ' ', '\t', '\r':
			r.at++
		case '#':
			for r.at < len(r.text) && r.text[r.at] != '\n' {
				r.at++
			}
		default:
			return
		}
	}
}

// word reads one word, quoted or not. "${" is a variable and no block.
func (r *nginxReader) word() (span, error) {
	start, line := r.at, r.line
	if quote := r.text[r.at]; quote == '"' || quote == '\'' {
		var b strings.Builder
		for r.at++; r.at < len(r.text); r.at++ {
			switch c := r.text[r.at]; {
			case c == '\\' && r.at+1 < len(r.text):
				r.at++
				b.WriteByte(r.text[r.at])
			case c == quote:
				r.at++
				return span{b.String(), start, r.at}, nil
			default:
				if c == '\n' {
					r.line++
				}
				b.WriteByte(c)
			}
		}
		return span{}, r.fail(line, "a quote that is never closed")
	}
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '\\' && r.at+1 < len(r.text):
			r.at++
		case c == '$' && r.at+1 < len(r.text) && r.text[r.at+1] == '{':
			for r.at < len(r.text) && r.text[r.at] != '}' {
				r.at++
			}
		case strings.IndexByte(" \t\r\n;{}", c) >= 0:
			return span{r.text[start:r.at], start, r.at}, nil
		}
		if r.at < len(r.text) {
			r.at++
		}
	}
	return span{r.text[start:r.at], start, r.at}, nil
}
