package archive

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/leanvibe/hive/migrations/app/apptest"
)

// served are the package's tests, with a PostgreSQL that ends with them.
type served struct{ m *testing.M }

func (s served) Run() int { return apptest.Run(s.m) }

func TestMain(m *testing.M) { goleak.VerifyTestMain(served{m}) }
