package proxy

import (
	"bytes"
	"strings"
	"time"
)

// line is one request as nginx logged it at its end.
type line struct {
	// Ended is in milliseconds since 1970, nginx's own resolution.
	Ended int64
	// Took is from the first byte of the client to the last byte to it, in ms.
	Took int64
	URI  string
	// Status is what the client got; 499 if it left before.
	Status int
	// Tries are the addresses asked, in order; the last one's answer went out.
	Tries []try
}

// try is one address asked for one request.
type try struct {
	Address string
	// Status is the address's answer; 0 where nginx writes "-", and 502 or 504 where
	// there was no answer in form or in time.
	Status int
	// Took is in ms.
	Took int64
}

// parse reads a line of nginx.conf's log_format hive. It does not use a JSON
// decoder: nginx writes a status of 000, which is no JSON number, and a run has
// lines by the hundred thousand.
func parse(raw []byte) (line, bool) {
	var l line
	var addresses, statuses, times []byte
	ended := false
	ok := eachField(raw, func(key, value []byte) {
		switch string(key) {
		case "msec":
			l.Ended, ended = millis(value)
		case "request_time":
			l.Took, _ = millis(value)
		case "uri":
			l.URI = string(value)
		case "status":
			l.Status = int(digits(value))
		case "upstream_addr":
			addresses = value
		case "upstream_status":
			statuses = value
		case "upstream_response_time":
			times = value
		}
	})
	if !ok || !ended {
		return l, false
	}
	for len(addresses) > 0 {
		var address, status, took []byte
		address, addresses = item(addresses)
		status, statuses = item(statuses)
		took, times = item(times)
		t := try{Address: string(address), Status: int(digits(status))}
		t.Took, _ = millis(took)
		l.Tries = append(l.Tries, t)
	}
	return l, true
}

// item cuts the first of a list: "a, b" are addresses tried one after the other,
// " : " lies between groups where nginx redirected within itself.
func item(list []byte) (first, rest []byte) {
	for i, c := range list {
		switch {
		case c == ',':
			return list[:i], bytes.TrimLeft(list[i+1:], " ")
		case c == ':' && i > 0 && list[i-1] == ' ':
			return list[:i-1], bytes.TrimLeft(list[i+1:], " ")
		}
	}
	return list, nil
}

// eachField goes through a flat object on one line; values that are strings come
// without quotes and still escaped.
func eachField(raw []byte, field func(key, value []byte)) bool {
	raw = bytes.TrimSpace(raw)
	if len(raw) < 2 || raw[0] != '{' || raw[len(raw)-1] != '}' {
		return false
	}
	raw = raw[1 : len(raw)-1]
	for {
		key, rest, ok := quoted(raw)
		if !ok || len(rest) == 0 || rest[0] != ':' {
			return false
		}
		raw = rest[1:]
		var value []byte
		if len(raw) > 0 && raw[0] == '"' {
			if value, raw, ok = quoted(raw); !ok {
				return false
			}
		} else {
			end := bytes.IndexByte(raw, ',')
			if end < 0 {
				end = len(raw)
			}
			value, raw = raw[:end], raw[end:]
		}
		field(key, value)
		if len(raw) == 0 {
			return true
		}
		if raw[0] != ',' {
			return false
		}
		raw = raw[1:]
	}
}

func quoted(raw []byte) (text, rest []byte, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return nil, nil, false
	}
	for i := 1; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return raw[1:i], raw[i+1:], true
		}
	}
	return nil, nil, false
}

// millis reads seconds with a fraction, such as 0.007.
func millis(b []byte) (int64, bool) {
	whole, fraction, _ := bytes.Cut(b, []byte{'.'})
	if len(whole) == 0 || len(whole) > 12 || digits(whole) < 0 {
		return 0, false
	}
	ms := digits(whole) * 1000
	for scale, i := int64(100), 0; i < len(fraction) && scale > 0; i, scale = i+1, scale/10 {
		if fraction[i] < '0' || fraction[i] > '9' {
			return 0, false
		}
		ms += int64(fraction[i]-'0') * scale
	}
	return ms, true
}

// digits is the number, -1 where there is something else; "-" and nothing are 0.
func digits(b []byte) int64 {
	if len(b) == 1 && b[0] == '-' {
		return 0
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

const (
	clientLeft = 499
	switched   = 101
	draining   = 503
)

// stream says that the request's time is no latency: a WebSocket and an agent's
// stream last as long as they are wanted, a long poll as long as nothing happens.
// It is a request all the same.
func (l line) stream() bool {
	return l.Status == switched || strings.HasPrefix(l.URI, "/hive.v1.") || strings.HasPrefix(l.URI, "/v1/hub/") || strings.HasSuffix(l.URI, "/wait")
}

// ours says that the hand itself asked, for the generation.
func (l line) ours() bool { return strings.HasPrefix(l.URI, ourPath) }

// failed says that the address of a try failed it: a 5xx answer, a refused or broken
// connection, a timeout. A client that left says nothing of the address. A broken
// connection in the middle of a body is not in the log: the client had its status.
func (l line) failed(i int) bool {
	t, last := l.Tries[i], i == len(l.Tries)-1
	switch {
	case last && l.Status == clientLeft:
		return false
	case t.Status == 0: // asked and no status: the next one was tried, or the client heard of it
		return !last || l.Status >= 500
	default:
		return t.Status >= 500
	}
}

// answered says that the address itself answered a try, and not only that it drains.
func (l line) answered(i int) bool {
	return l.Tries[i].Status > 0 && !l.failed(i)
}

// began is when a try began, as far as the log can tell: the request's begin and
// the tries before it.
func (l line) began(i int) time.Time {
	at := l.Ended - l.Took
	for _, t := range l.Tries[:i] {
		at += t.Took
	}
	return time.UnixMilli(at)
}
