package bootstrap

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgressSaysThatItIsAlive(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out)
	p.phase("images")
	first := p.begin("base")
	first.at("unpacking")
	p.beat(time.Now())
	require.Equal(t, "== images\n", out.String(), "not before two seconds have passed")
	p.beat(time.Now().Add(silence))
	require.Contains(t, out.String(), "… base 2s (unpacking)")
	first.done("local/base:1")
	p.begin("nothing to do").quit()
	out.Reset()
	p.beat(time.Now().Add(2 * silence))
	require.Empty(t, out.String(), "nothing goes on")
	p.phase("secrets")
	p.end(time.Now())
	require.Len(t, p.phases, 2)
	require.NotContains(t, out.String(), "\x1b", "no cursor movement in a pipe")
}

func TestWatchPrintsWithoutBeingAsked(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out)
	p.last = time.Now().Add(-silence)
	p.begin("base")
	stop := p.watch()
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return strings.Contains(out.String(), "base")
	}, patience, 10*time.Millisecond)
	stop()
}

func TestLastWordsAreTheEnd(t *testing.T) {
	var l lastWords
	var lines []string
	l.each = func(line string) { lines = append(lines, line) }
	for range 40 {
		_, _ = l.Write([]byte("a line\n"))
	}
	_, _ = l.Write([]byte("\x1b[91mthe last\x1b[0m\nunfinished"))
	require.Len(t, lines, 41)
	require.True(t, strings.HasSuffix(l.String(), "a line\nthe last\nunfinished"))
	require.Less(t, strings.Count(l.String(), "\n"), 16)
}
