package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HTTPOptions are those of the http handler.
type HTTPOptions struct {
	// Allow lists what may be called; everything else is refused.
	Allow []Allowed
	// Timeout bounds one task's request with its redirects and its answer, 10 s unless set.
	Timeout time.Duration
	// MaxResponseBytes bounds the answer's body, 64 KiB unless set, at most 160 KiB:
	// a result holds 256 KiB, and bytes that are no text grow by a third in it.
	MaxResponseBytes int
}

// Allowed is one line of the allow list.
type Allowed struct {
	// Host is a name or an IP address, as the task's URL must have it.
	Host string
	// Ports that may be called; 443 unless set.
	Ports []int
	// Methods that may be used; GET and HEAD unless set.
	Methods []string
	// Networks are the addresses beside public ones that the host may have, such as
	// 10.231.0.0/16. A Host that is an IP address may have itself.
	Networks []netip.Prefix
}

const (
	httpTimeoutDefault = 10 * time.Second
	httpTimeoutMax     = 10 * time.Minute
	responseDefault    = 64 << 10
	responseMax        = 160 << 10
)

var (
	methods  = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	hostForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?$`)
)

func isHost(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == "" || err != nil && hostForm.MatchString(s)
}

func isPort(n int) bool { return n >= 1 && n <= 65535 }

func isMethod(s string) bool { return slices.Contains(methods, s) }

// completed fills in what was left out, in a copy.
func (o HTTPOptions) completed() HTTPOptions {
	o.Timeout = or(o.Timeout, httpTimeoutDefault)
	o.MaxResponseBytes = or(o.MaxResponseBytes, responseDefault)
	o.Allow = slices.Clone(o.Allow)
	for i := range o.Allow {
		a := &o.Allow[i]
		a.Host = strings.ToLower(a.Host)
		if len(a.Ports) == 0 {
			a.Ports = []int{443}
		}
		if len(a.Methods) == 0 {
			a.Methods = []string{"GET", "HEAD"}
		}
	}
	return o
}

func (o HTTPOptions) check() error {
	var problems []error
	if len(o.Allow) == 0 {
		problems = append(problems, errors.New("http.allow: want at least one host, for example {host: api.example.com}"))
	}
	for i, a := range o.Allow {
		if !isHost(a.Host) {
			problems = append(problems, fmt.Errorf("http.allow[%d].host %q: want a name in ASCII or an IP address, for example api.example.com", i, a.Host))
		}
		for _, p := range a.Ports {
			if !isPort(p) {
				problems = append(problems, fmt.Errorf("http.allow[%d].ports: %d is no port from 1 to 65535", i, p))
			}
		}
		for _, m := range a.Methods {
			if !isMethod(m) {
				problems = append(problems, fmt.Errorf("http.allow[%d].methods: %q is none of %s", i, m, strings.Join(methods, ", ")))
			}
		}
	}
	if o.Timeout <= 0 || o.Timeout > httpTimeoutMax {
		problems = append(problems, fmt.Errorf("http.timeout %s: want a duration above 0 and up to %s", o.Timeout, httpTimeoutMax))
	}
	if o.MaxResponseBytes < 1 || o.MaxResponseBytes > responseMax {
		problems = append(problems, fmt.Errorf("http.max_response_bytes %d: want 1 to %d", o.MaxResponseBytes, responseMax))
	}
	return errors.Join(problems...)
}

// refusal is a request that the allow list does not have.
type refusal struct{ text string }

func (r *refusal) Error() string { return "not on the allow list: " + r.text }

// permit holds a request against the list.
func (o HTTPOptions) permit(method string, u *url.URL) error {
	port, err := portOf(u)
	if err != nil {
		return &refusal{err.Error()}
	}
	if u.User != nil {
		return &refusal{"a URL with a user in it; send a header instead"}
	}
	host := strings.ToLower(u.Hostname())
	for _, a := range o.Allow {
		if a.matches(host, port) && slices.Contains(a.Methods, method) {
			return nil
		}
	}
	return &refusal{fmt.Sprintf("%.10s of host %.255s, port %d", method, host, port)}
}

// portOf is the port that a URL names or its scheme means.
func portOf(u *url.URL) (int, error) {
	if u.Scheme != "http" && u.Scheme != "https" {
		return 0, fmt.Errorf("the scheme %.20q", u.Scheme)
	}
	if u.Opaque != "" || u.Hostname() == "" {
		return 0, errors.New("a URL without a host")
	}
	switch text := u.Port(); {
	case text != "":
		n, err := strconv.Atoi(text)
		if err != nil || !isPort(n) {
			return 0, fmt.Errorf("the port %.10q", text)
		}
		return n, nil
	case u.Scheme == "http":
		return 80, nil
	default:
		return 443, nil
	}
}

func (a Allowed) matches(host string, port int) bool {
	if !slices.Contains(a.Ports, port) {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		own, err := netip.ParseAddr(a.Host)
		return err == nil && own.Unmap() == ip.Unmap()
	}
	return a.Host == host
}

// mayDial tells whether an address that a host has may be dialled.
func (o HTTPOptions) mayDial(host string, port int, ip netip.Addr) bool {
	ip = ip.Unmap()
	for _, a := range o.Allow {
		if !a.matches(host, port) {
			continue
		}
		if own, err := netip.ParseAddr(a.Host); err == nil && own.Unmap() == ip {
			return true
		}
		if isPublic(ip) || slices.ContainsFunc(a.Networks, func(n netip.Prefix) bool { return n.Contains(ip) }) {
			return true
		}
	}
	return false
}

// special are networks that netip has no word for and that are not the public
// Internet, or lead past it (IANA's special-purpose registries, RFC 6890).
var special = func() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		// IPv6 that holds an IPv4 address, behind which anything may lie.
		"::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/23", "2002::/16",
		"100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

// isPublic tells whether an address is one of the public Internet.
func isPublic(ip netip.Addr) bool {
	return ip.IsValid() && ip.Zone() == "" && ip.IsGlobalUnicast() && !ip.IsPrivate() &&
		!slices.ContainsFunc(special, func(n netip.Prefix) bool { return n.Contains(ip) })
}
