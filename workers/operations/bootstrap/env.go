package bootstrap

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"

	"github.com/leanvibe/hive/activities/policy"
)

// Where the two projects' image switches stand: the stack's relative to the project,
// the platform's relative to hive's sources.
const (
	stackEnv    = policy.EnvFile
	platformEnv = "deploy/platform/.env"
)

// What the platform's compose file is told of the project that it serves.
const (
	projectVariable = "HIVE_PROJECT_DIR"
	dataVariable    = "HIVE_DATA"
)

// origin is where images that are not our own come from.
type origin string

const (
	upstream origin = "upstream"
	local    origin = "local"
	// originKey records the choice in stackEnv: another one later would change every
	// service's configuration under a running stack.
	originKey = "HIVE_IMAGES"
)

// recorded is the choice that an earlier call made, "" where there was none.
func recorded(file string) (origin, error) {
	env, err := readEnv(file)
	if err != nil {
		return "", err
	}
	return parseOrigin(env[originKey])
}

func parseOrigin(text string) (origin, error) {
	switch o := origin(text); o {
	case "", upstream, local:
		return o, nil
	default:
		return "", fmt.Errorf("%s=%s: want upstream (images are pulled) or local (images are made from Debian packages)", originKey, text)
	}
}

func readEnv(file string) (map[string]string, error) {
	env, err := dotenv.Read(file)
	if errors.Is(err, os.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; it is written by hive up: remove it to have it written again", file, err)
	}
	return env, nil
}

// managed are the variables that hive up sets and takes away; others in the file
// are an operator's and stay.
func managed() []string {
	keys := []string{originKey, projectVariable, dataVariable}
	for _, r := range recipes {
		if r.env != "" {
			keys = append(keys, r.env)
		}
	}
	for _, p := range applications {
		keys = append(keys, p.env)
	}
	return keys
}

// writeEnv brings the file to hold exactly ours, and an operator's own lines.
func writeEnv(file string, ours map[string]string) (changed bool, err error) {
	const private = 0o600
	now, err := readEnv(file)
	if err != nil {
		return false, err
	}
	want := maps.Clone(now)
	for _, key := range managed() {
		delete(want, key)
	}
	maps.Copy(want, ours)
	if maps.Equal(now, want) {
		return false, os.Chmod(file, private)
	}
	var text strings.Builder
	text.WriteString("# Written by `hive up`: which images this machine runs. Plain docker compose reads it too.\n")
	for _, key := range slices.Sorted(maps.Keys(want)) {
		fmt.Fprintf(&text, "%s=%s\n", key, quote(want[key]))
	}
	return true, writeWhole(file, []byte(text.String()), private)
}

// quote writes a value so that the Compose reader takes it for what it is.
func quote(value string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._:@-+", r)
	}
	if !strings.ContainsFunc(value, func(r rune) bool { return !plain(r) }) {
		return value
	}
	if !strings.Contains(value, "'") {
		return "'" + value + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(value) + `"`
}

// stackVariables names the stack's images.
func stackVariables(from origin, images map[string]made) map[string]string {
	env := map[string]string{originKey: string(from)}
	for _, p := range applications {
		env[p.env] = p.image
	}
	for _, r := range recipes {
		if m, ok := images[r.name]; ok && r.env != "" && r.env != registryVariable {
			env[r.env] = m.tag
		}
	}
	return env
}

// What the platform runs of what is built here; the database's image is the stack's too.
const (
	registryVariable = "REGISTRY_IMAGE"
	postgresVariable = "POSTGRES_IMAGE"
)

// platformVariables names the platform's images and the project's place on the host,
// and for a project that is not the repository's the choice of images and its data.
func (g ground) platformVariables(from origin, images map[string]made) map[string]string {
	env := map[string]string{projectVariable: filepath.Clean(g.dir)}
	if !g.own() { // there is no file of the stack's that could record it
		env[originKey], env[dataVariable] = string(from), g.data()
	}
	for _, r := range recipes {
		if m, ok := images[r.name]; ok && (r.env == registryVariable || r.env == postgresVariable) {
			env[r.env] = m.tag
		}
	}
	return env
}
