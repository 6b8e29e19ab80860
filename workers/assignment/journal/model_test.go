package journal

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestTwoOwnersModel has two owners do everything in random order on one
// partition; leases expire by having their field put back. The model is a list of
// what was acknowledged and which epoch is the last.
func TestTwoOwnersModel(t *testing.T) {
	c := newServer(t).client(t)
	partition := 0
	rapid.Check(t, func(r *rapid.T) {
		partition++
		var (
			logs   [2]*Log
			epoch  uint64 // the last owner's
			free   = true // released or expired
			seq    uint64
			want   []string // everything acknowledged, in order
			bodies = map[string]string{}
			owner  = fmt.Sprintf("{p%d}:owner", partition)
		)
		defer func() {
			for _, l := range logs {
				if l != nil {
					l.Close()
				}
			}
		}()
		// hold picks an owner, and says whether it is the valid one.
		hold := func(r *rapid.T) (*Log, bool) {
			l := logs[rapid.IntRange(0, 1).Draw(r, "owner")]
			if l == nil {
				r.Skip("never took over")
			}
			return l, l.Epoch() == epoch
		}
		judge := func(r *rapid.T, valid bool, err error) {
			if valid {
				require.NoError(r, err)
			} else {
				require.ErrorIs(r, err, ErrFenced)
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"takeover": func(r *rapid.T) {
				who := rapid.IntRange(0, 1).Draw(r, "taker")
				l, err := Takeover(t.Context(), Options{Client: c, Partition: partition, Name: fmt.Sprint(who), Lease: time.Hour})
				var held *HeldError
				if errors.As(err, &held) {
					require.False(r, free)
					return
				}
				require.NoError(r, err)
				require.True(r, free)
				epoch, seq, free = epoch+1, seq+1, false
				require.Equal(r, epoch, l.Epoch())
				require.Equal(r, seq, l.seq)
				if logs[who] != nil {
					logs[who].Close()
				}
				logs[who] = l
			},
			"append": func(r *rapid.T) {
				l, valid := hold(r)
				text := fmt.Sprint(len(want))
				what := Bodies{Put: put(text, "body "+text)}
				if len(want) > 0 {
					what.Drop = []string{rapid.SampledFrom(want).Draw(r, "dropped")}
				}
				got, err := l.AppendWith(t.Context(), one(text), what)
				judge(r, valid, err)
				if valid {
					bodies[text] = "body " + text
					for _, name := range what.Drop {
						delete(bodies, name)
					}
					seq++
					require.Equal(r, seq, got)
					want = append(want, text)
				}
			},
			"renew": func(r *rapid.T) {
				l, valid := hold(r)
				judge(r, valid, l.Renew(t.Context()))
				free = free && !valid
			},
			"release": func(r *rapid.T) {
				l, valid := hold(r)
				judge(r, valid, l.Release(t.Context()))
				free = free || valid
			},
			"expire": func(r *rapid.T) {
				if epoch == 0 {
					r.Skip("no lease yet")
				}
				require.NoError(r, c.HSet(t.Context(), owner, "until", "1").Err())
				free = true
			},
			"snapshot and trim": func(r *rapid.T) {
				l, valid := hold(r)
				judge(r, valid, l.Snapshot(t.Context(), l.seq, strings.NewReader(strings.Join(want, " "))))
			},
			"": func(r *rapid.T) {
				require.Equal(r, bodies, kept(t.Context(), r, c, partition))
				for _, l := range logs {
					if l == nil || l.Epoch() != epoch {
						continue
					}
					var got []string
					require.NoError(r, l.Recover(t.Context(), func(from io.Reader) error {
						b, err := io.ReadAll(from)
						got = strings.Fields(string(b))
						return err
					}, func(rec Record) error {
						for _, b := range rec.Records {
							got = append(got, string(b))
						}
						return nil
					}))
					require.Equal(r, strings.Join(want, " "), strings.Join(got, " "))
				}
			},
		})
	})
}
