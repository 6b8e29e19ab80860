package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/klauspost/compress/gzip"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Compress answers runbook.CompressLog. At each moment the log is whole under one
// name or the other: killed anywhere, it is found and finished by the next try.
func (h Hand) Compress(ctx context.Context, in runbook.LogInput) (runbook.LogChange, error) {
	var out runbook.LogChange
	if !isLog(in.Path) || !filepath.IsLocal(in.Path) || in.OlderThan <= 0 {
		return out, runbook.Fail(runbook.Refused, "%q is not compressed: only logs (*.log) of an age are", in.Path)
	}
	root, err := h.open(in.Directory)
	if err != nil {
		return out, err
	}
	defer root.Close()
	defer beating(ctx)()
	c := compression{root: root, in: in}
	info, err := root.Lstat(in.Path)
	switch {
	case os.IsNotExist(err):
		return c.gone(ctx)
	case err != nil:
		return out, classify(err, in.Path)
	}
	out.BytesBefore, out.BytesAfter = info.Size(), info.Size()
	if out.Why, err = h.keep(root, in, info); err != nil || out.Why != "" {
		return out, err
	}
	c.info = info
	if out.BytesAfter, err = c.run(ctx); err != nil {
		out.BytesAfter = info.Size()
		return out, classify(err, in.Path)
	}
	if out.Why, err = c.changed(h); err != nil || out.Why != "" {
		out.BytesAfter = info.Size()
		return out, firstOf(classify(err, in.Path), c.discard())
	}
	out.Changed = true
	return out, classify(c.replace(), in.Path)
}

// compression is the work on one file.
type compression struct {
	root *os.Root
	in   runbook.LogInput
	info os.FileInfo
	// kept says that a complete archive was there already.
	kept bool
}

func (c *compression) target() string { return c.in.Path + archive }
func (c *compression) half() string   { return c.in.Path + archive + partial }

// gone answers for a log that is not there: a predecessor of this act has replaced
// it, or somebody has taken it away.
func (c *compression) gone(ctx context.Context) (runbook.LogChange, error) {
	info, err := c.root.Lstat(c.target())
	switch {
	case err == nil && retried(ctx):
		return runbook.LogChange{Changed: true, BytesAfter: info.Size()}, nil
	case err == nil:
		return runbook.LogChange{BytesAfter: info.Size(), Why: "compressed already"}, nil
	case os.IsNotExist(err):
		return runbook.LogChange{Why: "gone already"}, nil
	default:
		return runbook.LogChange{}, classify(err, c.target())
	}
}

// run writes the archive beside the log, unless a predecessor has, and proves that
// it holds the log. It answers the archive's size.
func (c *compression) run(ctx context.Context) (int64, error) {
	if info, err := c.root.Lstat(c.target()); err == nil {
		return info.Size(), c.prove(ctx)
	} else if !os.IsNotExist(err) {
		return 0, err
	}
	size, sum, err := c.write(ctx)
	if err == nil {
		err = c.readBack(ctx, c.half(), sum)
	}
	if err != nil {
		_ = c.discard() // the error that matters is the first
	}
	return size, err
}

// prove holds an archive that is there already against the log.
func (c *compression) prove(ctx context.Context) error {
	f, err := c.root.Open(c.in.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, under(ctx, f)); err != nil {
		return err
	}
	if err := c.readBack(ctx, c.target(), sum.Sum(nil)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return runbook.Fail(runbook.Refused, "%s is there already and does not hold %s: move one of them away", c.target(), c.in.Path)
	}
	c.kept = true
	return nil
}

// write compresses into the partial file and answers its size and the log's hash.
// Owner, mode and times are the log's, since age is judged by them.
func (c *compression) write(ctx context.Context) (size int64, sum []byte, err error) {
	from, err := c.root.Open(c.in.Path)
	if err != nil {
		return 0, nil, err
	}
	defer from.Close()
	if err := c.discard(); err != nil {
		return 0, nil, err
	}
	to, err := c.root.OpenFile(c.half(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, c.info.Mode().Perm())
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = firstOf(err, to.Close()) }()
	hash, packed := sha256.New(), gzip.NewWriter(to)
	packed.Name, packed.ModTime = filepath.Base(c.in.Path), c.info.ModTime()
	if _, err := io.Copy(io.MultiWriter(hash, packed), under(ctx, from)); err != nil {
		return 0, nil, err
	}
	if err := firstOf(packed.Close(), c.dress(), to.Sync()); err != nil {
		return 0, nil, err
	}
	info, err := to.Stat()
	if err != nil {
		return 0, nil, err
	}
	return info.Size(), hash.Sum(nil), nil
}

func (c *compression) dress() error {
	if owner, ok := c.info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := c.root.Chown(c.half(), int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return firstOf(c.root.Chmod(c.half(), c.info.Mode().Perm()), c.root.Chtimes(c.half(), c.info.ModTime(), c.info.ModTime()))
}

// readBack decompresses every byte and compares the hash.
func (c *compression) readBack(ctx context.Context, name string, want []byte) error {
	f, err := c.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	plain, err := gzip.NewReader(under(ctx, f))
	if err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, plain); err != nil {
		return err
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return runbook.Fail(runbook.Corrupt, "%s does not give back what was written: the disk or the memory of this machine lies", name)
	}
	return nil
}

// changed takes the second look: a log that is not as it was when the work began
// is left alone.
func (c *compression) changed(h Hand) (string, error) {
	info, err := c.root.Lstat(c.in.Path)
	if err != nil {
		return "", err
	}
	if !os.SameFile(info, c.info) || info.Size() != c.info.Size() || !info.ModTime().Equal(c.info.ModTime()) {
		return "changed while it was read", nil
	}
	return h.keep(c.root, c.in, info)
}

// replace gives the archive its name and takes the log away, in this order.
func (c *compression) replace() error {
	if !c.kept {
		if err := c.root.Rename(c.half(), c.target()); err != nil {
			return err
		}
	}
	if err := syncDir(c.root, c.in.Path); err != nil {
		return err
	}
	if err := c.root.Remove(c.in.Path); err != nil {
		return err
	}
	return syncDir(c.root, c.in.Path)
}

// discard removes the partial file, ours or a killed predecessor's.
func (c *compression) discard() error {
	if err := c.root.Remove(c.half()); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// under reads until ctx ends.
func under(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

type readerFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
