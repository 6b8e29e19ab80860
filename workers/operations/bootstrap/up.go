package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/activities/proxy"
	"github.com/leanvibe/hive/migrations/app"
	"github.com/leanvibe/hive/workflows/runbook"
)

// Options bound a bring-up.
type Options struct {
	// HealthLimit is how long one group of containers may take to be healthy.
	HealthLimit time.Duration
	// Sources are hive's own, where the operator names them (see Sources).
	Sources string
}

// Summary is what a bring-up did.
type Summary struct {
	Project string `json:"project"`
	// Own says that the stack is the repository's and was brought up too; beside any
	// other only the platform was.
	Own bool `json:"own"`
	// Images says where images come from: upstream or local.
	Images string `json:"images"`
	// Created and Started name containers; Left says what differs and was left alone.
	Created []string `json:"created"`
	Started []string `json:"started"`
	Left    []string `json:"left"`
	// Newer are images that were pushed and wait for a roll.
	Newer   []string `json:"newer"`
	Phases  []Phase  `json:"phases"`
	Seconds float64  `json:"seconds"`
}

// up is one bring-up.
type up struct {
	ground
	progress *Progress
	api      client.APIClient
	hand     docker.Hand
	build    *builder
	wait     waiter

	policy   runbook.Policy
	stack    runbook.Stack
	project  *types.Project
	services *types.Project // of the platform
	origin   origin
	images   localImages
	// programs are the images of our own, by name: the tag that build answered.
	programs map[string]*promise[string]

	mu      sync.Mutex
	summary Summary
	// begun are the replicas that this call created or started, by service.
	begun map[string][]string
}

// note adds to one of the summary's lists.
func (u *up) note(list *[]string, words ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	*list = append(*list, words...)
}

// Up makes everything that is not there yet: images, secrets, networks, stores and
// their cluster and schema, applications, proxy, monitoring, and the platform. It
// may be called at any time and as often as one likes. When ctx ends it stops where
// it is; the next call goes on from there.
func Up(ctx context.Context, dir string, o Options, progress *Progress) (Summary, error) {
	on, err := standOn(ctx, dir, o.Sources)
	if err != nil {
		return Summary{}, err
	}
	api, err := docker.Open()
	if err != nil {
		return Summary{}, err
	}
	defer api.Close()
	if err := answering(ctx, api); err != nil {
		return Summary{}, err
	}
	release, err := alone(dir)
	if err != nil {
		return Summary{}, err
	}
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u := &up{
		ground: on, progress: progress, api: api, hand: docker.Hand{API: api, ProjectDir: dir},
		build: newBuilder(api, on.sources, progress), wait: waiter{api: api, dir: dir, progress: progress, limit: o.HealthLimit},
		programs: map[string]*promise[string]{}, begun: map[string][]string{},
		summary: Summary{Own: on.own(), Created: []string{}, Started: []string{}, Left: []string{}, Newer: []string{}},
	}
	stop := progress.watch()
	begun := time.Now()
	err = u.run(ctx)
	cancel()
	u.build.working.Wait() // a package manager that was told to stop tidies up first
	stop()
	u.summary.Phases = progress.phases
	u.summary.Seconds = time.Since(begun).Round(100 * time.Millisecond).Seconds()
	return u.summary, err
}

// phase is one part of a bring-up.
type phase struct {
	name string
	work func(context.Context) error
}

// phases are all parts in their order; beside a stack that is not the repository's
// the platform's alone.
func (u *up) phases() []phase {
	if !u.own() {
		return []phase{
			{"check", u.check}, {"images", u.makeImages}, {"secrets", u.makeSecrets}, {"networks and volumes", u.makeNetworks},
			{"registry", u.startRegistry}, {"ledger", u.startLedger}, {"platform", u.startPlatform},
		}
	}
	return []phase{
		{"check", u.check},
		{"images", u.makeImages},
		{"secrets", u.makeSecrets},
		{"networks and volumes", u.makeNetworks},
		{"registry", u.startRegistry},
		{"stores", func(ctx context.Context) error { return u.role(ctx, runbook.RoleStore) }},
		{"Redis Cluster", u.makeCluster},
		{"schema", u.makeSchema},
		{"ledger", u.startLedger},
		{"applications", u.startApplications},
		{"proxy", u.startProxy},
		{"monitoring", func(ctx context.Context) error { return u.role(ctx, runbook.RoleMonitoring) }},
		{"platform", u.startPlatform},
		{"first measurements", u.awaitMeasures},
	}
}

func (u *up) run(ctx context.Context) error {
	phases := u.phases()
	for i, p := range phases {
		u.progress.phase(p.name)
		err := p.work(ctx)
		if err == nil {
			continue
		}
		var left []string
		for _, rest := range phases[i:] {
			left = append(left, rest.name)
		}
		if ctx.Err() != nil {
			return interrupted("interrupted; left to do: " + strings.Join(left, ", ") + "; hive up goes on from here")
		}
		switch kind := runbook.KindOf(err); {
		case i == 0 && kind != "", kind == runbook.Unreachable:
			return runbook.Fail(kind, "%s", runbook.Reason(err))
		case kind != "": // what is refused later is no longer "nothing begun"
			return fmt.Errorf("%s: %s", p.name, runbook.Reason(err))
		default:
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// interrupted is a cancellation that says what is left.
type interrupted string

func (i interrupted) Error() string { return string(i) }

// Is makes it a cancellation to whoever asks.
func (i interrupted) Is(target error) bool { return target == context.Canceled }

// check reads both files strictly and looks at disk and ports, before anything is made.
func (u *up) check(ctx context.Context) error {
	if err := u.read(ctx); err != nil {
		return err
	}
	var err error
	if u.services, err = u.platform(ctx); err != nil {
		return err
	}
	if err := u.ground.alone(ctx, u.api, u.services); err != nil {
		return err
	}
	if err := u.passwordsThere(); err != nil {
		return err
	}
	id, _, err := u.build.have(ctx, temporal.image)
	if err != nil {
		return err
	}
	if err := enoughRoom(ctx, u.api, id == ""); err != nil {
		return err
	}
	running := map[string]bool{}
	var wanted []listener
	for _, project := range u.made() {
		wanted = append(wanted, listeners(project)...)
		census, err := u.hand.TakeCensus(ctx, runbook.CensusInput{Project: project.Name})
		if err != nil {
			return err
		}
		for _, c := range census.Containers {
			if c.State == "running" {
				running[project.Name+"/"+c.Service] = true
			}
		}
	}
	return portsFree(ctx, wanted, running)
}

// made are the projects that this call makes.
func (u *up) made() []*types.Project {
	if u.own() {
		return []*types.Project{u.project, u.services}
	}
	return []*types.Project{u.services}
}

// passwordsThere refuses where a stack that is not the repository's has a password
// that nobody has written down: hive makes up none for it.
func (u *up) passwordsThere() error {
	if u.own() {
		return nil
	}
	var missing []string
	for _, p := range []struct{ file, whose string }{
		{u.policy.Database.PasswordFile, u.policy.Database.User}, {u.policy.Cache.PasswordFile, strings.Join(u.policy.Cache.Services, ", ")},
	} {
		if p.file == "" || p.whose == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(u.dir, p.file)); errors.Is(err, os.ErrNotExist) {
			missing = append(missing, fmt.Sprintf("%s does not exist: write the password of %s into it, readable to its owner alone (0600)", p.file, p.whose))
		}
	}
	if len(missing) > 0 {
		return runbook.Fail(runbook.Refused, "%s; hive makes up no password of a stack that is not its own", strings.Join(missing, "; "))
	}
	return nil
}

// read loads policy and stack as every run does.
func (u *up) read(ctx context.Context) error {
	hand := policy.Hand{ProjectDir: u.dir, Hash: docker.Hash, Untranslated: docker.Untranslated}
	loaded, err := hand.Load(ctx, runbook.LoadPolicyInput{Run: "hive-up"})
	if err != nil {
		return err
	}
	u.policy, u.stack = loaded.Policy, loaded.Stack
	u.project, err = hand.Project(ctx)
	u.summary.Project = u.stack.Project
	return err
}

// makeImages decides where images come from and makes or pulls them. Temporal's
// build takes minutes where nothing is cached, so it starts first and is waited for last.
func (u *up) makeImages(ctx context.Context) error {
	var err error
	if u.origin, err = u.choose(ctx); err != nil {
		return err
	}
	u.summary.Images = string(u.origin)
	ours, recipes := []program{temporal, opsworker}, platformRecipes
	if u.own() {
		ours, recipes = append(ours, applications...), nil
	}
	if u.origin == local {
		u.images = u.build.local(ctx, recipes...)
	}
	for _, p := range ours {
		u.programs[p.name] = promised(&u.build.working, func() (string, error) {
			base, err := basis(ctx, p, u.images)
			if err != nil {
				return "", err
			}
			return u.build.build(ctx, p, base)
		})
	}
	for _, p := range ours[2:] { // the platform's are waited for when they start
		if _, err := u.programs[p.name].wait(ctx); err != nil {
			return err
		}
	}
	if err := u.images.all(ctx); err != nil {
		return err
	}
	if err := u.writeEnv(ctx); err != nil {
		return err
	}
	if u.origin == upstream {
		if err := u.pull(ctx); err != nil {
			return err
		}
	}
	return u.build.sweep(ctx)
}

// choose takes the operator's word, else what an earlier call decided, else asks
// whether a registry answers.
func (u *up) choose(ctx context.Context) (origin, error) {
	chosen, err := parseOrigin(os.Getenv(originKey))
	if err != nil {
		return "", runbook.FailCause(runbook.Refused, err, "environment")
	}
	before, err := u.recorded()
	if err != nil {
		return "", err
	}
	switch {
	case chosen != "":
	case before != "":
		chosen = before
	default:
		const patience = 6 * time.Second
		t := u.progress.begin("asking the image registry")
		asking, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		_, err := u.api.DistributionInspect(asking, "busybox:stable", "")
		t.quit()
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		chosen = upstream
		if err != nil {
			chosen = local
		}
	}
	words := map[origin]string{
		upstream: "images are pulled", local: "images are made here from Debian packages, for no image registry can be reached",
	}
	if chosen == before || os.Getenv(originKey) != "" {
		words[local] = "images are made here from Debian packages"
	}
	u.progress.say("%s (%s=%s)", words[chosen], originKey, chosen)
	return chosen, nil
}

// recorded is what an earlier call chose. Beside a stack that is not the repository's
// the platform's file says it, else what was chosen for the repository's own here.
func (u *up) recorded() (origin, error) {
	if u.own() {
		return recorded(filepath.Join(u.dir, stackEnv))
	}
	before, err := recorded(filepath.Join(u.sources, platformEnv))
	if err != nil || before != "" {
		return before, err
	}
	return recorded(filepath.Join(u.sources, stackEnv))
}

// writeEnv writes the image switches and reads the files again through them.
func (u *up) writeEnv(ctx context.Context) error {
	images := map[string]made{}
	for name, p := range u.images {
		m, err := p.wait(ctx)
		if err != nil {
			return err
		}
		images[name] = m
	}
	files := map[string]map[string]string{filepath.Join(u.sources, platformEnv): u.platformVariables(u.origin, images)}
	if u.own() {
		files[filepath.Join(u.dir, stackEnv)] = stackVariables(u.origin, images)
	}
	for file, variables := range files {
		changed, err := writeEnv(file, variables)
		if err != nil {
			return err
		}
		if changed {
			u.progress.say("%s written", file)
		}
	}
	if err := u.read(ctx); err != nil {
		return err
	}
	var err error
	u.services, err = u.platform(ctx)
	return err
}

// pull fetches the upstream images that are not here.
func (u *up) pull(ctx context.Context) error {
	ours := map[string]bool{temporal.image: true, opsworker.image: true}
	for _, p := range applications {
		ours[p.image] = true
	}
	const atOnce = 4
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	asked := map[string]bool{}
	for _, project := range u.made() {
		for _, svc := range project.Services {
			if ours[svc.Image] || asked[svc.Image] {
				continue
			}
			asked[svc.Image] = true
			g.Go(func() error { return u.build.pull(ctx, svc.Image) })
		}
	}
	return g.Wait()
}

// pull fetches one image if the tag names none here.
func (b *builder) pull(ctx context.Context, tag string) error {
	id, _, err := b.have(ctx, tag)
	if err != nil || id != "" {
		return err
	}
	t := b.progress.begin(tag)
	defer t.quit()
	body, err := b.api.ImagePull(ctx, tag, image.PullOptions{})
	if err == nil {
		err = stream(body, func(m message) { t.at("%s", m.Status) })
		_ = body.Close()
	}
	if err != nil {
		return fmt.Errorf("pull of %s: %w; where no registry can be reached: HIVE_IMAGES=local hive up", tag, err)
	}
	t.done("%s pulled", tag)
	return nil
}

// sweep removes the stages of builds that no image needs.
func (b *builder) sweep(ctx context.Context) error {
	stages, err := b.api.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("dangling", "true"), filters.Arg("label", stageLabel))})
	if err != nil {
		return err
	}
	for _, s := range stages {
		if _, err := b.api.ImageRemove(ctx, s.ID, image.RemoveOptions{PruneChildren: true}); err != nil && ctx.Err() != nil {
			return err // one that is in use stays
		}
	}
	return nil
}

func (u *up) makeSecrets(ctx context.Context) error {
	const directory = 0o755
	if err := u.ledgerSecrets(ctx); err != nil {
		return err
	}
	if !u.own() {
		n, err := secrets(u.dir, ofPlatform)
		if err == nil && n > 0 {
			u.progress.say("%d passwords of the ledger made up in %s/", n, secretsDir)
		}
		return errors.Join(err, os.MkdirAll(filepath.Join(u.dir, u.policy.Logs.Directory), directory))
	}
	var proxyAddress string
	if svc, ok := u.project.Services[u.policy.Proxy.Service]; ok {
		for _, n := range svc.Networks {
			if n != nil && n.Ipv4Address != "" {
				proxyAddress = n.Ipv4Address
			}
		}
	}
	n, err := secrets(u.dir, passwords)
	if err != nil {
		return err
	}
	if n > 0 {
		u.progress.say("%d passwords made up in %s/", n, secretsDir)
	}
	written, err := tokensFile(u.dir)
	if err != nil {
		return err
	}
	if written {
		u.progress.say("tokens of the services in %s/%s", secretsDir, accessTokens)
	}
	signed, err := tlsPair(u.dir, proxyAddress)
	if err != nil {
		return err
	}
	if signed {
		u.progress.say("self-signed certificate made in %s/", tlsDir)
	}
	for _, svc := range u.project.Services {
		for _, v := range svc.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if rel, err := filepath.Rel(filepath.Join(u.dir, u.policy.Logs.Directory), v.Source); err == nil && filepath.IsLocal(rel) {
				if err := os.MkdirAll(v.Source, directory); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (u *up) makeNetworks(ctx context.Context) error {
	for _, project := range u.made() {
		if err := u.hand.Networks(ctx, project); err != nil {
			return err
		}
		if err := u.hand.Volumes(ctx, project); err != nil {
			return err
		}
	}
	return nil
}

func (u *up) startRegistry(ctx context.Context) error {
	if err := u.ofPlatform(ctx, "registry"); err != nil {
		return err
	}
	if !u.own() {
		return nil // what it is filled with is the operator's
	}
	g, ctx := errgroup.WithContext(ctx)
	newer := make([]string, len(applications))
	for i, p := range applications {
		g.Go(func() error {
			tag, err := u.programs[p.name].wait(ctx)
			if err != nil {
				return err
			}
			if tag != "" && tag != p.image {
				newer[i] = p.image
			}
			return u.build.publish(ctx, p, tag)
		})
	}
	err := g.Wait()
	for _, image := range newer {
		if image != "" {
			u.summary.Newer = append(u.summary.Newer, image)
		}
	}
	return err
}

func (u *up) startPlatform(ctx context.Context) error {
	// Started one after the other as they depend on each other, built side by side.
	for _, p := range []program{temporal, opsworker} {
		if _, err := u.programs[p.name].wait(ctx); err != nil {
			return err
		}
		if err := u.ofPlatform(ctx, p.name); err != nil {
			return err
		}
	}
	return nil
}

func (u *up) ofPlatform(ctx context.Context, name string) error {
	svc, ok := u.services.Services[name]
	if !ok {
		return fmt.Errorf("%s has no service %s", platformFile, name)
	}
	hash, err := docker.Hash(svc)
	if err != nil {
		return err
	}
	group, err := u.service(ctx, u.services, wanted{service: name, replicas: 1, hash: hash}, nil)
	if err != nil {
		return err
	}
	return u.wait.all(ctx, group)
}

// role starts what the stack has of a role, and waits for its health.
func (u *up) role(ctx context.Context, roles ...runbook.Role) error {
	group, err := u.start(ctx, roles...)
	if err != nil {
		return err
	}
	return u.wait.all(ctx, group)
}

// start brings every service of the roles to what is wanted, side by side.
func (u *up) start(ctx context.Context, roles ...runbook.Role) ([]awaited, error) {
	const atOnce = 4
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	groups := make([][]awaited, len(u.stack.Services))
	for i, s := range u.stack.Services {
		if !slices.Contains(roles, s.Role) {
			continue
		}
		g.Go(func() (err error) {
			groups[i], err = u.service(ctx, u.project, wanted{service: s.Name, role: s.Role, replicas: s.Replicas, hash: s.ConfigHash}, s.Probe)
			return err
		})
	}
	err := g.Wait()
	return slices.Concat(groups...), err
}

// service brings one service to what is wanted, and answers what to wait for.
func (u *up) service(ctx context.Context, project *types.Project, w wanted, probe *runbook.Probe) ([]awaited, error) {
	svc := project.Services[w.service]
	var err error
	if w.imageID, _, err = u.build.have(ctx, svc.Image); err != nil {
		return nil, err
	}
	if w.imageID == "" {
		return nil, fmt.Errorf("service %s: image %s is not here", w.service, svc.Image)
	}
	census, err := u.hand.TakeCensus(ctx, runbook.CensusInput{Project: project.Name})
	if err != nil {
		return nil, err
	}
	d := decide(w, census.Of(w.service))
	for _, left := range d.left {
		u.progress.say("%s", left)
	}
	u.note(&u.summary.Left, d.left...)
	var group []awaited
	for _, c := range d.keep {
		group = append(group, awaited{id: c.ID, name: c.Name, address: c.Address, probe: probe})
	}
	for _, a := range d.acts {
		r, err := u.do(ctx, project, svc, w, a)
		if err != nil {
			return nil, err
		}
		group = append(group, awaited{id: r.ID, name: r.Name, address: r.Address, probe: probe})
		if probe != nil && r.Address != "" {
			if err := u.remember(w.service, net.JoinHostPort(r.Address, strconv.Itoa(probe.Port))); err != nil {
				return nil, err
			}
		}
	}
	return group, nil
}

func (u *up) do(ctx context.Context, project *types.Project, svc types.ServiceConfig, w wanted, a act) (runbook.Replica, error) {
	t := u.progress.begin(fmt.Sprintf("%s-%s-%d", project.Name, w.service, a.number))
	defer t.quit()
	t.at("%s", a.do)
	if a.do == "start" {
		if err := u.api.ContainerStart(ctx, a.id, container.StartOptions{}); err != nil {
			return runbook.Replica{}, fmt.Errorf("start of %s: %w", t.name, err)
		}
		t.done("%s started", t.name)
		u.note(&u.summary.Started, t.name)
		return u.replica(ctx, project.Name, a.id)
	}
	if a.do == "replace" {
		if err := u.api.ContainerStop(ctx, a.id, container.StopOptions{}); err != nil {
			return runbook.Replica{}, fmt.Errorf("stop of %s: %w", t.name, err)
		}
		if err := u.api.ContainerRemove(ctx, a.id, container.RemoveOptions{RemoveVolumes: true}); err != nil {
			return runbook.Replica{}, fmt.Errorf("removal of %s: %w", t.name, err)
		}
	}
	o := docker.Options{Number: a.number}
	if w.role.Rolled() && u.stack.ReplicaRange != "" {
		var err error
		if o.Address, err = u.hand.FixedAddress(ctx, project, svc, u.stack.ReplicaRange); err != nil {
			return runbook.Replica{}, err
		}
	}
	r, err := u.hand.Create(ctx, project, svc, o)
	if err != nil {
		return r, err
	}
	t.done("%s created", r.Name)
	u.note(&u.summary.Created, r.Name)
	return r, nil
}

func (u *up) replica(ctx context.Context, project, id string) (runbook.Replica, error) {
	census, err := u.hand.TakeCensus(ctx, runbook.CensusInput{Project: project})
	if err != nil {
		return runbook.Replica{}, err
	}
	for _, c := range census.Containers {
		if c.ID == id {
			return runbook.Replica{ID: c.ID, Name: c.Name, Number: c.Number, Address: c.Address}, nil
		}
	}
	return runbook.Replica{}, fmt.Errorf("container %s of %s is gone", id, project)
}

func (u *up) makeCluster(ctx context.Context) error {
	var addresses []string
	for _, name := range u.policy.Cache.Services {
		address := u.address(name)
		if address == "" {
			return fmt.Errorf("service %s has no ipv4_address in the compose file, and a cluster's node needs one that stays", name)
		}
		addresses = append(addresses, net.JoinHostPort(address, strconv.Itoa(u.policy.Cache.Port)))
	}
	password, err := secret(u.dir, u.policy.Cache.PasswordFile)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, u.wait.limit)
	defer cancel()
	t := u.progress.begin("Redis Cluster")
	defer t.quit()
	changed, err := cluster(ctx, addresses, password, u.policy.Cache.Replicas, t)
	if err != nil {
		return err
	}
	if changed {
		t.done("%d nodes made one cluster", len(addresses))
	}
	return nil
}

// address is the fixed address of a service in the compose file.
func (u *up) address(service string) string {
	for _, n := range u.project.Services[service].Networks {
		if n != nil && n.Ipv4Address != "" {
			return n.Ipv4Address
		}
	}
	return ""
}

func secret(dir, file string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return "", fmt.Errorf("%s: %w; hive up makes it where it is absent", file, errors.Unwrap(err))
	}
	return strings.TrimSpace(string(raw)), nil
}

func (u *up) makeSchema(ctx context.Context) error {
	d := u.policy.Database
	census, err := u.hand.TakeCensus(ctx, runbook.CensusInput{Project: u.stack.Project})
	if err != nil {
		return err
	}
	here := census.Of(d.Service)
	if len(here) == 0 {
		return fmt.Errorf("service %s has no container", d.Service)
	}
	password, err := secret(u.dir, d.PasswordFile)
	if err != nil {
		return err
	}
	dsn := url.URL{
		Scheme: "postgres", User: url.UserPassword(d.User, password), Path: "/" + d.Name,
		Host: net.JoinHostPort(here[0].Address, strconv.Itoa(d.Port)),
	}
	t := u.progress.begin("schema of " + d.Name)
	defer t.quit()
	ctx, cancel := context.WithTimeout(ctx, u.wait.limit)
	defer cancel()
	if err := app.Up(ctx, dsn.String()); err != nil {
		return errors.New(mask(u.dir, err.Error()))
	}
	return nil
}

// startApplications starts everything that is rolled, and waits for those that the
// proxy routes to; workers come in through the proxy and are waited for after it.
func (u *up) startApplications(ctx context.Context) error {
	if err := u.role(ctx, runbook.RoleApp); err != nil {
		return err
	}
	_, err := u.start(ctx, runbook.RoleWorker)
	return err
}

func (u *up) startProxy(ctx context.Context) error {
	in := runbook.ProxyInput{Project: u.stack.Project, Proxy: u.policy.Proxy}
	census, err := u.hand.TakeCensus(ctx, runbook.CensusInput{Project: u.stack.Project})
	if err != nil {
		return err
	}
	upstreams := map[string][]string{}
	for _, s := range u.stack.Services {
		if s.Upstream == "" || s.Probe == nil {
			continue
		}
		for _, c := range census.Of(s.Name) {
			if c.State == "running" && c.Address != "" {
				upstreams[s.Upstream] = append(upstreams[s.Upstream], net.JoinHostPort(c.Address, strconv.Itoa(s.Probe.Port)))
			}
		}
	}
	if err := u.recall(); err != nil {
		return err
	}
	front := proxy.Hand{API: u.api, ProjectDir: u.dir}
	changed, err := front.Seed(ctx, in, upstreams)
	if err != nil {
		return err
	}
	if changed {
		u.progress.say("addresses of %d upstreams written", len(upstreams))
	}
	if err := u.role(ctx, runbook.RoleProxy); err != nil {
		return err
	}
	if err := u.routeTo(ctx, front, in, upstreams); err != nil {
		return err
	}
	if err := u.throughProxy(ctx); err != nil {
		return err
	}
	return u.role(ctx, runbook.RoleWorker)
}

// routeTo has the proxy route to the replicas that this call made, beside those that
// it routes to already. Others that run and are not routed to are left so: a roll
// that is under way has its reasons.
func (u *up) routeTo(ctx context.Context, front proxy.Hand, in runbook.ProxyInput, live map[string][]string) error {
	state, err := front.Observe(ctx, in)
	if err != nil {
		return err
	}
	for _, s := range u.stack.Services {
		want := routes(state.Upstreams[s.Upstream], live[s.Upstream], u.begun[s.Name])
		if s.Upstream == "" || want == nil {
			continue
		}
		change := runbook.SetUpstreamInput{ProxyInput: in, Upstream: s.Upstream, Addresses: want, Run: "hive-up"}
		if _, err := front.SetUpstream(ctx, change); err != nil {
			return err
		}
		u.progress.say("%s is routed to %s", s.Upstream, strings.Join(want, " "))
	}
	return os.RemoveAll(filepath.Join(u.dir, begunFile))
}

// routes are the addresses that a proxy which routes to now should route to, nil
// where that is what it does.
func routes(now, live, begun []string) []string {
	var want []string
	for _, address := range live {
		if slices.Contains(now, address) || slices.Contains(begun, address) {
			want = append(want, address)
		}
	}
	for _, address := range begun {
		if slices.Contains(live, address) && !slices.Contains(now, address) {
			return want
		}
	}
	return nil
}

// throughProxy waits until every application answers its health through the proxy,
// and one of its replicas, not nginx, is who answered.
func (u *up) throughProxy(ctx context.Context) error {
	const look = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, u.wait.limit)
	defer cancel()
	for _, s := range u.stack.Services {
		if s.ProxyHealth == "" {
			continue
		}
		t := u.progress.begin(s.Name + " through the proxy")
		ticker := time.NewTicker(look)
		var err error
		for err = answered(ctx, u.policy.Proxy.URL+s.ProxyHealth); err != nil; err = answered(ctx, u.policy.Proxy.URL+s.ProxyHealth) {
			t.at("%v", err)
			select {
			case <-ctx.Done():
				err = errors.Join(ctx.Err(), err)
			case <-ticker.C:
				continue
			}
			break
		}
		ticker.Stop()
		if err != nil {
			t.quit()
			return fmt.Errorf("%s does not answer %s%s: %w", s.Name, u.policy.Proxy.URL, s.ProxyHealth, err)
		}
		t.done("%s answers %s%s", s.Name, u.policy.Proxy.URL, s.ProxyHealth)
	}
	return nil
}

func answered(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("answers %d", answer.StatusCode)
	case answer.Header.Get("X-Hive-Upstream") == "":
		return errors.New("nginx itself answers, no replica")
	default:
		return nil
	}
}
