package integration

import (
	"strconv"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/workflows/runbook"
)

// everything that rich.yaml declares: containers, networks, volumes.
const everything = 5 + 3 + 2

func (s *stack) up() {
	s.t.Helper()
	compose(s.t, "-f", s.file, "up", "-d", "--no-build", "--pull", "never")
}

// `docker compose up` after us creates, stops and removes nothing.
func TestUpAfterUsDoesNothing(t *testing.T) {
	s := newStack(t, "rich.yaml")
	p := load(t, s.file)
	s.create(p)
	before := s.census()
	require.Len(t, before, everything)
	s.up()
	require.ElementsMatch(t, before, s.census())
	require.Equal(t, len(p.Services)+1, strings.Count(compose(t, "-f", s.file, "ps", "--all", "--quiet"), "\n"), "ps lists ours")

	// The test sees it where up does something: the same file with one more label.
	changed := p.Services["plain"]
	changed.Labels = map[string]string{"more": "yes"}
	_, err := s.hand.RemoveReplica(t.Context(), runbook.ReplicaInput{Name: s.stopped("plain", 1), Run: "r"})
	require.NoError(t, err)
	_, err = s.hand.Create(t.Context(), p, changed, docker.Options{Number: 1})
	require.NoError(t, err)
	before = s.census()
	s.up()
	require.NotEqual(t, before, s.census())
}

// A roll leaves what plain compose takes for its own: new replicas by image ID
// while the tag still names the old image, then the tag moves.
func TestUpAfterARoll(t *testing.T) {
	s := newStack(t, "rich.yaml")
	p := load(t, s.file)
	s.create(p)
	ctx := t.Context()
	newer := s.importImage(strings.TrimSuffix(s.image, "1")+"2", "second")
	for _, step := range []struct{ make, take int }{{3, 1}, {1, 2}} {
		r, err := s.hand.Create(ctx, p, p.Services["none"], docker.Options{Number: step.make, ImageID: newer, Image: s.image, Run: "weekly:1"})
		require.NoError(t, err)
		made, err := s.api.ContainerInspect(ctx, r.ID)
		require.NoError(t, err)
		require.Equal(t, newer, made.Image)
		_, err = s.hand.RemoveReplica(ctx, runbook.ReplicaInput{Name: s.stopped("none", step.take), Run: "weekly:1"})
		require.NoError(t, err)
	}
	// The others stay on the old image, whose tag moves only for the rolled service:
	// roll them too, as one reference stands for one image.
	for _, name := range p.ServiceNames() {
		if name == "none" {
			continue
		}
		_, err := s.hand.RemoveReplica(ctx, runbook.ReplicaInput{Name: s.stopped(name, 1), Run: "weekly:1"})
		require.NoError(t, err)
		_, err = s.hand.Create(ctx, p, p.Services[name], docker.Options{Number: 1, ImageID: newer, Image: s.image, Run: "weekly:1"})
		require.NoError(t, err)
	}
	_, err := s.hand.TagImage(ctx, runbook.TagImageInput{ImageID: newer, Tag: s.image})
	require.NoError(t, err)
	before := s.census()
	s.up()
	require.ElementsMatch(t, before, s.census(), "the numbers 1 and 3 run, and up keeps them")
}

// stopped stops a replica and answers its name.
func (s *stack) stopped(service string, number int) string {
	s.t.Helper()
	name := s.project + "-" + service + "-" + strconv.Itoa(number)
	_, err := s.hand.StopReplica(s.t.Context(), runbook.ReplicaInput{Name: name, Service: service, Run: "r"})
	require.NoError(s.t, err)
	c, err := s.api.ContainerInspect(s.t.Context(), name)
	require.NoError(s.t, err)
	require.Equal(s.t, container.StateExited, c.State.Status)
	return name
}
