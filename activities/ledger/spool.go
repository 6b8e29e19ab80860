package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// spoolFile is the name of the spool in StateDir.
const spoolFile = "spool"

// A frame of the spool is the length of its payload, a CRC over what follows, the
// seal that chains it to the frame before, and the payload. The first frame's
// payload is the last head that was known, the others' are bodies of rows.
const (
	frameHead    = 4 + 4 + len(Hash{})
	framePayload = 1 << 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// spool keeps rows on disk, in order, while the database is away. What append has
// returned for outlives this process and this machine's power.
type spool struct {
	f     *os.File
	key   *seal
	base  Head // the last head that was known when the spool began
	count int
	last  Hash
	size  int64
}

// openSpool opens the spool and cuts a torn tail off: bytes of an append that never
// returned. lost says what is wrong beyond that, and where the bytes were kept.
func openSpool(dir string, key *seal, known Head) (s *spool, lost string, err error) {
	name := filepath.Join(dir, spoolFile)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, "", err
	}
	s = &spool{f: f, key: key}
	forged, err := s.load()
	if err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	if lost = lostRows(s.count, known.Spooled); forged {
		lost = forgedRows(s.count)
	}
	if lost != "" {
		if err := s.keep(dir); err != nil {
			return nil, "", errors.Join(err, f.Close())
		}
	}
	if err := errors.Join(f.Truncate(s.size), f.Sync()); err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	return s, lost, nil
}

// load reads the frames up to the first that is torn or forged.
func (s *spool) load() (forged bool, err error) {
	for {
		payload, sum, state, err := s.frame(s.size, s.last)
		if err != nil || state != frameGood {
			return state == frameForged, err
		}
		if s.size == 0 {
			if len(payload) != 8+len(Hash{}) {
				return true, nil
			}
			s.base.Seq = int64(binary.BigEndian.Uint64(payload))
			s.base.Hash = Hash(payload[8:])
		} else {
			s.count++
		}
		s.last, s.size = sum, s.size+int64(frameHead+len(payload))
	}
}

type frameState int

const (
	frameGood frameState = iota
	frameEnd
	frameTorn
	frameForged
)

// frame reads the frame at the offset, whose predecessor has the given seal.
func (s *spool) frame(at int64, before Hash) (payload []byte, sum Hash, state frameState, err error) {
	head := make([]byte, frameHead)
	n, err := s.f.ReadAt(head, at)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return nil, sum, frameEnd, nil
	case errors.Is(err, io.EOF) && n < frameHead:
		return nil, sum, frameTorn, nil
	case err != nil && !errors.Is(err, io.EOF):
		return nil, sum, frameTorn, err
	}
	length := binary.BigEndian.Uint32(head)
	if length == 0 || length > framePayload {
		return nil, sum, frameTorn, nil
	}
	payload = make([]byte, length)
	if _, err := s.f.ReadAt(payload, at+int64(frameHead)); errors.Is(err, io.EOF) {
		return nil, sum, frameTorn, nil
	} else if err != nil {
		return nil, sum, frameTorn, err
	}
	sum = Hash(head[8:])
	if crc32.Update(crc32.Checksum(head[8:], castagnoli), castagnoli, payload) != binary.BigEndian.Uint32(head[4:]) {
		return nil, sum, frameTorn, nil
	}
	if s.key.of(sealSpool, before[:], payload) != sum {
		return nil, sum, frameForged, nil
	}
	return payload, sum, frameGood, nil
}

// append writes the bodies and returns when they are on the disk; all or none.
func (s *spool) append(known Head, bodies [][]byte) error {
	var out []byte
	last := s.last
	add := func(payload []byte) {
		sum := s.key.of(sealSpool, last[:], payload)
		out = binary.BigEndian.AppendUint32(out, uint32(len(payload)))
		out = binary.BigEndian.AppendUint32(out, crc32.Update(crc32.Checksum(sum[:], castagnoli), castagnoli, payload))
		out = append(append(out, sum[:]...), payload...)
		last = sum
	}
	if s.size == 0 {
		last = Hash{}
		add(append(number(known.Seq), known.Hash[:]...))
	}
	for _, b := range bodies {
		add(b)
	}
	_, err := s.f.WriteAt(out, s.size)
	if err == nil {
		err = s.f.Sync()
	}
	if err != nil {
		return errors.Join(err, s.f.Truncate(s.size))
	}
	if s.size == 0 {
		s.base = Head{Seq: known.Seq, Hash: known.Hash}
	}
	s.last, s.size, s.count = last, s.size+int64(len(out)), s.count+len(bodies)
	return nil
}

// cursor is a place in the spool: behind rows that are in the database already.
type cursor struct {
	at   int64
	last Hash
	done int
}

// next reads up to most rows behind the cursor, and where to go on.
func (s *spool) next(c cursor, most int) ([]Row, cursor, error) {
	var rows []Row
	for c.at < s.size && len(rows) < most {
		payload, sum, state, err := s.frame(c.at, c.last)
		if err == nil && state != frameGood {
			err = errForged
		}
		if err != nil {
			return nil, c, fmt.Errorf("spool, row %d: %w", c.done+len(rows)+1, err)
		}
		if c.at > 0 {
			row, err := parse(payload)
			if err != nil {
				return nil, c, fmt.Errorf("spool, row %d: %w", c.done+len(rows)+1, err)
			}
			rows = append(rows, row)
		}
		c.last, c.at = sum, c.at+int64(frameHead+len(payload))
	}
	c.done += len(rows)
	return rows, c, nil
}

// reset empties the spool, when all of it is in the database.
func (s *spool) reset() error {
	if err := errors.Join(s.f.Truncate(0), s.f.Sync()); err != nil {
		return err
	}
	s.base, s.count, s.last, s.size = Head{}, 0, Hash{}, 0
	return nil
}

// keep copies a spool that something is wrong with aside, for people to look at.
func (s *spool) keep(dir string) error {
	raw, err := io.ReadAll(io.NewSectionReader(s.f, 0, 1<<62))
	if err != nil {
		return err
	}
	aside, err := os.CreateTemp(dir, spoolFile+".broken-*")
	if err != nil {
		return err
	}
	_, err = aside.Write(raw)
	return errors.Join(err, aside.Sync(), aside.Close())
}

// readSpool looks at the spool beside its writer: how many rows wait, and what is
// wrong with them. A last frame that is not whole is one being written.
func readSpool(dir string, key *seal, acknowledged int) (count int, fault string, err error) {
	f, err := os.Open(filepath.Join(dir, spoolFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, lostRows(0, acknowledged), nil
	}
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	s := &spool{f: f, key: key}
	forged, err := s.load()
	if forged {
		return s.count, forgedRows(s.count), err
	}
	return s.count, lostRows(s.count, acknowledged), err
}

func forgedRows(count int) string {
	return fmt.Sprintf("the spool holds bytes behind its row %d that were not written with the ledger's key", count)
}

func lostRows(count, acknowledged int) string {
	if count >= acknowledged {
		return ""
	}
	return fmt.Sprintf("the spool holds %d rows of %d", count, acknowledged)
}
