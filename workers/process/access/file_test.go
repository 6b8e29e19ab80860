package access

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	agentToken    = "agent-token-0123456789"
	operatorToken = "operator-token-0123456789"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestOpenFile_BadLinesAreNamedAndNeverShown(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		line       int
	}{
		"no role":           {"# head\n\n" + operatorToken + " operator\n", "the first word is no role", 3},
		"unknown role":      {"admin " + operatorToken + "\n", "the first word is no role", 1},
		"no token":          {"agent\n", "the token is missing", 1},
		"short":             {"agent " + agentToken + "\nclient 123456789012345\n", "the token has 15 characters, at least 16 are needed", 2},
		"long":              {"agent " + strings.Repeat("x", 513) + "\n", "at most 512 are taken", 1},
		"not for a header":  {"agent " + operatorToken + "é\n", "a character that a header cannot carry", 1},
		"four words":        {"agent " + agentToken + " a b\n", "4 words", 1},
		"no name":           {"agent " + agentToken + " -a\n", "the name is no agent's id", 1},
		"twice":             {"agent " + agentToken + "\noperator " + agentToken + "\n", "the token stands on line 1 already", 2},
		"twice as the same": {"agent " + agentToken + "\n\n#\nagent " + agentToken + " a\n", "the token stands on line 1 already", 4},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tokens")
			write(t, path, c.text)
			_, err := OpenFile(path)
			var line *LineError
			require.ErrorAs(t, err, &line)
			require.Equal(t, path, line.File)
			require.Equal(t, c.line, line.Line)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), agentToken)
			require.NotContains(t, err.Error(), operatorToken)
		})
	}
}

func TestOpenFile_NobodyCouldComeIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	_, err := OpenFile(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	write(t, path, "# nobody yet\n")
	_, err = OpenFile(path)
	require.ErrorIs(t, err, ErrNoToken)
	write(t, path, strings.Repeat("#", fileMax+1))
	_, err = OpenFile(path)
	require.ErrorContains(t, err, "is over 1048576 bytes")
}

func TestFile_FindsEachTokenWithItsRoleAndName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	write(t, path, "agent "+agentToken+" worker-1 # of the first rack\n\toperator  "+operatorToken+"\r\n")
	f, err := OpenFile(path)
	require.NoError(t, err)
	require.Equal(t, 2, f.Len())
	c, ok := f.find(agentToken)
	require.True(t, ok)
	require.Equal(t, caller{Agent, "worker-1"}, c)
	c, ok = f.find(operatorToken)
	require.True(t, ok)
	require.Equal(t, caller{role: Operator}, c)
	for _, guess := range []string{"", agentToken[:len(agentToken)-1], agentToken + "0"} {
		_, ok = f.find(guess)
		require.False(t, ok)
	}
}

func TestFile_ReloadTellsAFaultOnceAndKeepsWhatWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	write(t, path, "agent "+agentToken+"\n")
	f, err := OpenFile(path)
	require.NoError(t, err)
	changed, err := f.Reload(false)
	require.NoError(t, err)
	require.False(t, changed, "nothing has changed")

	write(t, path, "agent "+agentToken+"\nagent short\n")
	_, err = f.Reload(false)
	var line *LineError
	require.ErrorAs(t, err, &line)
	require.Equal(t, 2, line.Line)
	_, err = f.Reload(false)
	require.NoError(t, err, "told once")
	_, err = f.Reload(true)
	require.Error(t, err, "but to whoever asks")
	require.NoError(t, os.Remove(path))
	_, err = f.Reload(false)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, ok := f.find(agentToken)
	require.True(t, ok)

	write(t, path, "operator "+operatorToken+"\n")
	changed, err = f.Reload(false)
	require.NoError(t, err)
	require.True(t, changed)
	_, ok = f.find(agentToken)
	require.False(t, ok)
}

func BenchmarkFile_Find(b *testing.B) {
	path := filepath.Join(b.TempDir(), "tokens")
	require.NoError(b, os.WriteFile(path, []byte("agent "+agentToken+"\noperator "+operatorToken+"\n"), 0o600))
	f, err := OpenFile(path)
	require.NoError(b, err)
	for b.Loop() {
		f.find(operatorToken)
	}
}
