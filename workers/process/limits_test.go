package process

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/process/access"
)

func small(c *Config) {
	c.Limits = access.Limits{
		HeaderBytes: 8 << 10, HeaderTimeout: short, IdleTimeout: 10 * short,
		Body: 64 << 10, BodyGrace: short, BodyRate: 64 << 10, WriteGrace: short,
	}
}

// raw speaks HTTP/1.1 by hand.
type raw struct {
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, s *server, text string) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	return &raw{conn, bufio.NewReader(conn)}
}

func (r *raw) answer(t *testing.T) (int, said) {
	t.Helper()
	resp, err := http.ReadResponse(r.in, nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	var out said
	_ = json.NewDecoder(resp.Body).Decode(&out)
	return resp.StatusCode, out
}

func (r *raw) ends(t *testing.T) {
	t.Helper()
	_, err := io.Copy(io.Discard, r.in)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection was not ended")
}

func TestLimits_Header(t *testing.T) {
	s := start(t, small)
	status, _ := dial(t, s, "GET /v1/stats HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("x", 20<<10)+"\r\n\r\n").answer(t)
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, status)
	dial(t, s, "GET /v1/stats HTTP/1.1\r\nHost: a\r\nX: ").ends(t)
	dial(t, s, "").ends(t)
}

func TestLimits_OversizedBody(t *testing.T) {
	s := start(t, small)
	status, out := dial(t, s, "POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n").answer(t)
	require.Equal(t, http.StatusRequestEntityTooLarge, status, "refused before it is sent")
	require.Equal(t, "payload_too_large", out.Error.Code)
	require.Equal(t, "body_size", out.Error.Reason)
	require.Equal(t, "resource_exhausted", out.Code)
	require.Empty(t, s.served)

	long := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 65537, strings.Repeat("x", 65537))
	status, out = dial(t, s, "POST /v1/tasks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+long).answer(t)
	require.Equal(t, http.StatusRequestEntityTooLarge, status, "or as it comes: nobody knows its end")
	require.Equal(t, "the request's body is over 65536 bytes", out.Message)
	require.InDelta(t, 2, s.refusals(t, "body_size"), 0)

	whole := "POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("x", 65536)
	status, _ = dial(t, s, whole).answer(t)
	require.Equal(t, 200, status)
}

func TestLimits_SlowBody(t *testing.T) {
	s := start(t, small)
	c := dial(t, s, "POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
	status, out := c.answer(t)
	require.Equal(t, http.StatusRequestTimeout, status)
	require.Equal(t, "too_slow", out.Error.Code)
	require.Equal(t, "body_slow", out.Error.Reason)
	require.InDelta(t, 1, s.refusals(t, "body_slow"), 0)
	c.ends(t)

	// One that trickles gains nothing by it.
	c = dial(t, s, "POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				_, _ = c.Write([]byte("x")) // it may have been cut by now
			}
		}
	})
	defer writer.Wait()
	defer close(stop)
	status, _ = c.answer(t)
	require.Equal(t, http.StatusRequestTimeout, status)
}

func TestLimits_AConnectionServesOnAfterLongPollsAndBodies(t *testing.T) {
	s := start(t, small)
	c := dial(t, s, "")
	for i := range 2 {
		_, err := fmt.Fprintf(c, "GET /v1/tasks/%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", i)
		require.NoError(t, err)
		status, _ := c.answer(t)
		require.Equal(t, 200, status, "a poll outlasts the limits")
		_, err = io.WriteString(c, "POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
		require.NoError(t, err)
		status, _ = c.answer(t)
		require.Equal(t, 200, status)
	}
	// The bound of the last answer has passed, and the server itself writes "100 Continue".
	<-time.After(longer)
	_, err := io.WriteString(c, "POST /v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	require.NoError(t, err)
	status, _ := c.answer(t)
	require.Equal(t, 100, status)
	_, err = io.WriteString(c, "{}")
	require.NoError(t, err)
	status, _ = c.answer(t)
	require.Equal(t, 200, status)
	require.Empty(t, s.ended)
	require.Zero(t, s.refusals(t, "body_slow")+s.refusals(t, "read_slow"))
}

func TestLimits_PeerThatDoesNotRead(t *testing.T) {
	s := start(t, small)
	t.Run("HTTP/1.1", func(t *testing.T) {
		dial(t, s, "GET /v1/tasks/1/wait HTTP/1.1\r\nHost: a\r\n\r\n")
		require.Equal(t, "write", awaited(t, s.ended))
		require.InDelta(t, 1, s.refusals(t, "read_slow"), 0)
	})
	t.Run("HTTP/2", func(t *testing.T) {
		resp, err := http2Client(t, nil).Get("http://" + s.addr + "/v1/tasks/1/wait")
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, 2, resp.ProtoMajor)
		require.Equal(t, "write", awaited(t, s.ended))
		require.InDelta(t, 2, s.refusals(t, "read_slow"), 0)
	})
}

func awaited(t *testing.T, c <-chan string) string {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.Fail(t, "nothing came")
		return ""
	}
}

func http2Client(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: config}
	tr.Protocols.SetHTTP2(config != nil)
	tr.Protocols.SetUnencryptedHTTP2(config == nil)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// A stream may be silent between frames for longer than every limit; within one it may not.
func TestLimits_StreamsAreBoundedByTheFrame(t *testing.T) {
	s := start(t, small)
	open := func(t *testing.T) (*io.PipeWriter, func() *http.Response) {
		t.Helper()
		out, in := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.addr+"/hive.v1.AssignmentService/Attach", out)
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/connect+json")
		done := make(chan *http.Response, 1)
		go func() {
			resp, err := http2Client(t, nil).Do(req)
			if err == nil {
				done <- resp
			}
		}()
		return in, func() *http.Response {
			select {
			case resp := <-done:
				t.Cleanup(func() { _ = resp.Body.Close() })
				return resp
			case <-time.After(patience):
				require.Fail(t, "no answer")
				return nil
			}
		}
	}
	frame := "\x00\x00\x00\x00\x03abc"

	in, answer := open(t)
	_, err := io.WriteString(in, frame)
	require.NoError(t, err)
	<-time.After(longer) // the silence itself is what is tested
	_, err = io.WriteString(in, frame)
	require.NoError(t, err)
	require.NoError(t, in.Close())
	resp := answer()
	require.Equal(t, 200, resp.StatusCode)
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, frame+frame, string(got))
	require.Equal(t, "body", awaited(t, s.ended))
	require.Zero(t, s.refusals(t, "body_slow"))

	in, _ = open(t)
	_, err = io.WriteString(in, frame+"\x00\x00\x00")
	require.NoError(t, err)
	require.Equal(t, "body", awaited(t, s.ended), "half a frame is no reason to wait for ever")
	require.InDelta(t, 1, s.refusals(t, "body_slow"), 0)
	require.NoError(t, in.Close())

	in, answer = open(t)
	resp = answer()
	require.Equal(t, http.StatusRequestTimeout, resp.StatusCode, "nor is silence from the beginning")
	require.NoError(t, in.Close())
}
