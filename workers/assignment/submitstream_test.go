package assignment

import (
	"context"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

type submits = connect.BidiStreamForClient[hivev1.SubmitStreamRequest, hivev1.SubmitStreamResponse]

// openSubmits opens a submitter's stream without the client's own handling of it.
func openSubmits(t *testing.T, url string) *submits {
	t.Helper()
	c := hivev1connect.NewAssignmentServiceClient(&http.Client{Transport: client.NewStreamTransport()}, url, connect.WithGRPC())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	stream := c.SubmitStream(ctx)
	t.Cleanup(func() { require.NoError(t, stream.CloseResponse()) })
	return stream
}

// A frame that is refused as a whole says so of each draft.
func TestSubmitStream_WholeFrameRefused(t *testing.T) {
	stream := openSubmits(t, newWorld(t, away).start("one").ready(t).url)
	for sequence, drafts := range map[uint64]int{1: 0, 2: MaxBatch + 1} {
		require.NoError(t, stream.Send(&hivev1.SubmitStreamRequest{Sequence: sequence, Drafts: make([]*hivev1.Draft, drafts)}))
		m, err := stream.Receive()
		require.NoError(t, err)
		require.Equal(t, sequence, m.GetSequence())
		require.Len(t, m.GetOutcomes(), max(1, drafts))
		for _, o := range m.GetOutcomes() {
			require.Equal(t, "invalid_argument", o.GetRefused())
			require.Contains(t, o.GetReason(), "must be 1 to 500")
		}
	}
}
