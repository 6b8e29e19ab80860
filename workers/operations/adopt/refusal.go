package adopt

import (
	"os"
	"path/filepath"

	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/workflows/runbook"
)

// refusal holds a policy against the reader that procedures use, and answers what it
// says, without the place of a file that is nowhere yet.
func refusal(text string) (string, error) {
	dir, err := os.MkdirTemp("", "hive-init-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what stays behind is one small file
	if err := os.WriteFile(filepath.Join(dir, PolicyFile), []byte(text), 0o600); err != nil {
		return "", err
	}
	_, err = policy.Hand{ProjectDir: dir}.Policy()
	if err == nil {
		return "", nil
	}
	return runbook.Reason(err), nil
}
