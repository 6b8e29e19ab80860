package adopt

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

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
	file := filepath.Join(dir, policy.RunbookFile)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		return "", err
	}
	_, err = policy.Hand{ProjectDir: dir}.Policy()
	if err == nil {
		return "", nil
	}
	return strings.ReplaceAll(runbook.Reason(err), policy.RunbookFile, PolicyFile), nil
}
