package access

import (
	"os"
	"time"
)

// stamp is what a file looked like from outside when it was last read.
type stamp struct {
	modified time.Time
	size     int64
	missing  bool
}

// renew takes the file's stamp and tells whether it differs from the last one.
func (s *stamp) renew(path string) bool {
	now := stamp{missing: true}
	if info, err := os.Stat(path); err == nil {
		now = stamp{modified: info.ModTime(), size: info.Size()}
	}
	fresh := now != *s
	*s = now
	return fresh
}
