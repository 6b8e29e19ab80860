package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leanvibe/hive/workers/process"
)

// Option changes what New or Setup make.
type Option func(*settings)

// settings are what options set.
type settings struct {
	own      map[string]Handler
	problems []error
	log      *slog.Logger
	registry prometheus.Registerer
	labels   map[string]string
}

// WithHandler adds a handler of your own under a name that tasks and the
// configuration use: 1 to 64 of a-z, 0-9, '.', '_', '-'. The names echo, hash,
// sleep and http are taken.
func WithHandler(name string, h Handler) Option {
	return func(s *settings) {
		switch {
		case !nameForm.MatchString(name):
			s.problems = append(s.problems, fmt.Errorf("handler %q: want a name of %s", name, nameWant))
		case slices.Contains(builtin, name) || s.own[name] != nil:
			s.problems = append(s.problems, fmt.Errorf("handler %q: the name is taken", name))
		case h == nil:
			s.problems = append(s.problems, fmt.Errorf("handler %q is nil", name))
		default:
			s.own[name] = h
		}
	}
}

// within puts the engine into a process: its log, its metrics, its labels.
func within(p *process.Process) Option {
	return func(s *settings) {
		s.log, s.registry = p.Log, p.Registry()
		s.labels = map[string]string{"service": p.Config().Service, "version": p.Config().Version}
	}
}

func apply(options []Option) (*settings, error) {
	s := &settings{own: map[string]Handler{}, log: slog.Default(), registry: prometheus.NewRegistry()}
	for _, o := range options {
		o(s)
	}
	return s, errors.Join(s.problems...)
}
