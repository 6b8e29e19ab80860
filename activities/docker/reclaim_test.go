package docker

import (
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

const reclaimable = `
name: PROJECT
services:
  web: {image: IMAGE, network_mode: none}
  job: {image: IMAGE, network_mode: none, command: [exit]}
`

func (b *bench) reclaim(keep int, older time.Duration) (runbook.ReclaimInput, map[string]runbook.Reclaimable) {
	b.t.Helper()
	in := runbook.ReclaimInput{Project: b.project, OlderThan: runbook.Duration(older), KeepGenerations: keep}
	list, err := b.hand.ListReclaimable(b.ctx, in)
	require.NoError(b.t, err)
	out := map[string]runbook.Reclaimable{}
	for _, i := range list.Items {
		out[i.Name] = i
	}
	require.Len(b.t, out, len(list.Items))
	return in, out
}

func TestReclaimContainers(t *testing.T) {
	b := newBench(t)
	p := b.compose(reclaimable)
	var stopped runbook.Replica
	for n := 1; n <= 2; n++ {
		r, err := b.hand.Create(b.ctx, p, p.Services["web"], Options{Number: n})
		require.NoError(t, err)
		stopped = r
	}
	job, err := b.hand.Create(b.ctx, p, p.Services["job"], Options{Number: 1})
	require.NoError(t, err)
	b.eventually(job.ID, func(c container.InspectResponse) bool { return c.State.Status == container.StateExited })
	b.served(stopped.ID)
	_, err = b.stop(stopped, patience)
	require.NoError(t, err)

	_, items := b.reclaim(0, time.Hour)
	require.Empty(t, items, "it ended a moment ago, however long ago it was made")
	in := runbook.ReclaimInput{}
	require.Eventually(t, func() bool { in, items = b.reclaim(9, time.Millisecond); return len(items) == 1 }, patience, 20*time.Millisecond)
	item, ok := items[stopped.Name]
	require.True(t, ok, "the stopped copy, and not the job that did its work: %v", items)
	require.Contains(t, item.Reason, "exited since")

	young := in
	young.OlderThan = runbook.Duration(time.Hour)
	gone, err := b.hand.RemoveReclaimable(b.ctx, runbook.RemoveReclaimableInput{Item: item, Bounds: young})
	require.NoError(t, err)
	require.Equal(t, runbook.Reclaimed{Why: "needed again, or younger than 1h0m0s"}, gone)
	for _, other := range []string{job.ID, b.inspect(b.project + "-web-1").ID} {
		gone, err = b.hand.RemoveReclaimable(b.ctx, runbook.RemoveReclaimableInput{Item: runbook.Reclaimable{Kind: "container", ID: other}, Bounds: in})
		require.NoError(t, err)
		require.False(t, gone.Changed, "not on the list")
		b.inspect(other)
	}
	gone, err = b.hand.RemoveReclaimable(b.ctx, runbook.RemoveReclaimableInput{Item: item, Bounds: in})
	require.NoError(t, err)
	require.True(t, gone.Changed)
	b.gone(stopped.ID)
	gone, err = b.hand.RemoveReclaimable(b.ctx, runbook.RemoveReclaimableInput{Item: item, Bounds: in})
	require.NoError(t, err)
	require.Equal(t, runbook.Reclaimed{Why: "gone already"}, gone)

	for _, kind := range []string{"volume", "network", ""} {
		_, err = b.hand.RemoveReclaimable(b.ctx, runbook.RemoveReclaimableInput{Item: runbook.Reclaimable{Kind: kind, ID: "x"}, Bounds: in})
		requireKind(t, runbook.Refused, err, "only containers and images")
	}
	_, err = b.hand.ListReclaimable(b.ctx, runbook.ReclaimInput{Project: b.project})
	requireKind(t, runbook.Refused, err, "an age")
}

func TestReclaimImages(t *testing.T) {
	b := newBench(t)
	p := b.compose(reclaimable)
	repo := strings.TrimSuffix(b.image, ":1")
	b.importImage("hive-test/" + b.project + "-foreign:1") // of no service here
	old := []string{}
	for _, tag := range []string{"old1", "old2", "old3"} {
		old = append(old, b.importImage(repo+":"+tag))
	}
	require.NoError(t, b.api.ImageTag(b.ctx, old[0], "hive-rollback/web:"+b.project))
	running := b.importImage(repo + ":now")
	_, err := b.hand.Create(b.ctx, p, p.Services["web"], Options{Number: 1, ImageID: running})
	require.NoError(t, err)

	in, items := b.reclaim(1, time.Millisecond)
	// b.image is what the compose file names, so it stays; of the three old ones the
	// one that was tagged last is kept, and nobody touches what runs or is not ours.
	require.Len(t, items, 2, items)
	require.Contains(t, items, repo+":old2")
	require.Contains(t, items, repo+":old3")
	require.Positive(t, items[repo+":old3"].Bytes)

	_, none := b.reclaim(1, time.Hour)
	require.Empty(t, none, "built a moment ago")
	require.NoError(t, b.hand.pulled(old[1]), "wanted again")
	_, items = b.reclaim(1, time.Millisecond)
	require.NotContains(t, items, repo+":old2", "the newest is the one that came last, not the one built last")
	require.Contains(t, items, repo+":old3")
	first := items["hive-rollback/web:"+b.project]
	require.Equal(t, old[0], first.ID, "a rollback tag keeps an image among the generations, and no longer")

	gone, err := b.hand.RemoveReclaimable(b.ctx, runbook.RemoveReclaimableInput{Item: first, Bounds: in})
	require.NoError(t, err)
	require.True(t, gone.Changed, gone.Why)
	_, err = b.api.ImageInspect(b.ctx, old[0])
	require.ErrorContains(t, err, "No such image")
	gone, err = b.hand.RemoveReclaimable(b.ctx, runbook.RemoveReclaimableInput{Item: runbook.Reclaimable{Kind: "image", ID: running}, Bounds: in})
	require.NoError(t, err)
	require.False(t, gone.Changed, "it runs")
	b.imageID(repo + ":now")
	b.imageID(repo + ":old2")
	b.imageID(b.image)
}
