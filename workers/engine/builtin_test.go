package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHash(t *testing.T) {
	for algorithm, want := range map[string]string{
		"sha256":   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha384":   "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
		"sha512":   "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
		"sha3-256": "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
	} {
		got, err := HashOptions{algorithm}.handler()(t.Context(), &Task{Payload: []byte("abc")})
		require.NoError(t, err)
		require.Equal(t, want, string(got), algorithm)
	}
}

func TestSleep(t *testing.T) {
	h := SleepOptions{Default: 2 * time.Second, Max: time.Minute}.handler()
	for payload, want := range map[string]time.Duration{"": 2 * time.Second, "0s": 0, "1m": time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			got, err := h(t.Context(), &Task{Payload: []byte(payload)})
			require.NoError(t, err)
			require.Equal(t, want, time.Since(began))
			if payload != "" {
				require.Equal(t, payload, string(got))
			}
		})
	}
	for _, payload := range []string{"61s", "-1s", "soon", "3"} {
		_, err := h(t.Context(), &Task{Payload: []byte(payload)})
		require.ErrorContains(t, err, "is not a duration up to 1m0s")
		require.True(t, permanent(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h(ctx, &Task{})
	require.ErrorIs(t, err, context.Canceled)
}
