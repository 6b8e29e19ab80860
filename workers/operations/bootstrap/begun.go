package bootstrap

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// begunFile remembers the replicas that hive up made and the proxy does not know
// yet, relative to the project: a call that is interrupted in between leaves them to
// the next one, which could not tell them from those that a roll holds back.
const begunFile = "out/state/up-begun.json"

// remember adds the address of a replica that was made or started.
func (u *up) remember(service, address string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begun[service] = append(u.begun[service], address)
	before, err := readBegun(u.dir)
	if err != nil {
		return err
	}
	before[service] = append(before[service], address)
	body, err := json.Marshal(before)
	if err != nil {
		return err
	}
	const private = 0o600
	return writeWhole(filepath.Join(u.dir, begunFile), body, private)
}

// recall takes over what an interrupted call left.
func (u *up) recall() error {
	before, err := readBegun(u.dir)
	if err != nil {
		return err
	}
	for service, addresses := range before {
		for _, a := range addresses {
			if !slices.Contains(u.begun[service], a) {
				u.begun[service] = append(u.begun[service], a)
			}
		}
	}
	return nil
}

func readBegun(dir string) (map[string][]string, error) {
	begun := map[string][]string{}
	raw, err := os.ReadFile(filepath.Join(dir, begunFile))
	if errors.Is(err, os.ErrNotExist) {
		return begun, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &begun); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it, and see with `hive status` that every replica is routed to", begunFile, err)
	}
	return begun, nil
}
