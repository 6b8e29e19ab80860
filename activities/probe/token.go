package probe

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/leanvibe/hive/workflows/runbook"
)

// TokenFile has the operator's token of the stack's own services, below the project.
// It goes with what they let nobody else do, the control of workers and the supply of
// tasks, and nowhere else. A stack without the file is asked without a token.
const TokenFile = "secrets/operator_token"

// authorize puts the token on a request; it is read at each use.
func (h Hand) authorize(req *http.Request) error {
	if h.ProjectDir == "" {
		return nil
	}
	raw, err := os.ReadFile(filepath.Join(h.ProjectDir, TokenFile))
	token := strings.TrimSpace(string(raw))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return runbook.FailCause(runbook.Refused, err, "the operator's token cannot be read")
	case token == "":
		return runbook.Fail(runbook.Refused, "%s is empty: write the operator's token into it, or remove it", TokenFile)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return nil
}
