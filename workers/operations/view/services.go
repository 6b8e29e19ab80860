package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/workflows/runbook"
)

// platformFile is the platform's compose file, relative to hive's sources.
const platformFile = "deploy/platform/docker-compose.platform.yml"

// Service is one row of `hive status`: what the file wants beside what runs.
type Service struct {
	Project string `json:"project"`
	Name    string `json:"service"`
	Desired int    `json:"desired"`
	Running int    `json:"running"`
	// Healthy is nil where the service has no health check: that it runs is then all that is known.
	Healthy *int `json:"healthy"`
	// Once: it runs to its end, so that it does not run is nothing amiss.
	Once  bool   `json:"once,omitempty"`
	Image string `json:"image"`
	// Images are what the running containers were made from, where that is not Image alone.
	Images []string `json:"images,omitempty"`
}

// Good says whether everything wanted runs, and where it can be told, is healthy.
func (s Service) Good() bool {
	return s.Once || s.Running == s.Desired && (s.Healthy == nil || *s.Healthy == s.Desired)
}

// Stack counts what runs of the project's own services. A container whose service its files do not know gets a row of
// its own with 0 desired.
func (e *Engine) Stack(ctx context.Context, dir string) ([]Service, error) {
	project, err := policy.Hand{ProjectDir: dir}.Project(ctx)
	if err != nil {
		return nil, errors.New(runbook.Reason(err))
	}
	return e.services(ctx, project)
}

// Platform counts what runs of the platform, whose compose file lies in hive's sources, for the project.
func (e *Engine) Platform(ctx context.Context, sources, dir string) ([]Service, error) {
	project, err := load(ctx, filepath.Join(sources, platformFile), "HIVE_PROJECT_DIR="+dir)
	if err != nil {
		return nil, err
	}
	return e.services(ctx, project)
}

func (e *Engine) services(ctx context.Context, project *types.Project) ([]Service, error) {
	containers, err := e.Containers(ctx, project.Name)
	if err != nil {
		return nil, err
	}
	if err := e.judge(ctx, containers); err != nil {
		return nil, err
	}
	rows := map[string]*Service{}
	for name, s := range project.Services {
		rows[name] = &Service{Project: project.Name, Name: name, Desired: s.GetScale(), Image: s.Image, Once: once(s)}
		if s.HealthCheck != nil && !s.HealthCheck.Disable {
			rows[name].Healthy = new(int)
		}
	}
	for _, c := range containers {
		row := rows[c.Service]
		if row == nil {
			row = &Service{Project: project.Name, Name: c.Service, Image: c.Image}
			rows[c.Service] = row
		}
		row.count(c)
	}
	out := make([]Service, 0, len(rows))
	for _, row := range rows {
		out = append(out, *row)
	}
	slices.SortFunc(out, func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// once says whether the file calls the service one that runs to its end.
func once(s types.ServiceConfig) bool {
	known, _ := s.Extensions["x-hive"].(map[string]any)
	yes, _ := known["once"].(bool)
	return yes
}

func (s *Service) count(c Container) {
	if c.State != "running" {
		return
	}
	s.Running++
	if c.Health != "" && s.Healthy == nil { // the image brings its own check
		s.Healthy = new(int)
	}
	if c.Health == "healthy" {
		*s.Healthy++
	}
	if c.Image != s.Image && !slices.Contains(s.Images, c.Image) {
		s.Images = append(s.Images, c.Image)
	}
}

// load resolves a compose file as `docker compose` does: with the .env beside it, and without profiles.
func load(ctx context.Context, file string, env ...string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{file},
		cli.WithWorkingDirectory(filepath.Dir(file)), cli.WithEnv(env), cli.WithOsEnv, cli.WithEnvFiles(), cli.WithDotEnv)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return project, nil
}
