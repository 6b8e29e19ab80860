package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// allow lists a test server's address.
func allow(t *testing.T, s *httptest.Server, methods ...string) Allowed {
	t.Helper()
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	return Allowed{Host: u.Hostname(), Ports: []int{port}, Methods: methods}
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func fetcher(t *testing.T, o HTTPOptions) *httpHandler {
	t.Helper()
	o = o.completed()
	require.NoError(t, o.check())
	h := newHTTP(o)
	t.Cleanup(h.client.CloseIdleConnections)
	return h
}

func fetch(t *testing.T, h *httpHandler, request httpRequest) (httpResponse, error) {
	t.Helper()
	if request.Method == "" {
		request.Method = "GET"
	}
	payload, err := json.Marshal(request)
	require.NoError(t, err)
	raw, err := h.Handle(t.Context(), &Task{ID: "task-1", Payload: payload})
	var out httpResponse
	if err == nil {
		require.NoError(t, json.Unmarshal(raw, &out))
	}
	return out, err
}

func TestHTTP_Allowed(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) == 3 && body[0] == 0xff {
			_, _ = w.Write(body)
			return
		}
		w.Header().Set("ETag", `"1"`)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, body, r.Header.Get("X-Token"), r.Header.Get("Idempotency-Key"))
	})
	h := fetcher(t, HTTPOptions{Allow: []Allowed{allow(t, s, "GET", "POST")}})
	out, err := fetch(t, h, httpRequest{Method: "POST", URL: s.URL + "/x", Headers: map[string]string{"X-Token": "t"}, Body: "hi"})
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, out.Status)
	require.Equal(t, "POST hi t task-1", out.Body)
	require.Equal(t, `"1"`, out.Headers["Etag"])

	out, err = fetch(t, h, httpRequest{Method: "POST", URL: s.URL, BodyBase64: []byte{0xff, 0, 1}})
	require.NoError(t, err)
	require.Equal(t, []byte{0xff, 0, 1}, out.BodyBase64, "what is no text stays whole")
}

func TestHTTP_NotAllowed(t *testing.T) {
	var reached atomic.Int64
	s := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	other := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	h := fetcher(t, HTTPOptions{Allow: []Allowed{allow(t, s, "GET")}})
	port := strings.TrimPrefix(s.URL, "http://127.0.0.1:")
	for name, c := range map[string]struct {
		request httpRequest
		want    string
	}{
		"other port":        {httpRequest{URL: other.URL}, "not on the allow list: GET of host 127.0.0.1"},
		"other method":      {httpRequest{Method: "DELETE", URL: s.URL}, "not on the allow list: DELETE of host"},
		"method's case":     {httpRequest{Method: "get", URL: s.URL}, "not on the allow list: get of host"},
		"the host by name":  {httpRequest{URL: "http://localhost:" + port}, "not on the allow list: GET of host localhost"},
		"short address":     {httpRequest{URL: "http://127.1:" + port}, "not on the allow list"},
		"user in the URL":   {httpRequest{URL: "http://a:b@127.0.0.1:" + port}, "a URL with a user in it"},
		"other scheme":      {httpRequest{URL: "file:///etc/passwd"}, `the scheme "file"`},
		"no host":           {httpRequest{URL: "http:///x"}, "a URL without a host"},
		"no URL":            {httpRequest{}, `the scheme ""`},
		"host header":       {httpRequest{URL: s.URL, Headers: map[string]string{"host": "internal"}}, `the header "host" is not a task's to set`},
		"header's line end": {httpRequest{URL: s.URL, Headers: map[string]string{"X": "a\r\nHost: b"}}, "invalid header field value"},
		"two bodies":        {httpRequest{URL: s.URL, Body: "a", BodyBase64: []byte("b")}, "body and body_base64"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fetch(t, h, c.request)
			require.ErrorContains(t, err, c.want)
			if name != "header's line end" { // the library's own refusal
				require.True(t, permanent(err), "%v", err)
			}
		})
	}
	for payload, want := range map[string]string{`{"uri":"x"}`: "unknown field", `x`: "is not a request such as", `{"url":"x"} {}`: "something behind its object"} {
		_, err := h.Handle(t.Context(), &Task{Payload: []byte(payload)})
		require.ErrorContains(t, err, want)
		require.True(t, permanent(err))
	}
	require.Zero(t, reached.Load(), "nobody was called")
}

func TestHTTP_Redirects(t *testing.T) {
	var reached atomic.Int64
	secret := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	friend := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "friend %q", r.Header.Get("X-Token")) })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{"/secret": secret.URL, "/file": "file:///etc/passwd", "/friend": friend.URL, "/loop": "/loop", "/self": "/end"}[r.URL.Path]
		if to == "" {
			fmt.Fprintf(w, "end %q %q", r.Header.Get("X-Token"), r.Header.Get("Referer"))
			return
		}
		http.Redirect(w, r, to, http.StatusFound)
	})
	h := fetcher(t, HTTPOptions{Allow: []Allowed{allow(t, s, "GET"), allow(t, friend, "GET")}})
	get := func(path string) (httpResponse, error) {
		return fetch(t, h, httpRequest{URL: s.URL + path, Headers: map[string]string{"X-Token": "t"}})
	}
	for path, want := range map[string]string{"/secret": "redirected: not on the allow list", "/file": "redirected: not on the allow list", "/loop": "more than 5 redirects"} {
		_, err := get(path)
		require.ErrorContains(t, err, want, path)
		require.True(t, permanent(err), path)
	}
	require.Zero(t, reached.Load(), "what is not on the list was not called")

	out, err := get("/self")
	require.NoError(t, err)
	require.Equal(t, `end "t" ""`, out.Body)
	out, err = get("/friend")
	require.NoError(t, err)
	require.Equal(t, `friend ""`, out.Body, "the task's headers are for the host that it named")
}

func TestHTTP_TooBig(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		_, _ = io.WriteString(w, strings.Repeat("\x01", n))
	})
	h := fetcher(t, HTTPOptions{MaxResponseBytes: responseMax, Allow: []Allowed{allow(t, s, "GET")}})
	out, err := fetch(t, h, httpRequest{URL: s.URL + "?n=" + strconv.Itoa(responseMax)})
	require.NoError(t, err)
	require.Len(t, out.BodyBase64, responseMax, "as text it would be six times as long")
	_, err = fetch(t, h, httpRequest{URL: s.URL + "?n=" + strconv.Itoa(responseMax+1)})
	require.ErrorContains(t, err, "has more than 163840 bytes")
	require.True(t, permanent(err))
}

func TestHTTP_TooSlow(t *testing.T) {
	end := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "begun")
			_ = http.NewResponseController(w).Flush()
		}
		<-end
	})
	t.Cleanup(func() { close(end) }) // before the server's own, which waits for its handlers
	h := fetcher(t, HTTPOptions{Timeout: 50 * time.Millisecond, Allow: []Allowed{allow(t, s, "GET")}})
	for _, path := range []string{"/head", "/body"} {
		_, err := fetch(t, h, httpRequest{URL: s.URL + path})
		require.ErrorContains(t, err, "no whole answer within 50ms", path)
		require.False(t, permanent(err), path)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Handle(ctx, &Task{Payload: []byte(`{"url":"` + s.URL + `"}`)})
	require.ErrorIs(t, err, context.Canceled, "the task's own end is not the handler's timeout")
}

func TestHTTP_Refused(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.URL.Path[1:])
		http.Error(w, "because", code)
	})
	h := fetcher(t, HTTPOptions{Allow: []Allowed{allow(t, s, "GET")}})
	for code, final := range map[int]bool{400: true, 404: true, 408: false, 425: false, 429: false, 500: false, 501: true, 503: false} {
		_, err := fetch(t, h, httpRequest{URL: fmt.Sprintf("%s/%d", s.URL, code)})
		require.ErrorContains(t, err, "because", code)
		require.Equal(t, final, permanent(err), code)
	}
	s.Close()
	_, err := fetch(t, h, httpRequest{URL: s.URL})
	require.Error(t, err)
	require.False(t, permanent(err), "a server that is away may come back")
	require.NotContains(t, err.Error(), "Get ", "the URL may hold a token")
}

// A name that is public when it is looked at and private when it is dialled is the
// classic way past a list of hosts.
func TestHTTP_Rebinding(t *testing.T) {
	var reached atomic.Int64
	s := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	own := allow(t, s, "GET")
	h := fetcher(t, HTTPOptions{Allow: []Allowed{{Host: "rebind.example.com", Ports: own.Ports, Methods: own.Methods}}})
	var lookups atomic.Int64
	h.lookup = func(context.Context, string) ([]netip.Addr, error) {
		if lookups.Add(1) == 1 {
			return []netip.Addr{netip.MustParseAddr("93.184.215.14")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	var dialled []string
	h.dial = func(_ context.Context, _, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return nil, errors.New("this test dials nobody outside")
	}
	target := fmt.Sprintf("http://rebind.example.com:%d/", own.Ports[0])
	_, err := fetch(t, h, httpRequest{URL: target})
	require.ErrorContains(t, err, "dials nobody")
	require.Equal(t, []string{fmt.Sprintf("93.184.215.14:%d", own.Ports[0])}, dialled, "the address that was checked is dialled, not the name")
	require.EqualValues(t, 1, lookups.Load(), "looked up once for one connection")

	h.dial = (&net.Dialer{}).DialContext
	_, err = fetch(t, h, httpRequest{URL: target})
	require.ErrorContains(t, err, "rebind.example.com has the address 127.0.0.1, which is not public")
	require.True(t, permanent(err))
	require.Zero(t, reached.Load())

	listed := fetcher(t, HTTPOptions{Allow: []Allowed{{Host: "rebind.example.com", Ports: own.Ports, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}})
	listed.lookup = h.lookup
	_, err = fetch(t, listed, httpRequest{URL: target})
	require.NoError(t, err, "a network that is listed")
	require.EqualValues(t, 1, reached.Load())
}

func TestIsPublic(t *testing.T) {
	for _, s := range []string{"8.8.8.8", "93.184.215.14", "2606:4700::1111", "2001:4860:4860::8888"} {
		require.True(t, isPublic(netip.MustParseAddr(s)), s)
	}
	for _, s := range []string{
		"127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255",
		"198.18.0.1", "192.0.2.1", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1",
		"64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "fec0::1",
	} {
		require.False(t, isPublic(netip.MustParseAddr(s)), s)
	}
}
