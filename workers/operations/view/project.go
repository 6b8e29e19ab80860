package view

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/workflows/runbook"
)

// Marks are the files of which a project's root holds one, relative to it: the
// policy of the repository's own stack, or that of a stack of somebody else's.
var Marks = policy.Runbooks

// IsProject says whether the directory is a project's root: it holds a policy.
func IsProject(dir string) (bool, error) {
	files, err := policy.Find(dir)
	if runbook.KindOf(err) == runbook.Missing {
		return false, nil
	}
	if err != nil {
		return false, errors.New(runbook.Reason(err))
	}
	_, err = os.Stat(filepath.Join(dir, files.Runbook))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Name is the stack's name, as its compose files give it.
func Name(ctx context.Context, dir string) (string, error) {
	project, err := policy.Hand{ProjectDir: dir}.Project(ctx)
	if err != nil {
		return "", errors.New(runbook.Reason(err))
	}
	return project.Name, nil
}
