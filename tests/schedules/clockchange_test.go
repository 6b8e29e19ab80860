package schedules

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// shift is by how much the clocks of the zones here are changed: two minutes stand for the hour.
const shift = 2 * time.Minute

// zones is the folder where the time package looks first.
var zones string

func TestMain(m *testing.M) {
	var err error
	if zones, err = os.MkdirTemp("", "hive-zones"); err != nil {
		panic(err)
	}
	if err := os.Setenv("ZONEINFO", zones); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(zones) // a temporary folder
	os.Exit(code)
}

// changing makes a zone, and answers a local time two to three minutes ahead, by the clocks before their change: the
// change is so long after it, by so much.
func changing(t *testing.T, name string, after, by time.Duration) (due time.Time, in *time.Location) {
	t.Helper()
	due = time.Now().UTC().Add(3 * time.Minute).Truncate(time.Minute)
	require.NoError(t, os.WriteFile(filepath.Join(zones, name), zone(due.Add(after), 0, by), 0o600))
	in, err := time.LoadLocation(name)
	require.NoError(t, err)
	return due, in
}

// zone is a time zone with one change, in the format of RFC 8536, version 1.
func zone(change time.Time, before, after time.Duration) []byte {
	const names = "BEF\x00AFT\x00"
	var b bytes.Buffer
	b.WriteString("TZif")
	b.Write(make([]byte, 16))                                        // version 1, and 15 unused
	put := func(v any) { _ = binary.Write(&b, binary.BigEndian, v) } // to memory: it cannot fail
	put([]uint32{0, 0, 0, 1, 2, uint32(len(names))})
	put(int32(change.Unix()))
	put(uint8(1)) // the second of the two kinds begins there
	for i, offset := range []time.Duration{before, after} {
		put(int32(offset / time.Second))
		put(uint8(i))                  // the second is daylight saving
		put(uint8(i * len("BEF\x00"))) // its name
	}
	b.WriteString(names)
	return b.Bytes()
}

// The real server, by its own clock, in the week of a daylight-saving change: what was ahead is there again.
func TestATimeThatComesTwiceRunsOnce(t *testing.T) {
	p := start(t)
	due, zone := changing(t, "Back", shift/2, -shift)
	require.Equal(t, due.Format("15:04"), due.In(zone).Format("15:04"))
	require.Equal(t, due.Format("15:04"), due.Add(shift).In(zone).Format("15:04"), "it comes twice")
	p.once(zone, due, due, due.Add(30*time.Second))
}

func TestATimeThatIsSkippedRunsOnce(t *testing.T) {
	p := start(t)
	due, zone := changing(t, "Forward", -shift/2, shift)
	require.Equal(t, due.Add(shift).Format("15:04"), due.In(zone).Format("15:04"), "it is skipped")
	p.once(zone, due, due.Add(-shift/2), due.Add(shift/2+30*time.Second))
}

// once has a daily schedule run once on the date of the change, in that time, and nobody told of a miss.
func (p *platform) once(zone *time.Location, due, from, to time.Time) {
	t := p.t
	t.Helper()
	p.policy.Schedules = []runbook.SchedulePolicy{{
		ID: "night", Procedure: "ReadinessCheck", Every: "day", At: due.Format("15:04"), Timezone: zone.String(), CatchUp: runbook.Duration(time.Minute),
	}}
	p.employ()
	require.Eventually(t, func() bool { return len(p.ran()) > 0 }, time.Until(to), 200*time.Millisecond)
	require.False(t, time.Now().Before(from), "not before %s", from)
	p.at(due.Add(shift + 90*time.Second)) // the second time it would come, and its window
	require.Equal(t, map[string]int{"night:" + due.Format(time.DateOnly) + " by schedule": 1}, p.ran())
	require.Empty(t, p.notices())
}
