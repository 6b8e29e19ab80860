package load

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLoadSendsTheTokenWithEveryRequest(t *testing.T) {
	p := &planted{}
	sound := start(t, p)
	var mu sync.Mutex
	without := 0
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-operators-token" {
			mu.Lock()
			without++
			mu.Unlock()
		}
		sound.Config.Handler.ServeHTTP(w, r)
	}))
	defer guarded.Close()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("the-operators-token\n"), 0o600))
	c := Config{BaseURL: guarded.URL, Rate: 100, Connections: 2, Sockets: 2, TokenFile: file, SlowFor: 10 * time.Millisecond, Beat: 50 * time.Millisecond}
	result, err := Run(t.Context(), c, 500*time.Millisecond)
	require.NoError(t, err)
	require.Positive(t, result.Requests)
	require.Zero(t, without)

	c.TokenFile += "-gone"
	_, err = Start(t.Context(), c)
	require.ErrorIs(t, err, os.ErrNotExist)
}
