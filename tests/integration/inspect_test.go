package integration

import (
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/network"
	"github.com/stretchr/testify/require"
)

// What the engine says of our containers, networks and volumes is what it says of
// those that the CLI makes of the same file.
func TestInspectIsTheCLIs(t *testing.T) {
	s := newStack(t, "rich.yaml")
	s.up()
	theirs := s.inspected()
	s.tidyContainers(t.Context())
	s.create(load(t, s.file))
	ours := s.inspected()
	for name, text := range theirs {
		require.Equal(t, text, ours[name], name)
	}
	require.Equal(t, []int{everything, everything}, []int{len(theirs), len(ours)})
}

// inspected are the engine's documents as lines "path = value", without what
// differs between two of the same: ids, times, addresses and our own labels.
func (s *stack) inspected() map[string]string {
	s.t.Helper()
	ctx, out := s.t.Context(), map[string]string{}
	for _, c := range s.containers(ctx) {
		full, err := s.api.ContainerInspect(ctx, c.ID)
		require.NoError(s.t, err)
		out["container "+full.Name] = flat(s.t, full)
	}
	p := load(s.t, s.file)
	for _, n := range p.Networks {
		full, err := s.api.NetworkInspect(ctx, n.Name, network.InspectOptions{})
		require.NoError(s.t, err)
		full.Containers = nil
		out["network "+n.Name] = flat(s.t, full)
	}
	for _, v := range p.Volumes {
		full, err := s.api.VolumeInspect(ctx, v.Name)
		require.NoError(s.t, err)
		out["volume "+v.Name] = flat(s.t, full)
	}
	return out
}

// own are paths that tell one container from another of the same making.
var own = regexp.MustCompile(`^(Id|ID|Created|CreatedAt|State\..*|RestartCount|ResolvConfPath|HostnamePath|HostsPath|LogPath|GraphDriver\..*|ExecIDs.*` +
	`|Config\.Labels\.hive\..*|NetworkSettings\.(SandboxID|SandboxKey|EndpointID|MacAddress|Gateway|IPAddress|IPPrefixLen|Ports\..*HostPort)` +
	`|NetworkSettings\.Networks\.[^.]*\.(NetworkID|EndpointID|MacAddress|IPAddress|IPPrefixLen|Gateway))$|\.Created(At)?$`)

// given is what the engine chooses: names of containers without a hostname and of
// anonymous volumes, host ports, subnets, with their size, of networks that configure none.
var given = regexp.MustCompile(`[0-9a-f]{64}|\b[0-9a-f]{12}\b|"HostPort":"[0-9]{5}"|\b(172|192\.168)(\.[0-9]+){2,3}(/[0-9]+)?`)

// masked leaves the labels alone: their hashes must be equal.
func masked(path, text string) string {
	if strings.Contains(path, "Labels.") {
		return text
	}
	return given.ReplaceAllString(text, "<given>")
}

func flat(t *testing.T, v any) string {
	t.Helper()
	body, err := json.Marshal(v)
	require.NoError(t, err)
	var tree any
	require.NoError(t, json.Unmarshal(body, &tree))
	var lines []string
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch x := v.(type) {
		case map[string]any:
			for k, inner := range x {
				walk(strings.TrimPrefix(path+"."+k, "."), inner)
			}
		case []any:
			// the CLI's lists come out of maps, in any order
			var inner []string
			for _, e := range x {
				text, err := json.Marshal(e)
				require.NoError(t, err)
				inner = append(inner, masked(path, string(text)))
			}
			sort.Strings(inner)
			if !own.MatchString(path) {
				lines = append(lines, fmt.Sprintf("%s = %s", path, strings.Join(inner, ", ")))
			}
		default:
			if !own.MatchString(path) {
				lines = append(lines, fmt.Sprintf("%s = %s", path, masked(path, fmt.Sprint(x))))
			}
		}
	}
	walk("", tree)
	for i, line := range lines {
		if dependsOn, ok := strings.CutPrefix(line, "Config.Labels.com.docker.compose.depends_on = "); ok {
			parts := strings.Split(dependsOn, ",")
			sort.Strings(parts)
			lines[i] = "depends_on = " + strings.Join(parts, ",")
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
