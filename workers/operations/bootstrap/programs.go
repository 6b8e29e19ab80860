package bootstrap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// registryAddress is where the platform's own registry answers.
const registryAddress = "127.0.0.1:5000"

// program is one of our own binaries and the image it becomes.
type program struct {
	name string
	// module is the Go module's directory and pkg the main package in it.
	module, pkg string
	// dockerfile is the image's directory; binary is what its Dockerfile copies.
	dockerfile, binary string
	// base is the recipe that it stands on where images are made here, upstream the
	// image where they are pulled; both empty means scratch.
	base, upstream string
	image          string
	// env is the variable in the stack's compose file, "" for the platform's own.
	env string
}

// pushed says whether the image goes through the registry: what procedures roll does.
func (p program) pushed() bool { return strings.HasPrefix(p.image, registryAddress+"/") }

func application(service, command, env string) program {
	return program{
		name: service, module: ".", pkg: "./cmd/" + command, dockerfile: "deploy/images/app", binary: service,
		base: "busybox", upstream: "busybox:stable", image: registryAddress + "/leanvibe/" + service + ":2.0", env: env,
	}
}

var (
	applications = []program{
		application("universal-orchestrator", "orchestrator", "ORCHESTRATOR_IMAGE"),
		application("communication-hub", "hub", "HUB_IMAGE"),
		application("specialized-engines", "engine", "ENGINE_IMAGE"),
	}
	opsworker = program{
		name: "opsworker", module: ".", pkg: "./cmd/opsworker", dockerfile: "deploy/platform/opsworker", binary: "opsworker",
		base: "base", upstream: "debian:bookworm-slim", image: "hive/opsworker:local",
	}
	temporal = program{
		name: "temporal", module: "deploy/temporal", pkg: ".", dockerfile: "deploy/platform/temporal", binary: "hive-temporal",
		image: "hive/temporal:local",
	}
)

// build makes the program's image if its sources, its Dockerfile or its base have
// changed since the one that is here, and answers the tag that it gave it, "" for
// nothing new. The image's own tag moves only where it names nothing yet, or where
// no roll looks after it: what an application runs, a procedure changes.
func (b *builder) build(ctx context.Context, p program, base made) (tag string, err error) {
	t := b.progress.begin(p.name)
	defer t.quit()
	id, labels, err := b.have(ctx, p.image)
	if err != nil {
		return "", err
	}
	if _, err := exec.LookPath("go"); err != nil {
		if id != "" {
			b.progress.say("%s: Go is not installed here, so the image stays as it is", p.image)
			return "", nil
		}
		return "", fmt.Errorf("%s is built from source and Go is not installed here: install the Go that go.mod names, or bring the image", p.image)
	}
	inputs, err := b.inputs(ctx, p, base, t)
	if err != nil {
		return "", err
	}
	if id != "" && labels[inputsLabel] == inputs {
		return "", nil
	}
	tag = p.image
	if id != "" && p.pushed() {
		tag += "-" + inputs
		if _, found, err := manifest(ctx, tag); err == nil && found {
			return "", nil // an earlier call has pushed it, and no roll has adopted it yet
		}
	}
	version := sourceVersion(ctx, b.dir)
	if _, err := b.program(ctx, p, base, tag, inputs, version, t); err != nil {
		return "", err
	}
	t.done("%s: version %s", tag, version)
	return tag, nil
}

// program compiles and makes the image.
func (b *builder) program(ctx context.Context, p program, base made, tag, inputs, version string, t *task) (string, error) {
	const directory = 0o755
	binary := filepath.Join(b.dir, "out", "build", p.binary)
	if err := os.MkdirAll(filepath.Dir(binary), directory); err != nil {
		return "", err
	}
	t.at("linking")
	if _, err := b.golang(ctx, p, t, "build", "-ldflags", "-s -w -X main.version="+version, "-o", binary, p.pkg); err != nil {
		return "", err
	}
	files := []content{{name: "Dockerfile", path: filepath.Join(b.dir, p.dockerfile, "Dockerfile")}, {name: p.binary, path: binary}}
	args := map[string]string{}
	if base.tag != "" {
		args["BASE"] = base.tag
	}
	if p.dockerfile == "deploy/images/app" {
		args["BINARY"] = p.binary
	}
	return b.make(ctx, files, tag, args, map[string]string{inputsLabel: inputs, versionLabel: version}, t, nil)
}

// inputs is the hash of everything that the program's image is made of. The
// compiler's own build ids cover each package below it and leave out the version,
// which the linker puts in: a newer version of the same sources has equal inputs.
func (b *builder) inputs(ctx context.Context, p program, base made, t *task) (string, error) {
	ids, err := b.golang(ctx, p, t, "list", "-v", "-export", "-deps", "-f", "{{.BuildID}}", p.pkg)
	if err != nil {
		return "", err
	}
	return digest([]content{{name: "Dockerfile", path: filepath.Join(b.dir, p.dockerfile, "Dockerfile")}},
		fmt.Sprintf("%x", sha256.Sum256(ids)), base.id, runtime.Version())
}

// golang runs the Go command in the program's module. Static, because the images
// have no C library; without -trimpath, so that the compiler's cache is the one of
// `go build`, `go run` and `go test`, and nothing is compiled twice.
func (b *builder) golang(ctx context.Context, p program, t *task, verb string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "go", append([]string{verb, "-buildvcs=false"}, args...)...)
	command.Dir = filepath.Join(b.dir, p.module)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS=linux")
	interruptGroup(command)
	var out bytes.Buffer
	var said lastWords
	compiled := 0
	said.each = func(line string) {
		if strings.HasPrefix(line, "go: downloading ") {
			t.at("%s", strings.TrimPrefix(line, "go: "))
			return
		}
		compiled++
		t.at("%d packages compiled, %s", compiled, line)
	}
	command.Stdout, command.Stderr = &out, &said
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("go %s %s: %w\n%s", verb, p.pkg, err, said.String())
	}
	return out.Bytes(), nil
}

// sourceVersion is what git calls the sources, or dev outside a repository.
func sourceVersion(ctx context.Context, dir string) string {
	command := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty")
	command.Dir = dir
	out, err := command.Output()
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		return "dev"
	}
	return string(bytes.TrimSpace(out))
}

// basis is the image that a program stands on.
func basis(ctx context.Context, p program, images localImages) (made, error) {
	switch {
	case p.base == "":
		return made{}, nil
	case images == nil:
		return made{tag: p.upstream}, nil
	default:
		at, ok := images[p.base]
		if !ok {
			return made{}, errors.New("no recipe for " + p.base)
		}
		return at.wait(ctx)
	}
}
