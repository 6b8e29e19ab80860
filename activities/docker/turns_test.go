package docker

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTurns(t *testing.T) {
	turns := NewTurns()
	first, err := take(t.Context(), turns.starts)
	require.NoError(t, err)

	pull, err := take(t.Context(), turns.pulls)
	require.NoError(t, err, "a pull does not wait for a start")
	pull()

	tired, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = take(tired, turns.starts)
	require.ErrorIs(t, err, context.Canceled, "one start at a time, and a cancelled run does not wait")

	second := make(chan func())
	go func() {
		done, err := take(t.Context(), turns.starts)
		if err != nil {
			close(second)
			return
		}
		second <- done
	}()
	first()
	done, ok := <-second
	require.True(t, ok)
	done()

	free, err := take(t.Context(), Turns{}.starts)
	require.NoError(t, err, "a hand without turns waits for nobody")
	free()
}
