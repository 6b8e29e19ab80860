package ledger

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Head is where the ledger stands: the newest row of the database, and behind it
// the rows that wait on disk.
type Head struct {
	Seq  int64 `json:"seq"`
	Hash Hash  `json:"hash"`
	// Spooled rows wait for the database, the newest with this seal.
	Spooled int  `json:"spooled"`
	Spool   Hash `json:"spool"`
}

// headFile is the name of the head's file in StateDir.
const headFile = "head"

// errForged is a head file that was not written by who has the key.
var errForged = errors.New("the file was not written with the ledger's key")

type sealedHead struct {
	Head
	Seal Hash `json:"seal"`
}

func (s *seal) file(h Head) Hash {
	return s.of(sealFile, number(h.Seq), h.Hash[:], number(int64(h.Spooled)), h.Spool[:])
}

// readHead reads the head's file; none is no error.
func readHead(dir string, key *seal) (h Head, found bool, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, headFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Head{}, false, nil
	case err != nil:
		return Head{}, false, err
	}
	var sealed sealedHead
	if json.Unmarshal(raw, &sealed) != nil || sealed.Seal != key.file(sealed.Head) {
		return Head{}, true, errForged
	}
	return sealed.Head, true, nil
}

// writeHead replaces the head's file whole. It reaches the disk now only where
// asked: an older head than the database's says less, and nothing wrong.
func writeHead(dir string, key *seal, h Head, now bool) (err error) {
	raw, err := json.Marshal(sealedHead{h, key.file(h)})
	if err != nil {
		return err
	}
	name := filepath.Join(dir, headFile)
	half := name + ".partial"
	f, err := os.OpenFile(half, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(raw, '\n'))
	if err == nil && now {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(half, name); err != nil || !now {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
