package assignment

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/process"
)

// insider is a submitter that says that it is inside, and what it has stored.
type insider struct {
	t         *testing.T
	ctx       context.Context // ends when the test has taken too long
	submitter *client.Submitter
	tasks     map[string]bool
}

func newInsider(t *testing.T, url string) *insider {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	return &insider{t: t, ctx: ctx, submitter: client.New(url, nil).NewSubmitter(client.SubmitterConfig{Inside: true}), tasks: map[string]bool{}}
}

// queuesOfAll are in every partition.
const queuesOfAll = 12

// submit stores drafts in every partition.
func (in *insider) submit() {
	in.t.Helper()
	const each = 10
	type stored struct {
		client.Receipt
		err error
	}
	answers := make(chan stored, each*queuesOfAll)
	for i := range each * queuesOfAll {
		in.submitter.Go(in.ctx, &hivev1.Draft{Queue: fmt.Sprint("q", i%queuesOfAll), Handler: "echo"}, func(r client.Receipt, err error) {
			answers <- stored{r, err}
		})
	}
	for range cap(answers) {
		select {
		case a := <-answers:
			require.NoError(in.t, a.err)
			require.False(in.t, in.tasks[a.TaskID], "task %s is the answer to two drafts", a.TaskID)
			in.tasks[a.TaskID] = true
		case <-in.ctx.Done():
			require.NoError(in.t, in.ctx.Err(), "drafts are not answered")
		}
	}
}

// straight submits until all drafts of a round have gone to the owners of their partitions
// themselves, whom it answers the number of.
func (in *insider) straight(replicas ...*replica) (owners int) {
	in.t.Helper()
	for {
		forwarded, taken := in.counts("forwarded", replicas), in.counts("submitted", replicas)
		in.submit()
		if sum(in.counts("forwarded", replicas)) == sum(forwarded) {
			for i, now := range in.counts("submitted", replicas) {
				if now > taken[i] {
					owners++
				}
			}
			return owners
		}
	}
}

// stored asserts that there is a task for each draft, and no other.
func (in *insider) stored(url string) {
	in.t.Helper()
	require.NoError(in.t, in.submitter.Close(in.ctx))
	stats, err := client.New(url, nil).Stats(in.ctx, "")
	require.NoError(in.t, err)
	require.EqualValues(in.t, len(in.tasks), stats.GetTotal().GetSubmitted())
}

// counts answers leanvibe_tasks_total of each replica.
func (in *insider) counts(event string, replicas []*replica) []int {
	in.t.Helper()
	out := make([]int, len(replicas))
	for i, r := range replicas {
		req, err := http.NewRequestWithContext(in.ctx, http.MethodGet, r.url+"/metrics", nil)
		require.NoError(in.t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(in.t, err)
		name := fmt.Sprintf("leanvibe_tasks_total{event=%q} ", event)
		found := false
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if value, ok := strings.CutPrefix(lines.Text(), name); ok {
				_, err := fmt.Sscan(value, &out[i])
				require.NoError(in.t, err)
				found = true
			}
		}
		require.NoError(in.t, resp.Body.Close())
		require.True(in.t, found, name)
	}
	return out
}

func sum(list []int) (total int) {
	for _, n := range list {
		total += n
	}
	return total
}

// ownsSome waits until each replica owns a partition, as all of them see it.
func ownsSome(t *testing.T, replicas ...*replica) {
	t.Helper()
	for _, at := range replicas {
		stream := openSubmits(t, at.url)
		require.NoError(t, stream.Send(&hivev1.SubmitStreamRequest{Inside: true}))
		for {
			m, err := stream.Receive()
			require.NoError(t, err)
			if len(m.GetPlaces().GetAt()) == len(replicas) && ownedOf(m.GetPlaces()) == testPartitions {
				break
			}
		}
		require.NoError(t, stream.CloseRequest())
	}
}

func ownedOf(p *hivev1.Places) (n int) {
	for _, at := range p.GetAt() {
		n += len(at.GetPartitions())
	}
	return n
}

// A submitter that is inside sends each draft to the owner of its partition, and follows
// the partitions when replicas come and go; nothing is lost, and nothing stored twice.
func TestInside_FollowsTheOwners(t *testing.T) {
	w := newWorld(t, away)
	one, two, three := w.start("one").ready(t), w.start("two").ready(t), w.start("three").ready(t)
	ownsSome(t, one, two, three)
	in := newInsider(t, one.url)
	require.Equal(t, 3, in.straight(one, two, three))
	three.stop()
	in.submit() // while its partitions move
	require.NoError(t, <-three.done)
	three.done <- nil
	require.Equal(t, 2, in.straight(one, two))
	four := w.start("four")
	in.submit()
	ownsSome(t, one, two, four.ready(t))
	require.Equal(t, 3, in.straight(one, two, four))
	in.stored(two.url)
}

// An owner that is cut from Redis does not hold up its partitions' drafts for longer than
// it takes the others to take over.
func TestInside_OwnerIsCutFromRedis(t *testing.T) {
	w := newWorld(t, away)
	one, two, three := w.start("one").ready(t), w.start("two").ready(t), w.start("three").ready(t)
	ownsSome(t, one, two, three)
	in := newInsider(t, two.url)
	in.straight(one, two, three)
	one.redis.sever()
	in.submit()
	require.Equal(t, 2, in.straight(one, two, three))
	in.stored(two.url)
}

// Addresses that are wrong cost nothing but the way round.
func TestInside_WrongAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	w := newWorld(t, away)
	one := w.start("one").ready(t)
	two := w.start("two", func(_ *process.Config, c *Config) { c.InsideURL = nobody }).ready(t)
	three := w.start("three", func(_ *process.Config, c *Config) { c.InsideURL = two.url }).ready(t)
	ownsSome(t, one, two, three)
	in := newInsider(t, one.url)
	all := []*replica{one, two, three}
	for in.counts("forwarded", all)[1] == 0 { // it takes those for the third for its own
		in.submit()
	}
	before := in.counts("forwarded", all)[0]
	in.submit()
	require.Greater(t, in.counts("forwarded", all)[0], before, "those for the second go where all went at first")
	require.NoError(t, in.ctx.Err())
	in.stored(one.url)
}

// Who has not said that it is inside is told nothing, also when owners change.
func TestInside_OthersAreToldNothing(t *testing.T) {
	w := newWorld(t, away)
	one := w.start("one").ready(t)
	outside := openSubmits(t, one.url)
	inside := openSubmits(t, one.url)
	require.NoError(t, inside.Send(&hivev1.SubmitStreamRequest{Inside: true}))
	m, err := inside.Receive()
	require.NoError(t, err)
	require.EqualValues(t, testPartitions, m.GetPlaces().GetPartitions())
	require.Len(t, m.GetPlaces().GetAt(), 1)
	require.Equal(t, one.url, m.GetPlaces().GetAt()[0].GetUrl())
	require.Len(t, m.GetPlaces().GetAt()[0].GetPartitions(), testPartitions)
	frame := &hivev1.SubmitStreamRequest{Drafts: []*hivev1.Draft{{Queue: "q", Handler: "echo"}}}
	answered := func() {
		frame.Sequence++
		require.NoError(t, outside.Send(frame))
		m, err := outside.Receive()
		require.NoError(t, err)
		require.Equal(t, frame.GetSequence(), m.GetSequence())
		require.Len(t, m.GetOutcomes(), 1)
		require.Nil(t, m.GetPlaces())
	}
	answered()
	two := w.start("two").ready(t)
	for len(m.GetPlaces().GetAt()) < 2 {
		m, err = inside.Receive()
		require.NoError(t, err)
	}
	require.ElementsMatch(t, []string{one.url, two.url}, []string{m.GetPlaces().GetAt()[0].GetUrl(), m.GetPlaces().GetAt()[1].GetUrl()})
	answered()
	require.NoError(t, outside.CloseRequest())
	_, err = outside.Receive()
	require.Error(t, err, "nothing more came")
}

// An address that others could not dial is refused at the start.
func TestBind_PeerAddress(t *testing.T) {
	p, err := process.New(process.Config{Service: "universal-orchestrator", Version: "test", Instance: "one", Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	err = Bind(p, Config{PeerListen: "127.0.0.1:0", PeerAddress: "10.231.2.1"})
	require.EqualError(t, err, `HIVE_PEER_ADDRESS is "10.231.2.1": want a host and a port, for example 10.231.2.1:8091`)
}

func TestInsideURL(t *testing.T) {
	at := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 8081} }
	for want, got := range map[string]string{
		"http://10.0.0.7:8081":  insideURL(at("::"), "10.0.0.7", false),
		"https://10.0.0.7:8081": insideURL(at("0.0.0.0"), "10.0.0.7", true),
		"http://127.0.0.1:8081": insideURL(at("127.0.0.1"), "10.0.0.7", false),
		"http://[fd00::7]:8081": insideURL(at("::"), "fd00::7", false),
	} {
		require.Equal(t, want, got)
	}
	for _, ok := range []string{"", "http://10.0.0.7:8081", "https://orchestrator-1.internal"} {
		got, err := parseInsideURL(ok)
		require.NoError(t, err)
		require.Equal(t, ok, got)
	}
	for _, bad := range []string{"10.0.0.7:8081", "ftp://x", "http://", "http://x/path", "http://u@x", "http://x?y=z"} {
		_, err := parseInsideURL(bad)
		require.ErrorContains(t, err, "HIVE_INSIDE_URL is \""+bad+"\"")
		require.ErrorContains(t, err, "for example http://10.231.2.1:8081")
	}
}
