package messaging

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/frame"
	client "github.com/leanvibe/hive/api/hub"
	"github.com/leanvibe/hive/workers/redistest"
)

// TestSlowReader_IsClosedOthersGoOnAndItResumes: one agent does not read while
// far more comes for it than a hub may hold. Others are answered as ever, the
// hub's memory stays bounded, the slow one is closed with 4008 and then finds
// everything behind its cursor.
func TestSlowReader_IsClosedOthersGoOnAndItResumes(t *testing.T) {
	one := &killedHub{addr: reserved(t), redis: redistest.Addr(t)}
	one.start(t)
	t.Cleanup(one.kill)
	require.Eventually(t, one.ready, patience, 10*time.Millisecond)
	h := &testHub{addr: one.addr}
	const resident, closedSlow = "process_resident_memory_bytes", `leanvibe_hub_closed_total{reason="slow"}`
	before := metric(t, h.addr, resident)

	id := unique("slow")
	slow := connectBatch(t, h, id)
	taken := make(chan struct{}) // the hub has taken it for slow
	var written [][]byte
	read := make(chan error, 1)
	// It reads nothing before, and then what had been written and why it was closed: the hub waits for that a few seconds.
	go func() {
		for times, err := scrape(h.addr, closedSlow); times == 0; times, err = scrape(h.addr, closedSlow) {
			if err != nil {
				read <- err
				return
			}
			<-time.After(20 * time.Millisecond)
		}
		close(taken)
		for {
			_, raw, err := slow.Read(t.Context())
			if err != nil {
				read <- err
				return
			}
			written = append(written, raw)
		}
	}()
	sender := runClient(t, client.Config{URL: "http://" + h.addr, Agent: unique("from"), Window: 256})
	const n, size = 6000, 16 << 10 // 94 MiB
	var stored sync.WaitGroup
	for range n {
		stored.Add(1)
		require.NoError(t, sender.Queue(t.Context(), id, "", make([]byte, size), func(err error) {
			if err != nil {
				t.Errorf("not stored: %v", err)
			}
			stored.Done()
		}))
	}
	stored.Wait()

	quick := runClient(t, client.Config{URL: "http://" + h.addr, Agent: unique("quick")})
	var times []time.Duration
	for deadline := time.Now().Add(patience); len(times) == 0 || !ended(taken); {
		require.Less(t, time.Now(), deadline, "the slow reader was never closed")
		begun := time.Now()
		require.NoError(t, quick.Send(t.Context(), unique("to"), "", []byte("1")))
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	require.Less(t, times[len(times)/2], writeMax/2, "none of %d sends waits for the slow reader", len(times))
	t.Logf("%d sends beside the slow reader: median %v, slowest %v", len(times), times[len(times)/2], times[len(times)-1])
	grown := metric(t, h.addr, resident) - before
	t.Logf("the hub grew by %.0f MiB while %d MiB were stored", grown/(1<<20), n*size>>20)
	require.Less(t, grown, 48.0*(1<<20))

	err := <-read
	require.EqualValues(t, frame.CloseSlow, websocket.CloseStatus(err), err)
	var cursor frame.Cursor
	for _, raw := range written {
		cursor = follow(t, raw, cursor)
	}
	require.Less(t, cursor.N, uint64(n))
	again := connectAfter(t, h, id, cursor)
	for cursor.N < n {
		it := again.next(t)
		require.Equal(t, frame.OpDeliver, it.Op)
		cursor = follow(t, frame.AppendItem(nil, &it), cursor)
	}
}

// ended says that a channel is closed.
func ended(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// follow holds a frame's deliveries to a cursor without gap or repeat.
func follow(t *testing.T, raw []byte, cursor frame.Cursor) frame.Cursor {
	t.Helper()
	for len(raw) > 0 {
		it, rest, err := frame.NextItem(raw)
		require.NoError(t, err)
		raw = rest
		if it.Op == frame.OpDeliver {
			require.Equal(t, cursor.N+it.Count, it.Cursor.N)
			cursor = it.Cursor
		}
	}
	return cursor
}
