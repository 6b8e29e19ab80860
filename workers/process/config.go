package process

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/leanvibe/hive/workers/process/access"
)

// Config is what every process is told from outside.
type Config struct {
	// Service is the compose service's name.
	Service string
	// Version is the build's version, from the linker.
	Version string
	// Instance names this replica: HIVE_INSTANCE, else the host's name.
	Instance string
	// Listen is the address to serve on: HIVE_LISTEN.
	Listen string
	// LogDir receives daily files <instance>-YYYY-MM-DD.log beside stdout;
	// empty: stdout only. HIVE_LOG_DIR.
	LogDir string
	// AccessFile holds the tokens of those who may call: HIVE_ACCESS_FILE. Empty:
	// everybody may, and the process says so once. docs/access.md.
	AccessFile string
	// TLSCert and TLSKey are the files of a TLS pair: HIVE_TLS_CERT_FILE and
	// HIVE_TLS_KEY_FILE, both or neither. Neither: plain HTTP.
	TLSCert, TLSKey string
	// Limits of a request; the zero value is access.DefaultLimits.
	Limits access.Limits
	// DrainMin is how long new requests are answered 503 before the listener
	// closes, so that the proxy learns: HIVE_DRAIN_MIN, default 1 s.
	DrainMin time.Duration
	// ShutdownMax bounds the wait for requests in flight: 25 s.
	ShutdownMax time.Duration
}

const (
	defaultDrainMin    = time.Second
	defaultShutdownMax = 25 * time.Second
)

// FromEnv reads Config from the environment. It fails when a value cannot be
// read, naming the variable.
func FromEnv(service, version, defaultListen string) (Config, error) {
	instance := os.Getenv("HIVE_INSTANCE")
	if instance == "" {
		host, err := os.Hostname()
		if err != nil {
			return Config{}, fmt.Errorf("no HIVE_INSTANCE and no host name: %w", err)
		}
		instance = host
	}
	if !instancePattern.MatchString(instance) {
		return Config{}, fmt.Errorf("HIVE_INSTANCE: %q is not a name of letters, digits, '.', '_', '-': it becomes part of a file name", instance)
	}
	drain, err := Duration("HIVE_DRAIN_MIN", defaultDrainMin)
	if err != nil {
		return Config{}, err
	}
	return Config{
		Service:     service,
		Version:     version,
		Instance:    instance,
		Listen:      String("HIVE_LISTEN", defaultListen),
		LogDir:      os.Getenv("HIVE_LOG_DIR"),
		AccessFile:  os.Getenv("HIVE_ACCESS_FILE"),
		TLSCert:     os.Getenv("HIVE_TLS_CERT_FILE"),
		TLSKey:      os.Getenv("HIVE_TLS_KEY_FILE"),
		DrainMin:    drain,
		ShutdownMax: defaultShutdownMax,
	}, nil
}

var instancePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// String reads a variable, or answers the fallback when it is empty.
func String(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

// List reads a comma-separated variable; blanks around entries are dropped.
func List(name string) []string {
	var out []string
	for _, v := range strings.Split(os.Getenv(name), ",") {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// Duration reads a positive duration such as "90s".
func Duration(name string, fallback time.Duration) (time.Duration, error) {
	v := os.Getenv(name)
	if v == "" {
		return fallback, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s: %q is not a positive duration; write for example %q", name, v, fallback)
	}
	return d, nil
}

// ErrEmptySecret is returned for a secret file without content.
var ErrEmptySecret = errors.New("the secret file is empty")

// Secret reads the file that the variable names; an unset variable is an empty
// secret. One trailing newline is dropped.
func Secret(name string) (string, error) {
	path := os.Getenv(name)
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s: %s: %w", name, path, ErrEmptySecret)
	}
	return secret, nil
}
