package host

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// victim is set in the process that is killed.
const victim = "HIVE_TEST_COMPRESS"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victim); dir != "" {
		fmt.Println("begins")
		_, err := Hand{ProjectDir: dir}.Compress(context.Background(), in("a.log"))
		fmt.Println(err)
		return
	}
	os.Exit(m.Run())
}

// Whenever the worker is killed, the log is whole under one of its names, and the
// next try finishes.
func TestCompressKilledAtAnyMoment(t *testing.T) {
	var text strings.Builder
	for n := range 400_000 {
		fmt.Fprintln(&text, n, rand.Uint64())
	}
	body, midway := text.String(), 0
	for n := range 12 {
		b := newBench(t)
		b.file("a.log", body, 8*24*time.Hour)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), victim+"="+b.hand.ProjectDir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = out.Read(make([]byte, 16))
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(time.Duration(n) * 40 * time.Millisecond):
			if err := cmd.Process.Kill(); !errors.Is(err, os.ErrProcessDone) { // it may have been quicker
				require.NoError(t, err)
			}
			<-ended
		}
		if whole, err := os.ReadFile(b.path("a.log")); err == nil {
			require.Len(t, whole, len(body))
			midway++
		} else {
			require.Equal(t, body, unpacked(t, b.path("a.log.gz")))
		}
		_, err = b.hand.Compress(context.Background(), in("a.log"))
		require.NoError(t, err)
		require.Equal(t, "logs/a.log.gz", b.names())
		require.True(t, body == unpacked(t, b.path("a.log.gz")), "every line once") //nolint:testifylint // Equal would print megabytes
	}
	require.Positive(t, midway, "some were killed in the middle")
}
