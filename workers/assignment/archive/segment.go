package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// The names of files: finished-2026-11-29T15Z-<instance>.ndjson.zst, with +2, +3 …
// after the instance where an hour has several, and 2026-11-29T15Z-<instance>.partial.
const (
	hourForm      = "2006-01-02T15Z"
	segmentPrefix = "finished-"
	segmentSuffix = ".ndjson.zst"
	partialSuffix = ".partial"
	// copySuffix is what a repair writes before it has a name.
	copySuffix = ".repair"
)

// window is how far back in a segment repetition is found, in bytes: it bounds the
// memory of writing and reading.
const window = 1 << 20

func hourOf(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }

func partialName(hour time.Time, instance string) string {
	return hour.Format(hourForm) + "-" + instance + partialSuffix
}

// partialOf reads the name of a partial segment.
func partialOf(name string) (hour time.Time, instance string, ok bool) {
	rest, ok := strings.CutSuffix(name, partialSuffix)
	if !ok {
		return hour, "", false
	}
	return cutHour(rest)
}

// segmentOf reads the hour in the name of a complete segment.
func segmentOf(name string) (hour time.Time, ok bool) {
	rest, isSegment := strings.CutPrefix(name, segmentPrefix)
	rest, whole := strings.CutSuffix(rest, segmentSuffix)
	if !isSegment || !whole {
		return hour, false
	}
	hour, _, ok = cutHour(rest)
	return hour, ok
}

func cutHour(s string) (hour time.Time, rest string, ok bool) {
	if len(s) <= len(hourForm)+1 || s[len(hourForm)] != '-' {
		return hour, "", false
	}
	hour, err := time.Parse(hourForm, s[:len(hourForm)])
	return hour, s[len(hourForm)+1:], err == nil
}

// freeName answers the first name that no complete segment has. Only the holder of
// the partial of the same hour and instance asks, so it stays free until it is taken.
func freeName(dir string, hour time.Time, instance string) (string, error) {
	for n := 1; ; n++ {
		number := ""
		if n > 1 {
			number = fmt.Sprintf("+%d", n)
		}
		path := filepath.Join(dir, segmentPrefix+hour.Format(hourForm)+"-"+instance+number+segmentSuffix)
		_, err := os.Lstat(path)
		if os.IsNotExist(err) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// Read answers the tasks of a segment in the order in which they were archived, but
// for their Digest. A task may come twice; its newest end counts. An error is the last
// that comes: the segment does not read further.
func Read(r io.Reader) iter.Seq2[partition.Task, error] {
	return func(yield func(partition.Task, error) bool) {
		for b, err := range lines(r) {
			var t partition.Task
			if err == nil {
				t, err = readLine(b)
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// lines answers the whole lines of a segment, with their ends; they are valid until
// the next. An error is the last that comes: also what ends within a line is one.
func lines(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		plain, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8*window))
		if err != nil {
			yield(nil, err)
			return
		}
		defer plain.Close()
		from := bufio.NewReaderSize(plain, 64<<10)
		for {
			b, err := from.ReadBytes('\n')
			if errors.Is(err, io.EOF) && len(b) == 0 {
				return
			}
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				yield(nil, fmt.Errorf("the segment ends before its last line does, or is damaged: %w", err))
				return
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}
