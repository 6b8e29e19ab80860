package bootstrap

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/client"

	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/workflows/runbook"
)

// platformData begins the names of the platform's volumes.
const platformData = "hive-platform"

// ground is what hive up and hive down stand on: whose project it is, and where the
// platform is built from.
type ground struct {
	// dir is the project's root, sources that of hive's own sources.
	dir, sources string
	files        policy.Layout
	// stack is the name that the project's compose files give it.
	stack string
}

// standOn finds the ground; named are the sources where the operator names them.
func standOn(ctx context.Context, dir, named string) (ground, error) {
	g := ground{dir: dir}
	var err error
	if g.files, err = policy.Find(dir); err != nil {
		return g, err
	}
	if g.sources, err = Sources(named, dir); err != nil {
		return g, runbook.Fail(runbook.Refused, "%s", err)
	}
	if g.files.Own && !sameFile(g.sources, dir) {
		return g, runbook.Fail(runbook.Refused, "%s is a copy of Agent Hive, which is built from its own sources, and %s are others: leave --hive out", dir, g.sources)
	}
	project, err := policy.Hand{ProjectDir: dir}.Project(ctx)
	if err != nil {
		return g, err
	}
	g.stack = project.Name
	return g, nil
}

// own says whether the stack is the repository's: hive makes and removes it. Any
// other is only operated, by a platform beside it.
func (g ground) own() bool { return g.files.Own }

// data begins the names of the platform's volumes: each project that is not the
// repository's has a ledger and a history of its own.
func (g ground) data() string {
	if g.own() {
		return platformData
	}
	return platformData + "-" + g.stack
}

// platform reads the platform's compose file with the .env beside it.
func (g ground) platform(ctx context.Context) (*types.Project, error) {
	file := filepath.Join(g.sources, platformFile)
	options := []cli.ProjectOptionsFn{
		cli.WithWorkingDirectory(filepath.Dir(file)), cli.WithEnv([]string{projectVariable + "=" + g.dir, dataVariable + "=" + g.data()}),
		cli.WithEnvFiles(), cli.WithDotEnv, cli.WithDefaultProfiles(), cli.WithDiscardEnvFile,
	}
	loader, err := cli.NewProjectOptions([]string{file}, options...)
	if err != nil {
		return nil, runbook.FailCause(runbook.Refused, err, "%s", platformFile)
	}
	project, err := loader.LoadProject(ctx)
	if err != nil {
		return nil, runbook.FailCause(runbook.Refused, err, "%s", platformFile)
	}
	return project, nil
}

// alone refuses where the platform that runs on this machine serves another project:
// one machine has one.
func (g ground) alone(ctx context.Context, api client.APIClient, platform *types.Project) error {
	listed, err := api.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", projectLabel+"="+platform.Name))})
	if err != nil {
		return runbook.FailCause(runbook.Unreachable, err, "the container engine")
	}
	ours := map[string]bool{}
	for _, v := range platform.Volumes {
		ours[v.Name] = true
	}
	for _, c := range listed {
		if c.Labels[serviceLabel] == opsworker.name {
			if err := g.serves(ctx, api, c.ID); err != nil {
				return err
			}
		}
		for _, m := range c.Mounts {
			if m.Type == mount.TypeVolume && strings.HasPrefix(m.Name, platformData) && !ours[m.Name] {
				return runbook.Fail(runbook.Refused, "%s of the platform holds the data of another project (volume %s): end `hive down` there, then try again",
					c.Labels[serviceLabel], m.Name)
			}
		}
	}
	return nil
}

// serves refuses where the opsworker was told another project. One whose files have
// gone cannot be served, nor taken down from there.
func (g ground) serves(ctx context.Context, api client.APIClient, opsworkerID string) error {
	c, err := api.ContainerInspect(ctx, opsworkerID)
	if err != nil || c.Config == nil {
		return nil //nolint:nilerr // it has just gone
	}
	for _, variable := range c.Config.Env {
		other, found := strings.CutPrefix(variable, projectVariable+"=")
		if !found || sameFile(other, g.dir) {
			continue
		}
		if files, err := policy.Find(other); err != nil || files.Own && g.own() {
			continue // another clone of the repository is the same two projects to the engine
		}
		return runbook.Fail(runbook.Refused, "the platform serves %s now, and one machine has one platform: `hive down` there, then try again", nameOf(ctx, other))
	}
	return nil
}

// nameOf is a project as an operator knows it.
func nameOf(ctx context.Context, dir string) string {
	project, err := policy.Hand{ProjectDir: dir}.Project(ctx)
	if err != nil {
		return dir
	}
	return fmt.Sprintf("project %s in %s", project.Name, dir)
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return filepath.Clean(a) == filepath.Clean(b)
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}
