package ledger

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
)

// Each thing that is sealed has a purpose, so that the seal of one is never good
// for another.
const (
	sealRow   = "hive ledger row 1\n"
	sealHead  = "hive ledger head 1\n"
	sealFile  = "hive ledger file 1\n"
	sealSpool = "hive ledger spool 1\n"
)

// seal makes keyed hashes, by as many goroutines as like.
type seal struct{ pool sync.Pool }

func newSeal(key []byte) *seal {
	key = append([]byte(nil), key...)
	return &seal{pool: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

func (s *seal) of(purpose string, parts ...[]byte) Hash {
	h := s.pool.Get().(hash.Hash)
	defer s.pool.Put(h)
	h.Reset()
	_, _ = h.Write([]byte(purpose)) // a hash takes all
	for _, p := range parts {
		_, _ = h.Write(p)
	}
	var out Hash
	h.Sum(out[:0])
	return out
}

// row is the hash that chains the row.
func (s *seal) row(r *Row) Hash { return s.of(sealRow, r.sealed()) }

// head seals the database's head row.
func (s *seal) head(seq int64, of Hash) Hash { return s.of(sealHead, number(seq), of[:]) }

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
