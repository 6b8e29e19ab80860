package client

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

func TestStreamTransport_AgreesOnHTTP2WithTLS(t *testing.T) {
	_, handler := hivev1connect.NewAssignmentServiceHandler(newStore())
	srv := httptest.NewUnstartedServer(handler)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	transport := NewStreamTransport()
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	s := New(srv.URL, nil, WithStreams(&http.Client{Transport: transport})).NewSubmitter(SubmitterConfig{Log: silent})
	r, err := s.Submit(t.Context(), &hivev1.Draft{IdempotencyKey: "k", Queue: "q"})
	require.NoError(t, err)
	require.Equal(t, "task-k", r.TaskID)
	closed(t, s)
}
