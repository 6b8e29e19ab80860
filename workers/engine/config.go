package engine

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/leanvibe/hive/workers/process"
)

// Config is what the engine hosts.
type Config struct {
	// ProxyURL is where the orchestrator is reached: HIVE_PROXY_URL.
	ProxyURL string
	// Token lets the agents in, one of role agent: in the file HIVE_TOKEN_FILE.
	// Empty: none is sent.
	Token string
	// Agents is their number: HIVE_AGENTS, default 4.
	Agents int
	// Capacity is how many tasks one agent executes at a time: HIVE_AGENT_CAPACITY, default 4.
	Capacity int
	// Capabilities of every agent: HIVE_AGENT_CAPABILITIES, default the handlers' names.
	Capabilities []string
	// Grace is how long tasks in flight may take to finish on SIGTERM:
	// HIVE_ENGINE_GRACE, default 20s; the rest is given back.
	Grace time.Duration
}

// ConfigFromEnv reads Config, naming the variable that is wrong.
func ConfigFromEnv() (Config, error) {
	cfg := Config{ProxyURL: process.String("HIVE_PROXY_URL", ""), Capabilities: process.List("HIVE_AGENT_CAPABILITIES")}
	if cfg.ProxyURL == "" {
		return cfg, errors.New("HIVE_PROXY_URL is empty: write where the orchestrator is reached, for example http://nginx")
	}
	if len(cfg.Capabilities) == 0 {
		cfg.Capabilities = []string{"echo", "hash", "sleep"}
	}
	var err error
	if cfg.Token, err = process.Secret("HIVE_TOKEN_FILE"); err != nil {
		return cfg, err
	}
	if cfg.Agents, err = number("HIVE_AGENTS", 4, 1000); err != nil {
		return cfg, err
	}
	if cfg.Capacity, err = number("HIVE_AGENT_CAPACITY", 4, 1000); err != nil {
		return cfg, err
	}
	cfg.Grace, err = process.Duration("HIVE_ENGINE_GRACE", 20*time.Second)
	return cfg, err
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
