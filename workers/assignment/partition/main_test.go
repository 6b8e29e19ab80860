package partition

import (
	"os"
	"testing"

	"github.com/leanvibe/hive/workers/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Run(m)) }
