package docker

import (
	"regexp"
	"sort"
	"strings"
)

var (
	secretField = regexp.MustCompile(`(?i)((?:password|passwd|secret|token|api[_-]?key|authorization|credential)[a-z_-]*"?\s*[:=]\s*"?(?:bearer\s+|basic\s+)?)[^"\s,&;}]+`)
	userInfo    = regexp.MustCompile(`://[^/\s@"]+@`)
)

// mask takes passwords and tokens out of a text that will be kept.
func mask(text string) string {
	return userInfo.ReplaceAllString(secretField.ReplaceAllString(text, "${1}•••"), "://•••@")
}

// maskEnv also takes out what the container was given as environment: a program
// that fails likes to print it.
func maskEnv(text string, env []string) string {
	const least = 6 // "8080" and "debug" are no secrets, and masking them would eat the message
	var values []string
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		if len(value) >= least && name != "PATH" {
			values = append(values, value)
		}
	}
	// longest first, so that no part of one is left
	sort.Slice(values, func(i, j int) bool { return len(values[i]) > len(values[j]) })
	for _, v := range values {
		text = strings.ReplaceAll(text, v, "•••")
	}
	return mask(text)
}
