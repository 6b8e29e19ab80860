package main

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReplace(t *testing.T) {
	b := []byte("$9\r\n127.0.9.1\r\n127.0.9.1:7 127.0.9")
	replace(b, []byte("127.0.9.1"), []byte("127.0.1.1"))
	require.Equal(t, "$9\r\n127.0.1.1\r\n127.0.1.1:7 127.0.9", string(b))
	require.Equal(t, 7, beginning(b, []byte("127.0.9.1")))
	require.Zero(t, beginning([]byte("abc"), []byte("127.0.9.1")))
}

func TestCable(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	c, err := newCable("127.0.0.1:0", server.Addr().String(), "old!", "new!")
	require.NoError(t, err)
	defer c.close()
	conn, err := net.Dial("tcp", c.addr())
	require.NoError(t, err)
	defer conn.Close()
	say := func(what, want string) {
		t.Helper()
		_, err := conn.Write([]byte(what))
		require.NoError(t, err)
		got := make([]byte, len(want))
		_, err = io.ReadFull(conn, got)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	say("an old! one", "an new! one")

	c.set(silent)
	_, err = conn.Write([]byte("late"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = conn.Read(make([]byte, 1))
	require.True(t, isTimeout(err))
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	c.set(intact)
	say("r", "later")

	c.setFollows(silent) // is nothing to one that is no replica
	say("more", "more")
	c.setFollows(intact)
	say("REPLCONF", "REPLCONF") // from now on it is one
	c.setFollows(silent)
	_, err = conn.Write([]byte("never"))
	require.NoError(t, err)
	c.setFollows(severed)
	left, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Empty(t, left)
	conn, err = net.Dial("tcp", c.addr())
	require.NoError(t, err)
	defer conn.Close()
	say("r", "r")

	c.set(severed)
	_, err = io.ReadAll(conn)
	_ = err // an end or a reset: either way nothing more comes
	again, err := net.Dial("tcp", c.addr())
	if err == nil {
		_, err = again.Read(make([]byte, 1))
		require.Error(t, err)
		_ = again.Close()
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
