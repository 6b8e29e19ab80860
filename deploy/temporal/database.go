package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.temporal.io/server/common/config"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/schema/sqlite"
)

// openDatabase returns the connection settings of the SQLite file, having made directory, schema and namespace where
// they are missing. The schema is built under a partial name and renamed when whole, so that a start that was killed
// half-way leaves nothing that the next one would take for a database.
func openDatabase(s *settings) (*config.SQL, error) {
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	file := s.database()
	_, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := createDatabase(file); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("database: %w", err)
	}
	sql := connection(file, "rw")
	return sql, createNamespace(sql, s)
}

func createDatabase(file string) error {
	partial := file + ".partial"
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the remains of an earlier start: %w", err)
	}
	// Neither write-ahead log nor syncing here: this connection is never closed by the plugin, and the rename must
	// not leave a log behind under the old name.
	sql := &config.SQL{
		PluginName: sqliteplugin.PluginName, DatabaseName: partial,
		ConnectAttributes: map[string]string{"mode": "rwc", "journal_mode": "delete", "synchronous": "full"},
	}
	if err := sqlite.SetupSchema(sql); err != nil {
		return fmt.Errorf("create the schema in %s: %w", partial, err)
	}
	if err := os.Chmod(partial, 0o600); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if err := os.Rename(partial, file); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// connection is how the server opens the file. synchronous=full: with "normal" a power cut may take the last
// acknowledged transactions of a write-ahead log.
func connection(file, mode string) *config.SQL {
	return &config.SQL{
		PluginName: sqliteplugin.PluginName, DatabaseName: file,
		ConnectAttributes: map[string]string{"mode": mode, "journal_mode": "wal", "synchronous": "full", "busy_timeout": "10000"},
	}
}
