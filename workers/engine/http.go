package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	redirectsMax = 5
	// shownMax is how much of a refused answer's body stands in the error, in bytes.
	shownMax = 200
	dialMax  = 5 * time.Second
)

// httpRequest is the payload of an http task.
type httpRequest struct {
	Method     string            `json:"method"`
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	BodyBase64 []byte            `json:"body_base64"`
}

// httpResponse is its result.
type httpResponse struct {
	Status     int               `json:"status"`
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers,omitempty"`
	Body       string            `json:"body,omitempty"`
	BodyBase64 []byte            `json:"body_base64,omitempty"`
}

// told are the answer's headers that a result has.
var told = []string{"Content-Type", "Etag", "Last-Modified", "Location"}

// reserved are headers that say whom or how a request reaches; they are the transport's.
var reserved = []string{
	"Host", "Connection", "Content-Length", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect",
}

// httpHandler makes requests that an allow list has.
type httpHandler struct {
	options HTTPOptions
	client  *http.Client
	// lookup and dial are the machine's own outside tests.
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

func newHTTP(o HTTPOptions) *httpHandler {
	h := &httpHandler{options: o, dial: (&net.Dialer{Timeout: dialMax, KeepAlive: 15 * time.Second}).DialContext}
	h.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	h.client = &http.Client{
		CheckRedirect: h.redirect,
		Transport: &http.Transport{
			// No proxy of the environment: it would dial for us, past the list.
			Proxy: nil, DialContext: h.connect, ForceAttemptHTTP2: true,
			// The bound of the answer is one of bytes that came, not of what they unpack to.
			DisableCompression:  true,
			MaxIdleConnsPerHost: 4, MaxIdleConns: 64, IdleConnTimeout: 30 * time.Second,
			TLSHandshakeTimeout: dialMax, MaxResponseHeaderBytes: 64 << 10,
		},
	}
	return h
}

// connect resolves a name once and dials the very addresses that it has checked:
// a name that resolves to another address a moment later gains nothing.
func (h *httpHandler) connect(ctx context.Context, network, address string) (net.Conn, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, err
	}
	addrs := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, ip)
	} else if addrs, err = h.lookup(ctx, host); err != nil {
		return nil, err
	}
	var failed []error
	for _, ip := range addrs {
		if !h.options.mayDial(host, port, ip) {
			failed = append(failed, &refusal{fmt.Sprintf("%s has the address %s, which is not public and in none of its networks", host, ip)})
			continue
		}
		conn, err := h.dial(ctx, network, net.JoinHostPort(ip.Unmap().String(), text))
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
	}
	if len(failed) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	return nil, errors.Join(failed...)
}

// redirect follows what the list has.
func (h *httpHandler) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > redirectsMax {
		return &refusal{fmt.Sprintf("more than %d redirects", redirectsMax)}
	}
	if err := h.options.permit(req.Method, req.URL); err != nil {
		return fmt.Errorf("redirected: %w", err)
	}
	req.Header.Del("Referer") // the task's URL is nobody else's business
	if first := via[0].URL; first.Scheme != req.URL.Scheme || first.Host != req.URL.Host {
		req.Header = http.Header{} // nor are its headers, which may hold a token
	}
	return nil
}

// Handle makes the request that the payload describes.
func (h *httpHandler) Handle(ctx context.Context, task *Task) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, h.options.Timeout)
	defer cancel()
	req, err := h.request(limited, task)
	if err != nil {
		return nil, Permanent(fmt.Errorf("http: %w", err))
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, h.failure(ctx, limited, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(h.options.MaxResponseBytes)+1))
	switch {
	case err != nil:
		return nil, h.failure(ctx, limited, err)
	case resp.StatusCode >= http.StatusBadRequest:
		return nil, refused(resp, body)
	case len(body) > h.options.MaxResponseBytes:
		return nil, Permanent(fmt.Errorf("http: the answer's body has more than %d bytes", h.options.MaxResponseBytes))
	}
	return result(resp, body)
}

// request reads the payload strictly and holds it against the list.
func (h *httpHandler) request(ctx context.Context, task *Task) (*http.Request, error) {
	in := httpRequest{Method: http.MethodGet}
	d := json.NewDecoder(bytes.NewReader(task.Payload))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, fmt.Errorf(`the payload is not a request such as {"url":"https://api.example.com/v1"}: %w`, err)
	}
	if d.More() {
		return nil, errors.New("the payload has something behind its object")
	}
	if in.Body != "" && in.BodyBase64 != nil {
		return nil, errors.New("the payload has body and body_base64: write one")
	}
	u, err := url.Parse(in.URL)
	if err != nil {
		return nil, errors.New("the payload's url cannot be read") // the error would show the URL, which may hold a token
	}
	if err := h.options.permit(in.Method, u); err != nil {
		return nil, err
	}
	body := in.BodyBase64
	if body == nil {
		body = []byte(in.Body)
	}
	req, err := http.NewRequestWithContext(ctx, in.Method, in.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// Tasks are executed at least once: who is called can tell a repeat by it.
	req.Header.Set("Idempotency-Key", task.ID)
	for name, value := range in.Headers {
		if slices.Contains(reserved, http.CanonicalHeaderKey(name)) {
			return nil, fmt.Errorf("the header %.40q is not a task's to set", name)
		}
		req.Header.Set(name, value)
	}
	return req, nil
}

// failure says of a request without an answer whether another try may mend it.
func (h *httpHandler) failure(task, limited context.Context, err error) error {
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err // without the URL, which may hold a token
	}
	var off *refusal
	switch {
	case task.Err() != nil:
		return fmt.Errorf("http: %w", task.Err())
	case errors.As(err, &off):
		return Permanent(fmt.Errorf("http: %w", err))
	case limited.Err() != nil:
		return Retryable(fmt.Errorf("http: no whole answer within %s", h.options.Timeout))
	}
	return Retryable(fmt.Errorf("http: %w", err))
}

// refused is the error of an answer from 400 on: what the other side may get over
// by itself is retryable.
func refused(resp *http.Response, body []byte) error {
	err := fmt.Errorf("http: answered %s: %.*q", resp.Status, shownMax, body)
	switch code := resp.StatusCode; {
	case code >= http.StatusInternalServerError && code != http.StatusNotImplemented,
		code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return Retryable(err)
	default:
		return Permanent(err)
	}
}

func result(resp *http.Response, body []byte) ([]byte, error) {
	out := httpResponse{Status: resp.StatusCode, URL: resp.Request.URL.String(), Headers: map[string]string{}}
	for _, name := range told {
		if v := resp.Header.Get(name); v != "" {
			out.Headers[name] = v
		}
	}
	if utf8.Valid(body) {
		out.Body = string(body)
	} else {
		out.BodyBase64 = body
	}
	raw, err := json.Marshal(out)
	if err == nil && len(raw) > resultMax && out.Body != "" {
		// Text full of control characters grows sixfold in JSON.
		out.Body, out.BodyBase64 = "", body
		raw, err = json.Marshal(out)
	}
	return raw, err
}
