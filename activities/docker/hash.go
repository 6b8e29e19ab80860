package docker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"sort"

	"github.com/compose-spec/compose-go/v2/types"
)

// hashOrder is the order of a service's keys in the text that Compose hashes. It is
// the declaration order that compose-go had when the released hashes were made, and
// is taken from docker/compose v5.6.0, pkg/compose/hash.go (Apache-2.0). Keys that
// are not here follow, sorted.
var hashOrder = []string{
	"profiles", "annotations", "attach", "build", "develop", "blkio_config", "cap_add", "cap_drop", "cgroup_parent",
	"cgroup", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpus", "cpuset",
	"cpu_shares", "command", "configs", "container_name", "credential_spec", "depends_on", "deploy", "device_cgroup_rules",
	"devices", "dns", "dns_opt", "dns_search", "dockerfile", "domainname", "entrypoint", "provider", "environment",
	"env_file", "expose", "extends", "external_links", "extra_hosts", "group_add", "gpus", "hostname", "healthcheck",
	"image", "init", "ipc", "isolation", "labels", "label_file", "links", "logging", "log_driver", "log_opt", "mem_limit",
	"mem_reservation", "memswap_limit", "mem_swappiness", "mac_address", "models", "net", "network_mode", "networks",
	"oom_kill_disable", "oom_score_adj", "pid", "pids_limit", "platform", "ports", "privileged", "pull_policy", "read_only",
	"restart", "runtime", "scale", "secrets", "security_opt", "shm_size", "stdin_open", "stop_grace_period", "stop_signal",
	"storage_opt", "sysctls", "tmpfs", "tty", "ulimits", "use_api_socket", "user", "userns_mode", "uts", "volume_driver",
	"volumes", "volumes_from", "working_dir", "pre_start", "post_start", "pre_stop", "pull_refresh_after",
}

// Hash returns the service's configuration hash, equal to what `docker compose
// config --hash` of CLI v5.6.0 prints: how it is built, scaled, pulled and ordered
// takes no part.
func Hash(svc types.ServiceConfig) (string, error) {
	svc.Build, svc.PullPolicy, svc.Scale, svc.DependsOn, svc.Profiles = nil, "", nil, nil, nil
	if svc.Deploy != nil {
		deploy := *svc.Deploy
		deploy.Replicas = nil
		svc.Deploy = &deploy
	}
	raw, err := json.Marshal(svc)
	if err != nil {
		return "", err
	}
	pinned, err := inOrder(raw, hashOrder)
	if err != nil {
		return "", err
	}
	return hexSum(pinned), nil
}

// inOrder writes the object again with its keys in the given order, values as they
// stand, and the rest sorted behind.
func inOrder(raw []byte, order []string) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	listed := make(map[string]bool, len(order))
	for _, key := range order {
		listed[key] = true
	}
	var rest []string
	for key := range fields {
		if !listed[key] {
			rest = append(rest, key)
		}
	}
	sort.Strings(rest)
	out := bytes.NewBufferString("{")
	for _, key := range append(append([]string{}, order...), rest...) {
		value, set := fields[key]
		if !set {
			continue
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		name, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

func networkHash(n types.NetworkConfig) (string, error) {
	raw, err := json.Marshal(&n)
	if err != nil {
		return "", err
	}
	return hexSum(raw), nil
}

func volumeHash(v types.VolumeConfig) (string, error) {
	if v.Driver == "" {
		v.Driver = "local"
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return hexSum(raw), nil
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
