package bootstrap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/image"
)

// root is a Debian root file system that becomes an image without a parent.
type root struct {
	name    string
	release string
	include []string
}

var (
	debianRoot = root{name: "base", release: suite}
	nginxRoot  = root{name: "nginx-base", release: newest, include: []string{"nginx"}}
)

// arguments are mmdebstrap's, without the mirror. Documentation is removed by a
// hook, which is a quarter faster than dpkg's path-exclude; Release files of a
// mirror's copy may have run out, and that is no reason to refuse them. A root that
// images are derived from keeps its package lists, compressed: nine times
// apt-get update took half as long as everything else.
func (r root) arguments() []string {
	args := []string{
		"--variant=minbase",
		`--aptopt=Acquire::Languages "none"`,
		`--aptopt=Acquire::Check-Valid-Until "false"`,
		`--aptopt=APT::Install-Recommends "false"`,
		`--aptopt=Acquire::GzipIndexes "true"`,
		`--aptopt=Dir::Cache::pkgcache ""`,
		`--aptopt=Dir::Cache::srcpkgcache ""`,
		"--dpkgopt=force-unsafe-io",
		`--customize-hook=rm -rf "$1"/usr/share/doc "$1"/usr/share/man "$1"/usr/share/info "$1"/usr/share/locale`,
	}
	if len(r.include) > 0 {
		args = append(args, "--include="+strings.Join(r.include, ","))
	} else {
		args = append(args, "--skip=cleanup/apt/lists")
	}
	return append(args, r.release, "-")
}

var importChanges = []string{`CMD ["bash"]`, "ENV LANG=C.UTF-8"}

func (r root) inputs() string {
	return short(sha256.Sum256([]byte(strings.Join(append(r.arguments(), importChanges...), "\x00"))))
}

func short(sum [sha256.Size]byte) string { return fmt.Sprintf("%x", sum[:6]) }

// importRoot has mmdebstrap make the root and the engine take it, without a file
// between. A failed mmdebstrap leaves an empty image and a contented engine, so
// both ends and the size are looked at before the image gets its name.
func (b *builder) importRoot(ctx context.Context, r root, tag string, t *task) (string, error) {
	if err := b.tools(ctx, t); err != nil {
		return "", err
	}
	from, err := hostMirrors("/etc/apt")
	if err != nil {
		return "", err
	}
	lists := from.lists(r.release)
	args := r.arguments()
	if strings.HasPrefix(from.main+from.security, "https:") || strings.HasPrefix(from.security, "https:") {
		args = append([]string{"--include=ca-certificates"}, args...)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	scratch, err := os.MkdirTemp("", "hive-mmdebstrap-")
	if err != nil {
		return "", err
	}
	// Told to stop, it leaves files behind; what it mounts, it mounts for itself alone.
	defer func() { _ = os.RemoveAll(scratch) }()
	const forAll = 0o755 // apt fetches as a user of its own
	if err := os.Chmod(scratch, forAll); err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, "mmdebstrap", append(args, lists...)...)
	command.Env = append(os.Environ(), "TMPDIR="+scratch)
	interruptGroup(command)
	var said lastWords
	command.Stderr = &said
	said.each = func(line string) { t.at("%s", strings.TrimPrefix(line, "I: ")) }
	reader, writer := io.Pipe()
	command.Stdout = writer
	if err := command.Start(); err != nil {
		return "", fmt.Errorf("mmdebstrap: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		err := command.Wait()
		if err != nil {
			err = fmt.Errorf("mmdebstrap of %s: %w\n%s", r.release, err, said.String())
		}
		_ = writer.CloseWithError(err) // nil is the end of the stream; an error breaks the import off
		ended <- err
	}()
	id, importErr := b.load(ctx, reader)
	if importErr != nil {
		cancel()
	}
	_ = reader.CloseWithError(errors.New("the engine took no more"))
	if err := <-ended; err != nil && (importErr == nil || ctx.Err() == nil) {
		return "", err
	}
	if importErr != nil {
		return "", fmt.Errorf("import of %s: %w", r.name, importErr)
	}
	const least = 30 << 20
	made, err := b.api.ImageInspect(ctx, id)
	if err != nil {
		return "", fmt.Errorf("image %s: %w", r.name, err)
	}
	if made.Size < least {
		return "", fmt.Errorf("image %s has %d bytes, which no Debian fits in; mmdebstrap said:\n%s", r.name, made.Size, said.String())
	}
	return id, b.api.ImageTag(ctx, id, tag)
}

func (b *builder) load(ctx context.Context, tar io.Reader) (string, error) {
	body, err := b.api.ImageImport(ctx, image.ImportSource{Source: tar, SourceName: "-"}, "", image.ImportOptions{Changes: importChanges})
	if err != nil {
		return "", err
	}
	defer body.Close()
	var id string
	err = stream(body, func(m message) {
		if strings.HasPrefix(m.Status, "sha256:") {
			id = m.Status
		}
	})
	if err == nil && id == "" {
		err = errors.New("the engine named no image")
	}
	return id, err
}

// tools installs mmdebstrap where it is missing.
func (b *builder) tools(ctx context.Context, t *task) error {
	b.aptOnce.Lock()
	defer b.aptOnce.Unlock()
	if _, err := exec.LookPath("mmdebstrap"); err == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("no image registry is reachable, and without apt-get no image can be made here: let the engine reach a registry, or run on Debian")
	}
	if os.Geteuid() != 0 {
		return errors.New("no image registry is reachable, and images are made by mmdebstrap, which is missing: run once as root: apt-get install mmdebstrap")
	}
	b.progress.say("no image registry is reachable: images are made from Debian packages; installing mmdebstrap for that")
	t.at("apt-get install mmdebstrap")
	for _, args := range [][]string{{"-qq", "update"}, {"-qq", "install", "-y", "--no-install-recommends", "mmdebstrap"}} {
		command := exec.CommandContext(ctx, "apt-get", args...)
		command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// interruptGroup has a cancelled command and its children end in order: a
// terminal's ^C reaches the whole group anyway, and mmdebstrap cleans up after
// itself when it is asked.
func interruptGroup(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	c.WaitDelay = 10 * time.Second
}

// lastWords keeps the end of what a command says, for the error if it fails.
type lastWords struct {
	each func(line string)
	rest []byte
	kept []string
}

func (l *lastWords) Write(p []byte) (int, error) {
	const most = 15
	l.rest = append(l.rest, p...)
	for {
		at := bytes.IndexAny(l.rest, "\r\n")
		if at < 0 {
			return len(p), nil
		}
		line := strings.TrimSpace(colours.ReplaceAllString(string(l.rest[:at]), ""))
		l.rest = l.rest[at+1:]
		if line == "" {
			continue
		}
		if l.each != nil {
			l.each(line)
		}
		if l.kept = append(l.kept, line); len(l.kept) > most {
			l.kept = l.kept[1:]
		}
	}
}

func (l *lastWords) String() string { return strings.Join(append(l.kept, string(l.rest)), "\n") }

var colours = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
