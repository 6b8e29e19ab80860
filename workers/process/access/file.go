package access

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// tokenMin is what a token has at least, in characters: fewer can be guessed.
	tokenMin = 16
	// tokenMax is what it has at most: it must fit a header.
	tokenMax = 512
	// tokensMax bounds a file: every request is compared with every token.
	tokensMax = 1000
	// fileMax bounds what is read, in bytes.
	fileMax = 1 << 20
)

var (
	// tokenForm is what RFC 6750 lets stand behind "Bearer".
	tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)
	// nameForm is an agent's id, as the services take it.
	nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
)

// LineError is a line of the file that cannot be used. It never shows the line:
// a mistake may have put the token anywhere in it.
type LineError struct {
	File    string
	Line    int
	Problem string
}

// Error is "file:line: problem".
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Problem) }

// ErrNoToken is a file that lets nobody in.
var ErrNoToken = errors.New("names no token: write a line such as \"operator TOKEN\"")

// known is one token; the token itself is forgotten once it has been read.
type known struct {
	digest [sha256.Size]byte
	caller caller
}

// File is the secret file: one token on a line, "role token [name]", "#" begins a
// comment.
type File struct {
	path   string
	tokens atomic.Pointer[[]known]

	mu    sync.Mutex
	stamp stamp
}

// OpenFile reads the file. An error names the file and, where one is at fault, the
// line (*LineError).
func OpenFile(path string) (*File, error) {
	f := &File{path: path}
	if _, err := f.Reload(true); err != nil {
		return nil, err
	}
	return f, nil
}

// Reload reads the file again when its size or time has changed, or in any case
// when forced. With an error the tokens stay as they were; the same fault is told
// once.
func (f *File) Reload(force bool) (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fresh := f.stamp.renew(f.path); !fresh && !force {
		return false, nil
	}
	tokens, err := readFile(f.path)
	if err != nil {
		return false, err
	}
	f.tokens.Store(&tokens)
	return true, nil
}

// Len is how many tokens are in force.
func (f *File) Len() int { return len(*f.tokens.Load()) }

// find compares with every token, each in constant time, so that the time tells
// nothing of how near a guess was.
func (f *File) find(token string) (caller, bool) {
	digest := sha256.Sum256([]byte(token))
	var found caller
	ok := false
	for _, k := range *f.tokens.Load() {
		if subtle.ConstantTimeCompare(digest[:], k.digest[:]) == 1 {
			found, ok = k.caller, true
		}
	}
	return found, ok
}

func readFile(path string) ([]known, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	raw, err := io.ReadAll(io.LimitReader(in, fileMax+1))
	switch {
	case err != nil:
		return nil, err
	case len(raw) > fileMax:
		return nil, fmt.Errorf("%s is over %d bytes", path, fileMax)
	}
	return parse(path, raw)
}

func parse(path string, raw []byte) ([]known, error) {
	var out []known
	lineOf := map[[sha256.Size]byte]int{}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, fileMax+1)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		k, problem := parseLine(words)
		if first := lineOf[k.digest]; problem == "" && first > 0 {
			problem = fmt.Sprintf("the token stands on line %d already", first)
		}
		if problem == "" && len(out) == tokensMax {
			problem = fmt.Sprintf("more than %d tokens", tokensMax)
		}
		if problem != "" {
			return nil, &LineError{File: path, Line: n, Problem: problem}
		}
		lineOf[k.digest] = n
		out = append(out, k)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s %w", path, ErrNoToken)
	}
	return out, nil
}

const lineForm = "want \"role token [name]\" with the role agent, client or operator"

func parseLine(words []string) (known, string) {
	role := Role(words[0])
	switch {
	case may[role] == "":
		return known{}, "the first word is no role: " + lineForm
	case len(words) == 1:
		return known{}, "the token is missing: " + lineForm
	case len(words) > 3:
		return known{}, fmt.Sprintf("%d words: %s", len(words), lineForm)
	case len(words[1]) < tokenMin:
		return known{}, fmt.Sprintf("the token has %d characters, at least %d are needed", len(words[1]), tokenMin)
	case len(words[1]) > tokenMax:
		return known{}, fmt.Sprintf("the token has %d characters, at most %d are taken", len(words[1]), tokenMax)
	case !tokenForm.MatchString(words[1]):
		return known{}, "the token has a character that a header cannot carry: letters, digits and . _ ~ + / - are taken, and = at its end"
	}
	k := known{digest: sha256.Sum256([]byte(words[1])), caller: caller{role: role}}
	if len(words) == 3 {
		if !nameForm.MatchString(words[2]) {
			return known{}, "the name is no agent's id: 1 to 128 letters, digits, dots, dashes or underscores"
		}
		k.caller.name = words[2]
	}
	return k, ""
}
