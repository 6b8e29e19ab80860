package proxy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	const head = `{"time":"2026-11-24T20:00:01+00:00","msec":1763999999.007,"method":"GET","uri":"/v1/tasks","status":200,"upstream":"universal-orchestrator",`
	cases := map[string]struct {
		raw  string
		want line
	}{
		"one try": {
			head + `"upstream_addr":"10.231.16.4:8081","upstream_status":"200","request_time":0.012,"upstream_response_time":"0.011","generation":"7"}`,
			line{Ended: 1763999999007, Took: 12, URI: "/v1/tasks", Status: 200, Tries: []try{{"10.231.16.4:8081", 200, 11}}},
		},
		"retried, then redirected within": {
			head + `"upstream_addr":"10.231.16.4:8081, 10.231.16.5:8081 : 10.231.16.6:8081","upstream_status":"502, 503 : 200","request_time":1.010,"upstream_response_time":"1.001, 0.002 : 0.007"}`,
			line{Ended: 1763999999007, Took: 1010, URI: "/v1/tasks", Status: 200, Tries: []try{
				{"10.231.16.4:8081", 502, 1001}, {"10.231.16.5:8081", 503, 2}, {"10.231.16.6:8081", 200, 7},
			}},
		},
		"IPv6 and a dash": {
			head + `"upstream_addr":"[fd00::4]:8081","upstream_status":"-","request_time":0.100,"upstream_response_time":"-"}`,
			line{Ended: 1763999999007, Took: 100, URI: "/v1/tasks", Status: 200, Tries: []try{{"[fd00::4]:8081", 0, 0}}},
		},
		"no upstream, a quote in the path, a status that is no JSON": {
			`{"msec":1763999999.5,"uri":"/a\"b,\\","status":000,"upstream_addr":"","request_time":0.000}`,
			line{Ended: 1763999999500, URI: `/a\"b,\\`, Tries: nil},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := parse([]byte(c.raw + "\n"))
			require.True(t, ok)
			require.Equal(t, c.want, got)
		})
	}
	for name, raw := range map[string]string{
		"empty": "", "no JSON": `127.0.0.1 - - [24/Nov/2026] "GET / HTTP/1.1" 200`, "torn": head,
		"no msec": `{"uri":"/","status":200}`, "zeros after a power cut": "\x00\x00\x00", "half a string": `{"msec":1.0,"uri":"/a}`,
	} {
		t.Run("unreadable: "+name, func(t *testing.T) {
			_, ok := parse([]byte(raw))
			require.False(t, ok)
		})
	}
}

func TestVerdictOfATry(t *testing.T) {
	tries := func(status ...int) []try {
		var out []try
		for _, s := range status {
			out = append(out, try{Address: "a", Status: s})
		}
		return out
	}
	cases := map[string]struct {
		line             line
		try              int
		failed, answered bool
	}{
		"good":                        {line{Status: 200, Tries: tries(200)}, 0, false, true},
		"the client's mistake":        {line{Status: 404, Tries: tries(404)}, 0, false, true},
		"5xx":                         {line{Status: 500, Tries: tries(500)}, 0, true, false},
		"refused, next tried":         {line{Status: 200, Tries: tries(502, 200)}, 0, true, false},
		"the one that was next":       {line{Status: 200, Tries: tries(502, 200)}, 1, false, true},
		"timeout":                     {line{Status: 504, Tries: tries(504)}, 0, true, false},
		"no status, next tried":       {line{Status: 200, Tries: tries(0, 200)}, 0, true, false},
		"no status, the client heard": {line{Status: 502, Tries: tries(0)}, 0, true, false},
		"client left":                 {line{Status: 499, Tries: tries(0)}, 0, false, false},
		"client's body was too big":   {line{Status: 413, Tries: tries(0)}, 0, false, false},
		"WebSocket":                   {line{Status: 101, Tries: tries(101)}, 0, false, true},
		"drains":                      {line{Status: 503, Tries: tries(503)}, 0, true, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.failed, c.line.failed(c.try))
			require.Equal(t, c.answered, c.line.answered(c.try))
		})
	}
}

func TestBeganIsReckonedBack(t *testing.T) {
	l := line{Ended: 100_000, Took: 5_010, Tries: []try{{"a", 502, 1_000}, {"b", 200, 4_000}}}
	require.Equal(t, time.UnixMilli(94_990), l.began(0))
	require.Equal(t, time.UnixMilli(95_990), l.began(1))
}

func TestStreams(t *testing.T) {
	for uri, stream := range map[string]bool{
		"/v1/tasks": false, "/v1/tasks/1/wait": true, "/hive.v1.AssignmentService/Work": true, "/v1/hub/connect": true,
		"/v1/messages": false, "/waiting": false,
	} {
		require.Equal(t, stream, line{URI: uri, Status: 200}.stream(), uri)
	}
	require.True(t, line{URI: "/anything", Status: 101}.stream())
}
