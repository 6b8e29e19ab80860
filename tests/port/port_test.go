package port

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func listen(number int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", number))
}

func TestAServerGetsItsPortAgainAndAgain(t *testing.T) {
	number := Reserve(t)
	for range 3 {
		l, err := listen(number)
		require.NoError(t, err)
		_, err = listen(number)
		require.Error(t, err, "one listens at a time")
		caller, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		served, err := l.Accept()
		require.NoError(t, err)
		require.NoError(t, served.Close()) // the side that waits for stray packets is the server's
		require.NoError(t, caller.Close())
		require.NoError(t, l.Close())
		_, err = net.Dial("tcp", l.Addr().String())
		require.ErrorContains(t, err, "refused", "a port without its server is as any other")
	}
}

func TestNobodyElseGetsAReservedPort(t *testing.T) {
	reserved := map[int]bool{}
	for range 2000 {
		number := Reserve(t)
		require.False(t, reserved[number], "twice")
		reserved[number] = true
	}
	for range 2000 { // of some 14,000 that there are
		l, err := listen(0)
		require.NoError(t, err)
		require.False(t, reserved[l.Addr().(*net.TCPAddr).Port])
		require.NoError(t, l.Close())
	}
	for number := range reserved {
		_, _, err := hold(number)
		require.Error(t, err, "not by its number either, unless to listen there")
		break
	}
}

func TestPairs(t *testing.T) {
	const apart = 10_000
	number := ReservePair(t, apart)
	for _, n := range []int{number, number + apart} {
		_, _, err := hold(n)
		require.Error(t, err)
		l, err := listen(n)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
}
