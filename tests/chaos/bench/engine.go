package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	dockerclient "github.com/docker/docker/client"
	"golang.org/x/sys/unix"

	"github.com/leanvibe/hive/activities/docker"
)

// Engine is a container engine of the kit's own, which may be killed: containers outlive it (live-restore), and it is
// started again at once. It must run in a network namespace of its own, because its start rewrites the rules of the
// other engine's networks; whoever wants it enters that namespace first, see Enter.
type Engine struct {
	process *child
	data    string
	pidFile string
}

const (
	// namespace and runDir are the engine's; its sockets need a short path.
	namespace = "hivechaos"
	runDir    = "/run/hivechaos"
	// HostEngine names, inside the namespace, the engine that has the images.
	HostEngine = "HIVE_CHAOS_HOST_ENGINE"
)

// Enter runs a command of this program in a network namespace of its own, with DOCKER_HOST naming the engine that it
// will start there. The namespace and the engine's data go at the end.
func Enter(ctx context.Context, args []string) error {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = dockerclient.DefaultDockerHost
	}
	_ = exec.CommandContext(ctx, "ip", "netns", "delete", namespace).Run() // one that a killed kit left
	for _, command := range [][]string{{"ip", "netns", "add", namespace}, {"ip", "-n", namespace, "link", "set", "lo", "up"}} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("a network namespace for the private engine, which takes root: %v: %w: %s", command, err, out)
		}
	}
	defer func() { _ = exec.Command("ip", "netns", "delete", namespace).Run() }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=/var/run/netns/" + namespace, self}, args...)...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+runDir+"/engine.sock", HostEngine+"="+host)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = closeMax
	return cmd.Run()
}

// StartEngine starts the engine, inside the namespace, and gives it the images that it lacks.
func StartEngine(ctx context.Context, dir string, images map[string]string, out io.Writer) (e *Engine, err error) {
	data, config := filepath.Join(dir, "engine"), filepath.Join(dir, "engine.json")
	e = &Engine{data: data, pidFile: filepath.Join(runDir, "engine.pid")}
	if err := errors.Join(os.MkdirAll(runDir, 0o700), put(config, []byte("{}\n"), 0o644), os.MkdirAll(data, 0o700)); err != nil {
		return e, err
	}
	e.process = &child{name: "dockerd", command: func() *exec.Cmd {
		_ = os.Remove(e.pidFile) // what a killed one left keeps the next from starting
		// Without a file of its own it reads the machine's, which sets the same options.
		return exec.Command("dockerd", "--config-file", config, "--data-root", data, "--exec-root", filepath.Join(runDir, "exec"),
			"-H", "unix://"+runDir+"/engine.sock", "--pidfile", e.pidFile, "--mtu", "1400", "--storage-driver", "overlay2",
			"--live-restore", "--userland-proxy=false")
	}}
	if err := e.process.start(filepath.Join(dir, "engine.out")); err != nil {
		return e, err
	}
	api, err := docker.Open()
	if err != nil {
		return e, err
	}
	defer api.Close()
	if err := until(ctx, time.Minute, "the private engine (see engine.out)", func(ctx context.Context) error {
		_, err := api.Ping(ctx)
		return err
	}); err != nil {
		return e, err
	}
	return e, e.fill(ctx, api, images, out)
}

// fill carries images over from the machine's engine: nothing of the world can be reached from the namespace.
func (e *Engine) fill(ctx context.Context, api *dockerclient.Client, images map[string]string, out io.Writer) error {
	host, err := dockerclient.NewClientWithOpts(dockerclient.WithHost(os.Getenv(HostEngine)), dockerclient.WithAPIVersionNegotiation())
	if err != nil {
		return err
	}
	defer host.Close()
	for _, name := range images {
		if _, err := api.ImageInspect(ctx, name); err == nil {
			continue
		}
		fmt.Fprintf(out, "carrying %s over to the private engine\n", name)
		stream, err := host.ImageSave(ctx, []string{name})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		loaded, err := api.ImageLoad(ctx, stream)
		_ = stream.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		_, err = io.Copy(io.Discard, loaded.Body)
		_ = loaded.Body.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// kill ends the engine with SIGKILL; it is started again at once.
func (e *Engine) kill(ctx context.Context) error { return e.process.kill(ctx) }

// Stop ends the engine for good, in good order, so that what it started beside itself goes with it.
func (e *Engine) Stop(ctx context.Context) error {
	if e.process == nil || e.process.process == nil {
		return nil
	}
	e.process.end(ctx)
	// It leaves its data mounted upon itself.
	if err := unix.Unmount(e.data, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%s: %w", e.data, err)
	}
	return errors.Join(os.RemoveAll(e.data), os.RemoveAll(runDir))
}
