// Package adopt looks at a Compose stack that was not made for hive and proposes
// what hive needs to know of it: an override file that says what each service is, a
// first runbook.yaml, and the change of the proxy's configuration. Each guess stands
// beside its reason; what cannot be known is said and left out. It reads files and
// asks neither engine nor network; nothing is written before Write.
package adopt

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"

	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/workflows/health"
	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// OverrideFile and PolicyFile are written beside the compose file.
	OverrideFile = "compose.hive.yaml"
	// PolicyFile is the first policy.
	PolicyFile = "runbook.yaml"
	// addressDir is where the address files lie, beside the compose file.
	addressDir = "hive/upstreams"
	// logDir is where the proxy writes its log.
	logDir = "logs/nginx"
)

// Options say what to look at.
type Options struct {
	// File is the compose file.
	File string
	// ProxyConf is the proxy's configuration, where the compose file does not tell.
	ProxyConf string
	// Timezone is the operator's, by IANA name.
	Timezone string
}

// Service is what was guessed of one service.
type Service struct {
	Name string       `json:"name"`
	Role runbook.Role `json:"role"`
	// Why is the reason of the guess.
	Why  string `json:"why"`
	Line int    `json:"line,omitempty"`
	// Bars are what bars a roll without downtime.
	Bars []Bar `json:"bars,omitempty"`
	// Notes are to be known before the guess is believed.
	Notes []string `json:"notes,omitempty"`

	once     bool
	order    int
	probe    *runbook.Probe
	probeWhy string
	upstream string
	health   string
}

// Bar is a line, or the lack of one, that bars a roll without downtime.
type Bar struct {
	Line int    `json:"line,omitempty"`
	What string `json:"what"`
	// Lifted says that the override takes it away; else Way says what would.
	Lifted bool   `json:"lifted"`
	Way    string `json:"way"`

	override string
}

// Ability is what a procedure can do on the stack.
type Ability struct {
	Procedure string `json:"procedure"`
	Possible  bool   `json:"possible"`
	Why       string `json:"why"`
}

// File is a file of the proposal; one that exists is never overwritten.
type File struct {
	Path   string `json:"path"`
	Text   string `json:"text"`
	Exists bool   `json:"exists"`
}

// Proxy is the front door, and the change that hive needs of its configuration.
type Proxy struct {
	Service string `json:"service,omitempty"`
	// Kind is nginx, or the name of one that is not served yet; "" for none.
	Kind string `json:"kind,omitempty"`
	// Conf is the configuration file, Diff what changes in it.
	Conf string `json:"conf,omitempty"`
	Diff string `json:"diff,omitempty"`

	changed string
	before  string
}

// Proposal is everything that hive would write, and why.
type Proposal struct {
	// Compose is the file that was looked at, Project its name.
	Compose  string    `json:"compose"`
	Project  string    `json:"project"`
	Services []Service `json:"services"`
	Proxy    Proxy     `json:"proxy"`
	// Abilities say per procedure what it can do here.
	Abilities []Ability `json:"abilities"`
	Notes     []string  `json:"notes,omitempty"`
	Files     []File    `json:"files"`
	// Refused is what the policy's own reader says against the proposed runbook.yaml,
	// which is a mistake of hive init; "" where it takes it.
	Refused string `json:"refused,omitempty"`
	// Next are the commands that put the proposal into use.
	Next []string `json:"next"`
	// Written are the files that Write has written.
	Written []string `json:"written,omitempty"`
}

// Look reads a stack and proposes. Its errors name the file, and the line where one
// is known.
func Look(ctx context.Context, o Options) (*Proposal, error) {
	s, err := load(ctx, o.File)
	if err != nil {
		return nil, err
	}
	p := &Proposal{Compose: o.File, Project: s.project.Name}
	s.shown = filepath.Dir(o.File)
	s.kinds()
	if err := s.frontDoor(o.ProxyConf); err != nil {
		return nil, err
	}
	for _, name := range s.project.ServiceNames() {
		p.Services = append(p.Services, s.guess(name))
	}
	order(s, p.Services)
	for i := range p.Services {
		s.probe(&p.Services[i])
		s.bars(&p.Services[i])
	}
	s.change(p)
	s.abilities(p)
	p.Notes = append(p.Notes, append(s.notes, s.unfound()...)...)
	p.Files = append(p.Files, s.file(OverrideFile, s.override(p)), s.file(PolicyFile, s.policy(p, o.Timezone)))
	if p.Refused, err = refusal(p.Files[1].Text); err != nil {
		return nil, err
	}
	p.Next = s.next(p)
	return p, nil
}

func (s *stack) file(name, text string) File {
	path := filepath.Join(s.shown, name)
	_, err := os.Lstat(path)
	return File{Path: path, Text: text, Exists: err == nil}
}

// next are the steps after the files are there.
func (s *stack) next(p *Proposal) []string {
	compose := fmt.Sprintf("docker compose -f %s -f %s", filepath.Base(s.path), OverrideFile)
	out := []string{compose + " config --quiet   # both files together are what was meant"}
	for line := range strings.Lines(p.Files[1].Text) {
		// by the text, so that what is named there and what is asked for here are one
		if file, ok := strings.CutPrefix(strings.TrimSpace(line), "password_file: "); ok && file != `""` {
			out = append(out, fmt.Sprintf("write the password into %s, 0600   # unless it is there: hive copies no password", file))
		}
	}
	if s.moves(p) {
		out = append(out, compose+" up -d   # makes the services and "+p.Proxy.Service+" anew, with one interruption: choose the hour")
	}
	return append(out, "hive up   # the platform beside the stack, whose containers it leaves alone", "hive run "+health.ReadinessCheck.Name)
}

// unfound are the reasons why procedures would not read the files that were meant:
// they look for the names that docker compose itself looks for.
func (s *stack) unfound() []string {
	var out []string
	if found, err := policy.Find(s.dir); err != nil || found.Compose[0] != filepath.Base(s.path) {
		out = append(out, fmt.Sprintf("procedures read the compose file that docker compose finds by itself (%s), first of these, in the directory of %s: give %s such a name",
			strings.Join(cli.DefaultFileNames, ", "), PolicyFile, filepath.Base(s.path)))
	}
	for _, name := range cli.DefaultOverrideFileNames {
		if _, err := os.Lstat(filepath.Join(s.dir, name)); err == nil {
			out = append(out, fmt.Sprintf("%s is there, which docker compose adds where no file is named; procedures, and the commands below, do not: take what it holds into %s or %s",
				name, filepath.Base(s.path), OverrideFile))
		}
	}
	return out
}

// moves says whether hive will move the traffic of some service.
func (s *stack) moves(p *Proposal) bool {
	for _, svc := range p.Services {
		if svc.upstream != "" {
			return true
		}
	}
	return false
}

// short is an image's name without registry, account, tag and digest.
func short(image string) string {
	image, _, _ = strings.Cut(image, "@")
	name := image[strings.LastIndexByte(image, '/')+1:]
	name, _, _ = strings.Cut(name, ":")
	return strings.ToLower(name)
}
