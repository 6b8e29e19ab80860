package main

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/server/schema/sqlite"
)

// minRetention is what the server itself accepts as least.
const minRetention = 24 * time.Hour

// settings is what the command line says.
type settings struct {
	data        string
	bind        string
	port        int
	uiPort      int
	metricsPort int
	namespace   string
	retention   time.Duration
	banner      string
	logLevel    string
	// extra are search attributes beyond the platform's own, name to type.
	extra map[string]string
}

func defaults() *settings {
	return &settings{
		data:        "data",
		bind:        "127.0.0.1",
		port:        7233,
		uiPort:      8233,
		metricsPort: 9333,
		namespace:   "ops",
		retention:   30 * 24 * time.Hour,
		banner:      "PRODUCTION · leanvibe",
		logLevel:    "warn",
	}
}

// validate reports every mistake of the command line at once.
func (s *settings) validate() error {
	var all []error
	if ip := net.ParseIP(s.bind); ip == nil || !ip.IsLoopback() {
		all = append(all, fmt.Errorf("--bind %q is not a loopback address: there is no login, so nothing may listen beyond this machine; "+
			"reach it from elsewhere through an SSH tunnel (ssh -L %d:127.0.0.1:%d host)", s.bind, s.uiPort, s.uiPort))
	}
	if s.retention < minRetention {
		all = append(all, fmt.Errorf("--retention %s is below %s, the least the server accepts", s.retention, minRetention))
	}
	if s.namespace == "" {
		all = append(all, errors.New("--namespace is empty"))
	}
	switch s.logLevel {
	case "debug", "info", "warn", "error":
	default:
		all = append(all, fmt.Errorf("--log-level %q is none of debug, info, warn, error", s.logLevel))
	}
	if _, err := searchAttributes(s.extra); err != nil {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// database is the path of the SQLite file. Its name carries the schema's version, because the server does not migrate
// SQLite files: a newer schema starts a file of its own beside the old one instead of failing on it.
func (s *settings) database() string {
	return filepath.Join(s.data, "temporal-schema-"+sqlite.Version+"-"+sqlite.VisibilityVersion+".db")
}

// address joins the bind address with a port.
func (s *settings) address(port int) string { return net.JoinHostPort(s.bind, strconv.Itoa(port)) }

// checkPorts reports the ports that are taken, by flag, before anything is started.
func (s *settings) checkPorts() error {
	var taken []string
	for _, p := range []struct {
		flag string
		port int
	}{{"--port", s.port}, {"--ui-port", s.uiPort}, {"--metrics-port", s.metricsPort}} {
		l, err := net.Listen("tcp", s.address(p.port))
		if err != nil {
			taken = append(taken, fmt.Sprintf("%s %d (%v)", p.flag, p.port, err))
			continue
		}
		_ = l.Close()
	}
	if len(taken) == 0 {
		return nil
	}
	return fmt.Errorf("cannot listen: %s; stop what holds the port or choose another", strings.Join(taken, ", "))
}

// freePorts asks the kernel for unused ports of the bind address, for the services that only this process calls. Each is
// held until the last is found: one that is let go at once may be given a second time. So may one that a flag names,
// while nobody listens on it yet.
func (s *settings) freePorts(n int) ([]int, error) {
	named := []int{s.port, s.uiPort, s.metricsPort}
	var ports []int
	for len(ports) < n {
		l, err := net.Listen("tcp", s.address(0))
		if err != nil {
			return nil, fmt.Errorf("find a free port on %s: %w", s.bind, err)
		}
		defer func() { _ = l.Close() }()
		if port := l.Addr().(*net.TCPAddr).Port; !slices.Contains(named, port) {
			ports = append(ports, port)
		}
	}
	return ports, nil
}
