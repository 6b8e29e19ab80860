package host

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	archive = ".gz"
	// partial marks a file that is not complete.
	partial = ".partial"
)

// List answers runbook.ListLogs. Links are not followed: what they name has a
// place and an owner of its own.
func (h Hand) List(ctx context.Context, in runbook.LogsInput) (runbook.LogFiles, error) {
	out := runbook.LogFiles{Files: []runbook.LogFile{}, Now: time.Now()}
	root, err := h.open(in.Directory)
	if err != nil {
		return out, err
	}
	defer root.Close()
	defer beating(ctx)()
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return firstOf(err, ctx.Err())
		}
		if !d.Type().IsRegular() || !isLog(path) && !isArchive(path) && !isPartial(path) {
			return nil
		}
		file, err := h.look(root, path)
		if err != nil || file == nil {
			return err
		}
		out.Files = append(out.Files, *file)
		return nil
	})
	sort.Slice(out.Files, func(i, j int) bool { return out.Files[i].Path < out.Files[j].Path })
	return out, classify(err, in.Directory)
}

// look describes one file; nil where it went meanwhile.
func (h Hand) look(root *os.Root, path string) (*runbook.LogFile, error) {
	f, err := root.Open(path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, classify(err, path)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, classify(err, path)
	}
	open, err := h.written(f)
	if err != nil {
		return nil, classify(err, path)
	}
	return &runbook.LogFile{
		Path: filepath.ToSlash(path), Bytes: info.Size(), Modified: info.ModTime(), Open: open,
		Compressed: isArchive(path), Partial: isPartial(path),
	}, nil
}

// Delete answers runbook.DeleteLog: compressed logs only, by their age now.
func (h Hand) Delete(ctx context.Context, in runbook.LogInput) (runbook.LogChange, error) {
	var out runbook.LogChange
	if !isArchive(in.Path) || !filepath.IsLocal(in.Path) || in.OlderThan <= 0 {
		return out, runbook.Fail(runbook.Refused, "%q is not deleted: only compressed logs of an age are", in.Path)
	}
	root, err := h.open(in.Directory)
	if err != nil {
		return out, err
	}
	defer root.Close()
	info, err := root.Lstat(in.Path)
	switch {
	case os.IsNotExist(err) && retried(ctx):
		return runbook.LogChange{Changed: true}, nil
	case os.IsNotExist(err):
		out.Why = "gone already"
		return out, nil
	case err != nil:
		return out, classify(err, in.Path)
	}
	out.BytesBefore, out.BytesAfter = info.Size(), info.Size()
	if out.Why, err = h.keep(root, in, info); err != nil || out.Why != "" {
		return out, err
	}
	if err := root.Remove(in.Path); err != nil {
		return out, classify(err, in.Path)
	}
	out.Changed, out.BytesAfter = true, 0
	return out, classify(syncDir(root, in.Path), in.Path)
}

// keep says why a file must stay as it is: not a plain file, too young by its own
// clock or from the future, still written to.
func (h Hand) keep(root *os.Root, in runbook.LogInput, info os.FileInfo) (string, error) {
	if !info.Mode().IsRegular() {
		return "not a plain file", nil
	}
	if age := time.Since(info.ModTime()); age <= in.OlderThan.D() {
		return "changed " + age.Round(time.Second).String() + " ago, which is not over " + in.OlderThan.String(), nil
	}
	file, err := h.look(root, in.Path)
	switch {
	case err != nil:
		return "", err
	case file == nil:
		return "gone already", nil
	case file.Open:
		return "still written to", nil
	}
	return "", nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
