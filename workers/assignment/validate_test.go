package assignment

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The checks by hand accept what these say.
func TestNames(t *testing.T) {
	for pattern, is := range map[string]func(string) bool{
		`^[a-z0-9][a-z0-9._-]{0,63}$`:        isName,
		`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`: isAgent,
		`^[!-~]{0,200}$`:                     isKey,
	} {
		want := regexp.MustCompile(pattern)
		texts := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9._-]{0,130}`), rapid.StringMatching(`[ -~]{0,3}`), rapid.StringMatching(`[!-~]{195,205}`), rapid.String())
		rapid.Check(t, func(t *rapid.T) {
			s := texts.Draw(t, "s")
			require.Equal(t, want.MatchString(s), is(s), "%q and %s", s, pattern)
		})
	}
}
