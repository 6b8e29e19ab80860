package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/format"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
	"go.temporal.io/sdk/activity"

	"github.com/leanvibe/hive/workflows/runbook"
)

// service is one line of the URL file.
type service struct {
	scheme string
	url    string
}

// digest names the service where its URL must not stand.
func (s service) digest() string {
	sum := sha256.Sum256([]byte(s.url))
	return hex.EncodeToString(sum[:8])
}

// services reads the URL file: one URL a line, "#" begins a comment. No file means
// no services. bad names the lines that are no URLs.
func (h Hand) services(policy runbook.NotifyPolicy) (out []service, bad []string, err error) {
	if policy.URLFile == "" {
		return nil, nil, nil
	}
	raw, err := os.ReadFile(filepath.Join(h.ProjectDir, policy.URLFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, classify(err, policy.URLFile)
	}
	n := 0
	for line := range strings.Lines(string(raw)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		scheme, _, ok := strings.Cut(line, "://")
		if _, err := url.Parse(line); err != nil || !ok || scheme == "" {
			bad = append(bad, fmt.Sprintf("line %d of %s (no URL)", n, policy.URLFile))
			continue
		}
		out = append(out, service{scheme: scheme, url: line})
	}
	return out, bad, nil
}

// send sends the notice to one service. The library's own words may hold the URL,
// so they go, masked, into the worker's log and no further.
func (s service) send(ctx context.Context, in runbook.NoticeInput) error {
	sender, err := shoutrrr.CreateSender(s.url)
	if err != nil {
		s.log(ctx, err)
		return errUnusable
	}
	ended := make(chan error, 1)
	go func() {
		err := errors.Join(sender.Send(message(in), &types.Params{"title": in.Title})...)
		if err != nil && strings.Contains(err.Error(), format.ErrInvalidConfigKey.Error()) {
			err = errors.Join(sender.Send(message(in), nil)...) // it knows no titles, and had refused before it sent
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil {
			s.log(ctx, err)
			return errors.New("not delivered")
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// message holds the title too: not every service shows one beside it.
func message(in runbook.NoticeInput) string {
	text := in.Title
	for _, part := range []string{in.Body, in.Link} {
		if part != "" {
			text += "\n" + part
		}
	}
	return text
}

func (s service) log(ctx context.Context, err error) {
	if activity.IsActivity(ctx) {
		activity.GetLogger(ctx).Warn("a notice was not delivered", "service", s.scheme, "why", s.mask(err.Error()))
	}
}

// mask takes every part of the URL out of a text: shoutrrr keeps tokens in user,
// host, path and query alike.
func (s service) mask(text string) string {
	pieces := []string{s.url}
	if u, err := url.Parse(s.url); err == nil {
		pieces = append(pieces, u.Host, u.Hostname(), u.Path, u.RawQuery, u.Fragment)
		if u.User != nil {
			password, _ := u.User.Password()
			pieces = append(pieces, u.User.String(), u.User.Username(), password)
		}
		pieces = append(pieces, strings.FieldsFunc(u.Host+"/"+u.Path+"/"+u.RawQuery, func(r rune) bool { return strings.ContainsRune("/&=?", r) })...)
	}
	for _, p := range pieces {
		const least = 4 // shorter ones are words such as "yes", not secrets
		if len(p) >= least {
			text = strings.ReplaceAll(text, p, "•••")
		}
	}
	return text
}
