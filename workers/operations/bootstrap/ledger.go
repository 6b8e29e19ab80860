package bootstrap

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"

	cerrdefs "github.com/containerd/errdefs"

	book "github.com/leanvibe/hive/activities/ledger"
	"github.com/leanvibe/hive/migrations/ledger"
	"github.com/leanvibe/hive/workflows/runbook"
)

// ledgerName is the ledger's service, volume, database and owner.
const ledgerName = "ledger"

// ledgerSecrets refuses to make up a secret of a ledger that exists: rows chained
// with another key would look forged, and nobody could get in.
func (u *up) ledgerSecrets(ctx context.Context) error {
	volume := u.services.Volumes[ledgerName].Name
	switch _, err := u.api.VolumeInspect(ctx, volume); {
	case cerrdefs.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	for _, name := range ofLedger {
		file := filepath.Join(secretsDir, name)
		if _, err := os.Stat(filepath.Join(u.dir, file)); errors.Is(err, os.ErrNotExist) {
			return runbook.Fail(runbook.Refused, "%s is gone, and the ledger that needs it is in volume %s: bring the file back from a backup; "+
				"or, to begin a new ledger, take down the platform's %s, the volume and %s together", file, volume, ledgerName, book.StateDir)
		}
	}
	return nil
}

// startLedger starts the ledger's database, brings its schema up to date and gives
// the role that writes it the password of the secrets.
func (u *up) startLedger(ctx context.Context) error {
	if err := u.ofPlatform(ctx, ledgerName); err != nil {
		return err
	}
	owner, err := secret(u.dir, filepath.Join(secretsDir, "ledger_owner_password"))
	if err != nil {
		return err
	}
	writer, err := secret(u.dir, book.PasswordFile)
	if err != nil {
		return err
	}
	dsn := url.URL{Scheme: "postgres", User: url.UserPassword(ledgerName, owner), Host: book.Address, Path: "/" + ledgerName}
	ctx, cancel := context.WithTimeout(ctx, u.wait.limit)
	defer cancel()
	t := u.progress.begin("schema of the ledger")
	defer t.quit()
	if err := ledger.Up(ctx, dsn.String()); err != nil {
		return errors.New(mask(u.dir, err.Error()))
	}
	if err := ledger.SetPassword(ctx, dsn.String(), writer); err != nil {
		return errors.New(mask(u.dir, err.Error()))
	}
	return nil
}
