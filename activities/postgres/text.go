package postgres

import "strings"

// textMax is the longest statement text that leaves this hand, in bytes.
const textMax = 200

// normalise takes the literals out of a statement, which may be anybody's data or
// a password, and the line breaks, and cuts it.
func normalise(sql string) string {
	var b strings.Builder
	for i := 0; i < len(sql) && b.Len() <= textMax; {
		switch c := sql[i]; {
		case c == '\'':
			i = afterQuote(sql, i, escapes(sql, i))
			b.WriteByte('?')
		case c == '$' && dollarTag(sql[i:]) != "":
			i = afterDollar(sql, i)
			b.WriteByte('?')
		case digit(c) && !named(&b):
			for i < len(sql) && (digit(sql[i]) || sql[i] == '.') {
				i++
			}
			b.WriteByte('?')
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			if b.Len() > 0 && !strings.HasSuffix(b.String(), " ") {
				b.WriteByte(' ')
			}
			i++
		default:
			b.WriteByte(c)
			i++
		}
	}
	return cut(strings.TrimSpace(b.String()))
}

func cut(s string) string {
	if len(s) <= textMax {
		return s
	}
	return strings.ToValidUTF8(s[:textMax-3], "") + "…"
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// named says whether the text so far ends in a name or a parameter's dollar, to
// which a digit belongs.
func named(b *strings.Builder) bool {
	s := b.String()
	if s == "" {
		return false
	}
	c := s[len(s)-1]
	return c == '_' || c == '$' || c == '"' || digit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// escapes says whether the quote at i opens an E'…' text, in which a backslash
// escapes.
func escapes(sql string, i int) bool {
	if i == 0 || sql[i-1] != 'E' && sql[i-1] != 'e' {
		return false
	}
	return i == 1 || !digit(sql[i-2]) && sql[i-2] != '_' && (sql[i-2]|0x20 < 'a' || sql[i-2]|0x20 > 'z')
}

func afterQuote(sql string, i int, backslash bool) int {
	for i++; i < len(sql); i++ {
		switch {
		case backslash && sql[i] == '\\':
			i++
		case sql[i] == '\'' && i+1 < len(sql) && sql[i+1] == '\'':
			i++
		case sql[i] == '\'':
			return i + 1
		}
	}
	return len(sql)
}

// dollarTag is the "$tag$" that the text begins with, or "".
func dollarTag(sql string) string {
	for i := 1; i < len(sql); i++ {
		c := sql[i]
		switch {
		case c == '$':
			return sql[:i+1]
		case c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80 || i > 1 && digit(c):
		default:
			return ""
		}
	}
	return ""
}

func afterDollar(sql string, i int) int {
	tag := dollarTag(sql[i:])
	body := i + len(tag)
	end := strings.Index(sql[body:], tag)
	if end < 0 {
		return len(sql)
	}
	return body + end + len(tag)
}
