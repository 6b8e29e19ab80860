package assignment

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// tellPlaces says where each partition is served, now and after each change, until ctx ends.
// A replica that Redis does not answer says nothing: what it knows may be over.
func (s *service) tellPlaces(ctx context.Context, tell func(*hivev1.SubmitStreamResponse)) {
	var said []string
	for {
		changed := s.keeper.Changed()
		if now := s.keeper.Served(); !slices.Equal(now, said) && !s.keeper.Lost() {
			tell(&hivev1.SubmitStreamResponse{Places: placesToProto(now)})
			said = now
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// placesToProto turns the URL of each partition's owner, empty where it is not known, into
// the partitions of each URL.
func placesToProto(urls []string) *hivev1.Places {
	out := &hivev1.Places{Partitions: uint32(len(urls))}
	byURL := map[string]*hivev1.Place{}
	for n, u := range urls {
		if u == "" {
			continue
		}
		at := byURL[u]
		if at == nil {
			at = &hivev1.Place{Url: u}
			byURL[u] = at
			out.At = append(out.At, at)
		}
		at.Partitions = append(at.Partitions, uint32(n))
	}
	return out
}

// insideURL answers where clients on the replicas' network reach the listener of calls: at
// its own address, or where it has none on the host that other replicas are told.
func insideURL(listener net.Addr, host string, secure bool) string {
	u := url.URL{Scheme: "http", Host: listener.String()}
	if secure {
		u.Scheme = "https"
	}
	if tcp, ok := listener.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		u.Host = net.JoinHostPort(host, strconv.Itoa(tcp.Port))
	}
	return u.String()
}

// parseInsideURL checks HIVE_INSIDE_URL, which may be empty.
func parseInsideURL(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return "", fmt.Errorf("HIVE_INSIDE_URL is %q: want the URL at which clients on the replicas' network call this one, without a path, for example http://10.231.2.1:8081", text)
	}
	return text, nil
}
