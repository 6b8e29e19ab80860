package main

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMistakesOnTheCommandLine(t *testing.T) {
	cases := []struct {
		name   string
		change func(*settings)
		want   string
	}{
		{"the defaults are right", func(*settings) {}, ""},
		{"an address beyond this machine", func(s *settings) { s.bind = "0.0.0.0" }, `--bind "0.0.0.0" is not a loopback address`},
		{"no address", func(s *settings) { s.bind = "here" }, `--bind "here" is not a loopback address`},
		{"too short a retention", func(s *settings) { s.retention = time.Hour }, "--retention 1h0m0s is below"},
		{"no namespace", func(s *settings) { s.namespace = "" }, "--namespace is empty"},
		{"an unknown log level", func(s *settings) { s.logLevel = "loud" }, `--log-level "loud"`},
		{"an unknown attribute type", func(s *settings) { s.extra = map[string]string{"OpsX": "Colour"} }, "--search-attribute OpsX=Colour: unknown type"},
		{"another type for one of ours", func(s *settings) { s.extra = map[string]string{"OpsRunbook": "Int"} }, "the platform has it as Keyword"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := defaults()
			c.change(s)
			err := s.validate()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestATakenPortIsNamedByItsFlag(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	s := defaults()
	free, err := s.freePorts(2)
	require.NoError(t, err)
	s.port, s.uiPort, s.metricsPort = free[0], l.Addr().(*net.TCPAddr).Port, free[1]
	require.ErrorContains(t, s.checkPorts(), "--ui-port")
	require.NotContains(t, s.checkPorts().Error(), "--metrics-port")
}

func TestFreePortsAreDifferentAndNoFlags(t *testing.T) {
	s := defaults()
	seen := map[int]bool{}
	ports, err := s.freePorts(100)
	require.NoError(t, err)
	for _, port := range ports {
		require.False(t, seen[port], "given twice")
		seen[port] = true
	}
	// Whatever the kernel offers next, it is none of these.
	s.port, s.uiPort, s.metricsPort = ports[0], ports[1], ports[2]
	again, err := s.freePorts(1000)
	require.NoError(t, err)
	require.NotContains(t, again, s.port)
	require.NotContains(t, again, s.uiPort)
	require.NotContains(t, again, s.metricsPort)
}
