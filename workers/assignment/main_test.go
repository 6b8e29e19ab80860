package assignment

import (
	"os"
	"testing"

	"github.com/leanvibe/hive/migrations/app/apptest"
	"github.com/leanvibe/hive/workers/redistest"
)

func TestMain(m *testing.M) {
	code := redistest.Run(m)
	apptest.Stop()
	os.Exit(code)
}
