package runbook

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a time.Duration that JSON and YAML write as "90s".
type Duration time.Duration

// D returns the duration as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

// Or returns d, or the fallback where d is zero.
func (d Duration) Or(fallback time.Duration) time.Duration { return or(time.Duration(d), fallback) }

// String returns the duration as Go writes it, such as "1m30s".
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "90s"; the error shows an example.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration; write for example \"90s\" or \"2h30m\"", text)
	}
	*d = Duration(v)
	return nil
}

// UnmarshalJSON refuses bare numbers, whose unit nobody could tell.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%s is not a duration; write for example \"90s\" in quotes", b)
	}
	return d.UnmarshalText([]byte(s))
}
