package engine

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/leanvibe/hive/workers/process"
)

// fileSetting names the configuration file.
const fileSetting = "HIVE_ENGINE_CONFIG"

// agentSettings describe one group without a file; beside a file they would be
// ignored, which nobody would notice.
var agentSettings = []string{"HIVE_AGENTS", "HIVE_AGENT_CAPACITY", "HIVE_AGENT_CAPABILITIES"}

// configFromEnv reads the configuration from the file that HIVE_ENGINE_CONFIG
// names, or from the settings alone. The token is in the file HIVE_TOKEN_FILE, never
// in the configuration. HIVE_PROXY_URL, HIVE_STREAM_URL and HIVE_ENGINE_GRACE win over
// the file: they belong to the place where the engine runs.
func configFromEnv(own map[string]Handler) (Config, error) {
	cfg, err := hostedByEnv(own)
	if err != nil {
		return cfg, err
	}
	if place := process.String("HIVE_PROXY_URL", ""); place != "" {
		cfg.Orchestrator, cfg.Streams = place, "" // the file's streams are of the file's place
	}
	cfg.Streams = process.String("HIVE_STREAM_URL", cfg.Streams)
	if cfg.Orchestrator == "" {
		return cfg, errors.New("HIVE_PROXY_URL is empty: write where the orchestrator is reached, for example http://nginx")
	}
	if cfg.Token, err = process.Secret("HIVE_TOKEN_FILE"); err != nil {
		return cfg, err
	}
	cfg.Grace, err = process.Duration("HIVE_ENGINE_GRACE", or(cfg.Grace, graceDefault))
	return cfg, err
}

func hostedByEnv(own map[string]Handler) (Config, error) {
	if file := os.Getenv(fileSetting); file != "" {
		for _, name := range agentSettings {
			if os.Getenv(name) != "" {
				return Config{}, fmt.Errorf("%s is set and so is %s: write the agents in the file %s and unset %s", name, fileSetting, file, name)
			}
		}
		return readFile(file, own)
	}
	// What an engine had before there was a file, and the program's own handlers.
	group := Agents{Handlers: []string{echoName, hashName, sleepName}, Capabilities: process.List("HIVE_AGENT_CAPABILITIES")}
	for name := range own {
		group.Handlers = append(group.Handlers, name)
	}
	var err error
	if group.Count, err = number("HIVE_AGENTS", 4, agentsMax); err != nil {
		return Config{}, err
	}
	if group.Capacity, err = number("HIVE_AGENT_CAPACITY", capacityDefault, capacityMax); err != nil {
		return Config{}, err
	}
	return Config{Agents: []Agents{group}}, nil
}

func number(name string, fallback, most int) (int, error) {
	v := os.Getenv(name)
	if v == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%s: %q is not a number from 1 to %d", name, v, most)
	}
	return n, nil
}
